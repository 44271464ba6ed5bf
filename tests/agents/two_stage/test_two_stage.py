"""Two stages keep the laws of policies, equal exhaustive search where quotas allow it, and name who is to blame."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from agents.baselines import Popularity
from agents.business_rules import RepeatRules
from agents.ease import EASE
from agents.exploration import EpsilonGreedy
from agents.item_neighbours import ItemKNN
from agents.registry import make_agent
from agents.two_stage import FILL, ByEmbeddings, ByScores, Fresh, Neighbours, Popular, Retrieved, Retriever, TwoStage
from recsim_lab.evaluation.offline import mean_of_folds, protocol_metrics, requests_of_fold
from recsim_lab.evaluation.protocols import Protocol, Sampled, TemporalSplit
from recsim_lab.policy import TICKS_PER_DAY, Scorer
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy, check_propensities

A = np.ndarray


def several(heavy=None):
    return TwoStage(
        (
            (ByEmbeddings(make_agent("mf:epochs=1", seed=2)), 9),
            (Neighbours(ItemKNN(num_neighbours=5)), 4),
            (Popular(), 6),
            (Fresh(), 2),
        ),
        EASE() if heavy is None else heavy,
    )


def rules_over_exploration(policy):
    return RepeatRules(EpsilonGreedy(policy, 0.2))


@dataclass(eq=False)
class Fixed(Retriever):
    """Brings given items to everybody."""

    items: list
    name: str = "fixed"  # type: ignore[misc]
    asked: list = field(default_factory=list)

    def retrieve(self, observation, num):
        self.asked.append(num)
        items = np.tile(np.array(self.items, np.int32), (len(observation), 1))[:, :num]
        return Retrieved(items, items.astype(np.float32))

    def judge(self, observation, items):
        return np.zeros(items.shape, np.float32)


@dataclass(eq=False)
class Highest(Scorer):
    """Prefers items of higher number, and remembers what it was asked."""

    name: str = "highest"  # type: ignore[misc]
    asked: list = field(default_factory=list)

    def scores(self, observation, items=None):
        assert items is not None, "a heavy scorer is never asked about the whole catalogue"
        assert (items >= 0).all() and (items < observation.features.num_items).all()
        self.asked.append(items)
        return items.astype(np.float32)


def answer(policy, observation, num_slots):
    return policy.recommend(observation, num_slots, draws_of(0, observation.user))


@pytest.mark.parametrize("wrap", [lambda policy: policy, rules_over_exploration], ids=["alone", "nested"])
@pytest.mark.parametrize("taught", [False, True], ids=["untaught", "taught"])
def test_answers(taught, wrap, log):
    policy = several()
    if taught:
        policy.learn(log)
    observation = log.observations(np.arange(len(log) - 100, len(log)))
    check_policy(wrap(policy), observation, 5, draws_of(1, observation.user, 5, 2))


@pytest.mark.parametrize("wrap", [lambda policy: policy, rules_over_exploration], ids=["alone", "nested"])
def test_learning_and_state(wrap, log, tmp_path):
    check_agent(lambda: wrap(several()), log, tmp_path)


def test_exploration_around_two_stages_does_what_it_says(requests):
    request = requests([0], 9, clicked=[[1]], clicked_tick=[[99_000]], shown=[[7]])
    policy = TwoStage(((Fixed([3, 8]), 3), (Popular(), 2)), Highest())
    check_propensities(rules_over_exploration(policy), request, 2)
    check_propensities(policy, request, 3, num_draws=1_000)


@pytest.mark.parametrize("heavy", ["ease", "mlp:epochs=1,dim=4,hidden=8"])
def test_quotas_that_hold_the_catalogue_are_exhaustive_search(heavy, log):
    ranker = make_agent(heavy)
    ranker.learn(log)
    two = TwoStage(((Popular(), 40), (Fresh(), 3)), ranker)
    observation = log.observations(np.arange(200)).block(np.tile(np.arange(7, dtype=np.int32), (200, 1)))
    whole, staged = answer(ranker, observation, 5), answer(two, observation, 5)
    assert (whole.items == staged.items).mean() > (0.99 if "mlp" in heavy else 0.9999)
    assert (staged.source == 0).all() and staged.sources == ("popularity", "fresh", FILL)


def test_the_slate_is_the_best_of_the_union_and_each_slot_names_who_found_it_first(requests):
    heavy = Highest()
    policy = TwoStage(((Fixed([2, 9], "a"), 2), (Fixed([9, 4, 5, 30], "b"), 3), (Fixed([5, 7, -1], "c"), 3)), heavy)
    shown = answer(policy, requests([0, 1], 40), 4)
    assert shown.items.tolist() == [[9, 7, 5, 4]] * 2
    names = np.array(shown.sources)[shown.source]
    assert names.tolist() == [["a", "c", "b", "b"]] * 2
    # Once each, and the padding repeats what is there.
    assert [sorted(set(row)) for row in heavy.asked[0].tolist()] == [[2, 4, 5, 7, 9]] * 2
    assert heavy.asked[0].shape == (2, 5) and policy.num_filled == 0


def test_requests_that_find_less_are_padded_and_padding_never_wins(requests):
    class Uneven(Fixed):
        def retrieve(self, observation, num):
            items = np.where(observation.user[:, None] == 0, [[1, 2, 3]], [[6, -1, -1]]).astype(np.int32)
            return Retrieved(items, items.astype(np.float32))

    policy = TwoStage(((Uneven([]), 3),), Highest())
    shown = answer(policy, requests([0, 1], 10, blocked=[[], [0]]), 3)
    assert shown.items.tolist() == [[3, 2, 1], [6, 1, 2]]
    assert np.array(shown.sources)[shown.source].tolist() == [["fixed"] * 3, ["fixed", FILL, FILL]]
    assert policy.num_filled == 2


def test_empty_slots_are_filled_by_popularity(log):
    policy = TwoStage(((Fixed([-1, -1, -1, -1, -1]), 5),), Highest())
    policy.learn(log)
    observation = log.observations(np.arange(20)).block(np.arange(20, dtype=np.int32)[:, None])
    popular = Popularity()
    popular.learn(log)
    shown = answer(policy, observation, 5)
    assert np.array_equal(shown.items, answer(popular, observation, 5).items)
    assert policy.num_filled == 100 and (np.array(shown.sources)[shown.source] == FILL).all()
    check_policy(policy, observation, 5, draws_of(0, observation.user))


def test_too_few_eligible_items_are_an_error(requests):
    policy = TwoStage(((Popular(), 6),), Highest())
    with pytest.raises(ValueError, match="asked for 4, a request has 3 of 5"):
        answer(policy, requests([0, 1], 5, blocked=[[], [0, 1]]), 4)


@pytest.mark.parametrize(
    "items, blocked, release",
    [([1, 99], [], 0), ([1, -2], [], 0), ([1, 3], [3], 0), ([1, 4], [], 10**9)],
    ids=["unknown", "negative", "blocked", "not released"],
)
def test_a_retriever_that_brings_what_may_not_be_shown_is_named(items, blocked, release, requests):
    policy = TwoStage(((Popular(), 2), (Fixed(items, "the culprit"), 2)), Highest())
    request = requests([0, 1], 9, blocked=[blocked] * 2, release=[0, 0, 0, 0, release, 0, 0, 0, 0])
    with pytest.raises(ValueError, match=f"'the culprit' brought {items[1]} for row 0 of a catalogue of 9"):
        answer(policy, request, 2)


def test_scores_put_candidates_above_all_others(log):
    policy = several()
    policy.learn(log)
    observation = log.observations(np.arange(150)).block(np.arange(150, dtype=np.int32)[:, None] % 40)
    scores, heavy, candidates = (
        policy.scores(observation),
        policy.heavy.scores(observation),
        policy.candidates(observation),
    )
    rank = {int(item): place for place, item in enumerate(policy.fallback.order(log.features))}
    for row in range(len(observation)):
        inside = [item for item in candidates.items[row] if item >= 0]
        assert np.array_equal(scores[row, inside], heavy[row, inside])
        outside = sorted(set(range(40)) - set(inside), key=rank.__getitem__)
        assert scores[row, outside].max() < scores[row, inside].min() and (np.diff(scores[row, outside]) < 0).all()
    some = np.random.default_rng(0).permuted(np.tile(np.arange(40), (150, 1)), axis=1)[:, :11]
    assert np.array_equal(policy.scores(observation, some), np.take_along_axis(scores, some, axis=1))
    best = np.argsort(np.where(observation.eligible(), -scores, np.inf), axis=1, kind="stable")[:, :5]
    assert np.array_equal(answer(policy, observation, 5).items, best)


def test_offline_protocols_rank_the_whole_catalogue(log):
    policy = several()
    policy.learn(log)
    split = TemporalSplit(2)
    (fold,) = split.folds(log)
    requests = requests_of_fold(log, split, fold, lambda observation, _: observation, max_requests=200)
    full, sampled = (Protocol(split), Protocol(split, Sampled(10)))
    found = protocol_metrics(policy, policy, requests, (full, sampled))
    assert mean_of_folds([found[full]])["hr@5"] > 0.2
    assert np.isfinite(list(mean_of_folds([found[sampled]]).values())).all()


def test_stages_are_timed(log):
    policy = several()
    policy.learn(log)
    answer(policy, log.observations(np.arange(50)), 5)
    once = dict(policy.seconds)
    assert list(once) == [*(one.name for one, _ in policy.retrievers), "merge", "rank", "select"]
    assert min(once.values()) > 0


def test_fresh_items_are_shown_though_nobody_clicked_them(requests):
    policy = TwoStage(((Popular(), 3), (Fresh(), 2)), Highest())
    request = requests([0], 9, release=[0, 0, 0, 0, 0, 0, TICKS_PER_DAY, TICKS_PER_DAY, 2 * TICKS_PER_DAY])
    shown = answer(policy, request, 4)
    assert shown.items.tolist() == [[8, 6, 2, 1]]
    assert np.array(shown.sources)[shown.source].tolist() == [["fresh", "fresh", "popularity", "popularity"]]


@pytest.mark.parametrize(
    "retrievers, words",
    [
        ((), "retrievers must hold at least one"),
        (((Popular(), 0),), "quota of retriever 'popularity' must be at least 1, got 0"),
        (((Popular(), 3), (ByScores(Popularity()), 3)), "names of their own, got 'popularity'"),
    ],
)
def test_retrievers_that_cannot_work_are_refused(retrievers, words):
    with pytest.raises(ValueError, match=words):
        TwoStage(retrievers, Highest())


def test_quotas_below_the_slots_are_refused(requests):
    with pytest.raises(ValueError, match=r"quotas must sum to at least the 5 slots, got \[3, 1\]"):
        answer(TwoStage(((Popular(), 3), (Fresh(), 1)), Highest()), requests([0], 20), 5)
