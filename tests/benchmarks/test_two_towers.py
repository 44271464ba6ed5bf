"""The newest rating is held out and nothing of it is learned; what is recommended is counted as said."""

from dataclasses import replace

import numpy as np
import pytest

from agents.registry import make_agent
from benchmarks.real_data import two_towers
from recsim_lab.datasets.base import Ratings

GATED = {"two-tower-mixed-ml-1m", "two-tower-mixed-logq-ml-1m"}


def some_ratings(num_users=30, num_items=40, per_user=10, seed=0):
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(num_users), per_user)
    item = np.stack([rng.permutation(num_items)[:per_user] for _ in range(num_users)]).ravel()
    order = rng.permutation(len(user))
    return Ratings(
        user=user[order].astype(np.int32),
        item=item[order].astype(np.int32),
        rating=np.full(len(user), 4.0, np.float32),
        timestamp=np.sort(rng.integers(60 * 60, size=len(user)) * 60),
        user_ids=np.arange(num_users),
        item_ids=np.arange(num_items),
        titles=tuple(str(i) for i in range(num_items)),
        genres=("a", "b"),
        item_genres=rng.random((num_items, 2)) < 0.5,
        years=np.full(num_items, 2000, np.int32),
        user_features={"gender": rng.integers(2, size=num_users).astype(np.int32)},
        user_feature_names={"gender": ("f", "m")},
    )


@pytest.mark.parametrize(("held_out", "num_hidden"), [("test", 1), ("validation", 2)])
def test_the_newest_ratings_are_not_learned_from(held_out, num_hidden):
    ratings = some_ratings()
    data = two_towers.LastRatings(ratings, held_out)
    train, requests = data.train, data.requests
    for user in range(ratings.num_users):
        own, when = ratings.item[ratings.user == user], ratings.timestamp[ratings.user == user]
        assert sorted(train.slate[train.user == user, 0]) == sorted(own[:-num_hidden])
        assert data.known.of_users(np.array([user])).items.tolist() == own[:-num_hidden].tolist()
        answer = data.parts.test if held_out == "test" else data.parts.validation
        assert answer[user] == own[-num_hidden]
        assert requests.tick[user] == (when[-num_hidden] - ratings.timestamp.min()) // 60
    assert np.array_equal(requests.user, np.arange(ratings.num_users)) and requests.clicked.shape[1] == 0


def test_metrics_of_known_scores():
    ratings = some_ratings()
    data = two_towers.LastRatings(ratings)

    class Knowing:
        """Puts the answer first and then items by their number."""

        def scores(self, observation):
            scores = np.tile(-np.arange(ratings.num_items, dtype=np.float32), (ratings.num_users, 1))
            scores[np.arange(ratings.num_users), data.parts.test] = 1
            return scores

    found = two_towers.metrics_of(Knowing(), data)
    assert found["Recall@20"] == found["Recall@100"] == found["NDCG@20"] == 1
    shown = []
    for user in range(ratings.num_users):
        own = ratings.item[ratings.user == user]
        others = [item for item in range(ratings.num_items) if item not in own]
        shown.append([own[-1], *others[:19]])
    counts = np.bincount(np.concatenate([ratings.item[ratings.user == u][:-1] for u in range(30)]), minlength=40)
    assert found["coverage@20"] == len(set(np.ravel(shown).tolist())) / 40
    assert np.isclose(found["popularity@20"], counts[np.array(shown)].mean())


def test_every_kind_of_negatives_is_an_agent_that_differs_in_them_alone():
    agents = {
        name: make_agent(f"two-tower:{two_towers.TOWERS},{negatives}")
        for name, negatives in two_towers.NEGATIVES.items()
    }
    about_negatives = {"negatives", "num_negatives", "logq"}
    others = [{k: v for k, v in agent.parameters.items() if k not in about_negatives} for agent in agents.values()]
    assert all(one == others[0] for one in others)
    assert all(agent.ids and not agent.context for agent in agents.values())


def test_rows_and_their_order(monkeypatch):
    data = two_towers.LastRatings(some_ratings(num_items=120))
    monkeypatch.setattr(two_towers, "load", lambda: data)
    monkeypatch.setattr(two_towers, "TOWERS", "epochs=1,batch_size=64,history=none,validation=0")
    rows = {(row.name, row.metric): row for row in two_towers.two_tower_movielens(lambda text: None)}
    for name in two_towers.NEGATIVES:
        assert two_towers.GATES.get((name, "Recall@20"), "").startswith("above") == (name in GATED)
        assert rows[name, "coverage@20"].num_seeds == two_towers.NUM_SEEDS
    for name, lower in two_towers.ABOVE.items():
        difference = rows[name, f"Recall@20 less that of {lower}"].ours
        assert np.isclose(difference, rows[name, "Recall@20"].ours - rows[lower, "Recall@20"].ours)
    assert two_towers.GATES.keys() <= rows.keys()


def test_history_is_read_where_asked_for():
    data = two_towers.LastRatings(some_ratings())
    assert replace(data, held_out="validation").requests.clicked.shape == (30, 0)
