"""Matrix factorisation: its loss, its negatives, what it does about the unknown, and learning on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.base import LOWEST
from agents.matrix_factorization import MatrixFactorization, shown_items, unclicked_impressions
from recsim_lab.interaction_log import empty_log
from recsim_lab.streams import draws_of


def test_loss_is_the_cross_entropy_of_every_pair():
    generator = np.random.default_rng(0)
    user, item = generator.normal(size=(3, 2)), generator.normal(size=(3, 4, 3))
    valid = np.array([True, False, True])
    expected = 0.0
    for row in range(3):
        for candidate in range(4):
            logit = user[row] @ item[row, candidate, :2] + item[row, candidate, 2]
            click = 1 / (1 + np.exp(-logit))
            if candidate == 0:
                expected -= np.log(click)
            elif valid[row]:
                expected -= np.log(1 - click)
            expected += 0.3 * (item[row, candidate, :2] ** 2).sum()
        expected += 0.3 * (user[row] ** 2).sum()
    model = MatrixFactorization(weight_decay=0.3)
    loss = model._loss(torch.tensor(user), torch.tensor(item), torch.tensor(valid))
    assert float(loss) == pytest.approx(expected / 3)


def test_negatives_from_the_catalogue_are_uniform():
    draw = shown_items(np.array([3, 5, 9]))
    items, valid = draw(torch.zeros(5_000, dtype=torch.long), 6, torch.Generator().manual_seed(0))
    counts = np.bincount(items.numpy().ravel(), minlength=10)
    assert valid.all() and set(np.flatnonzero(counts)) == {3, 5, 9}
    # 30,000 draws, 10,000 expected of each, standard deviation 82.
    assert abs(counts[[3, 5, 9]] - 10_000).max() < 5 * 82


def test_negatives_from_impressions_are_the_users_own(log):
    lonely = log.clicks.copy()
    lonely[log.user == 7] = True
    log = replace(log, clicks=lonely)
    users = np.repeat(np.arange(60), 200)
    items, valid = unclicked_impressions(log)(torch.from_numpy(users), 4, torch.Generator().manual_seed(0))
    assert np.array_equal(np.unique(users[~valid.numpy()]), [7])
    for user in (0, 13, 59):
        seen = log.user == user
        there_are = np.bincount(log.slate[seen][~log.clicks[seen]], minlength=40)
        drawn = np.bincount(items.numpy()[users == user].ravel(), minlength=40)
        expected = 800 * there_are / there_are.sum()
        assert (drawn[there_are == 0] == 0).all()
        assert (np.abs(drawn - expected) <= 6 * np.sqrt(expected) + 1).all()


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("target", ["catalogue", "impressions"])
def test_training_is_decided_by_the_seed_alone(target, log, requests, two_threads):
    def learned(seed: int) -> np.ndarray:
        model = MatrixFactorization(dim=4, epochs=2, target=target, seed=seed)
        model.learn(log)
        return model.scores(requests([0, 1], 40))

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = learned(5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(first, learned(5))
    assert not np.array_equal(first, learned(6))


def test_unknown_users_and_items(log, requests):
    quiet = (log.user == 8) | (log.slate == 11).any(axis=1)
    model = MatrixFactorization(dim=4)
    model.learn(log.take(~quiet))
    scores = model.scores(requests([0, 8, 60, 10_000], 40))
    assert (scores[:, 11] == LOWEST).all() and (np.delete(scores, 11, axis=1) > LOWEST).all()
    assert np.array_equal(scores[1], scores[2]) and np.array_equal(scores[2], scores[3])
    known = np.setdiff1d(np.arange(60), [8])
    mean = model.users[known].mean(axis=0) @ model.items[:, :-1].T + model.items[:, -1]
    np.testing.assert_allclose(np.delete(scores[2], 11), np.delete(mean, 11), rtol=1e-4, atol=1e-5)


def test_learning_on_keeps_what_is_known_and_makes_room(log, requests):
    model = MatrixFactorization(dim=4, epochs=30, warm_epochs=1)
    model.learn(log.take(log.user < 40))
    before = model.scores(requests(range(40), 40))
    newcomer = model.users[-1].copy()
    model.learn(log)
    assert model.users.shape == (61, 4) and model.num_steps == 31
    after = model.scores(requests(range(40), 40))
    # One more pass over a few clicks moves little of what thirty built.
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.99
    # New users started as the newcomer, whose row is no longer the same, and have begun to move.
    assert (np.abs(model.users[40:60] - newcomer).max(axis=1) > 0).all()


def test_learning_on_finds_the_taste_of_new_users(log, requests):
    model = MatrixFactorization(dim=8, warm_epochs=10)
    model.learn(log.take(log.user < 50))
    for _ in range(3):
        model.learn(log)
    best = np.argsort(-model.scores(requests(range(50, 60), 40)), axis=1)[:, :10]
    assert (best % 2 == np.arange(50, 60)[:, None] % 2).mean() > 0.9


def test_smallest_logs(log, requests):
    model = MatrixFactorization(dim=2)
    model.learn(empty_log(requests([0], 5).features, 2, 3, 4))
    observation, draws = requests([0, 1], 5), draws_of(0, np.arange(2))
    assert model.recommend(observation, 3, draws).items.tolist() == [[0, 1, 2]] * 2
    one = replace(
        log.take(np.arange(1)),
        slate=np.zeros((1, 5), np.int32),
        clicks=np.ones((1, 5), bool),
        features=requests([0], 1).features,
    )
    for target in ("catalogue", "impressions"):
        model = MatrixFactorization(dim=2, target=target)
        model.learn(one)
        assert np.isfinite(model.scores(requests([0, 3], 1))).all()


def test_another_catalogue_is_refused(log, requests):
    model = MatrixFactorization(dim=2, epochs=1)
    model.learn(log)
    with pytest.raises(ValueError, match="catalogue of 40 items"):
        model.learn(replace(log, slate=log.slate % 30, features=requests([0], 30).features))
    with pytest.raises(ValueError, match="catalogue of 40 items"):
        model.scores(requests([0], 30))


@pytest.mark.parametrize(
    "field, value",
    [
        ("dim", 0),
        ("epochs", 0),
        ("warm_epochs", 0),
        ("num_negatives", 0),
        ("batch_size", 0),
        ("target", "clicks"),
        ("learning_rate", 0.0),
        ("weight_decay", -1.0),
        ("seed", -1),
    ],
)
def test_parameters_are_checked(field, value):
    model = MatrixFactorization()
    setattr(model, field, value)  # past the type checker, which is off outside tests
    with pytest.raises(ValueError, match=f"{field} must be .*got {value!r}"):
        model.__post_init__()
