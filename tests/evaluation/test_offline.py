"""Offline protocols against a literal twin: requests, candidates and metrics, one at a time."""

import math

import numpy as np
import pytest

from agents.baselines import Random
from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy
from agents.registry import make_agent
from recsim_lab.evaluation.offline import (
    FoldRequests,
    Restrict,
    mean_of_folds,
    offline_scores,
    protocol_metrics,
    requests_of_fold,
    retrieved_by,
)
from recsim_lab.evaluation.oracle import FixedScores
from recsim_lab.evaluation.protocols import (
    Click,
    Fold,
    FromRetriever,
    Full,
    LoggedSlate,
    Protocol,
    RandomisedOnly,
    Sampled,
    TemporalSplit,
    TrueChoice,
)
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Policy
from recsim_lab.testing import planted_log

A = np.ndarray
NUM_USERS, NUM_ITEMS = 12, 25
OF_THE_FOLD = ("coverage", "novelty")


def _no_rules(observation: Observation, num_slots: int) -> Observation:
    return observation


def _not_twice_in_a_session(observation: Observation, num_slots: int) -> Observation:
    return observation.block(observation.shown)


SPLIT = TemporalSplit(1)


def _tested(
    log: InteractionLog, test: A, restrict: Restrict = _no_rules, max_requests: int = 10**6, seed: int = 0
) -> FoldRequests:
    return requests_of_fold(log, SPLIT, Fold(~test, test), restrict, max_requests=max_requests, seed=seed)


def _means(
    policy: Policy, tested: FoldRequests, protocol: Protocol = Protocol(SPLIT), cutoffs: tuple[int, ...] = (5, 10)
) -> dict[str, float]:
    return mean_of_folds([protocol_metrics(policy, policy, tested, (protocol,), cutoffs)[protocol]])


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    """Of 12 users and 25 items, of which the last five come on offer on day 2."""
    whole = planted_log(num_users=NUM_USERS, num_items=NUM_ITEMS, num_days=4)
    whole.features.release[20:] = 2 * 1440
    on_offer = (whole.features.release[whole.slate] <= whole.tick[:, None]).all(axis=1)
    return whole.take(on_offer)


@pytest.fixture(scope="module")
def policy() -> FixedScores:
    rng = np.random.default_rng(3)
    return FixedScores(rng.normal(size=(NUM_USERS, NUM_ITEMS)).astype(np.float32), "fixed")


def _literal(log: InteractionLog, test: A, table: A, once: bool, cutoff: int) -> dict[str, float]:
    """Means over all slates with a click, each ranked by sorting its candidates."""
    found: dict[str, list[float]] = {}
    for row in np.flatnonzero(test & log.clicks.any(axis=1)):
        clicked = set(log.slate[row][log.clicks[row]].tolist())
        forbidden = set()
        if once:
            session = (log.user == log.user[row]) & (log.session == log.session[row]) & (log.step < log.step[row])
            forbidden = set(log.slate[session].ravel().tolist())
        offered = {item for item in range(NUM_ITEMS) if log.features.release[item] <= log.tick[row]}
        candidates = (offered - forbidden) | clicked
        ranked = sorted(candidates, key=lambda item: -table[log.user[row], item])
        places = [place for place, item in enumerate(ranked, 1) if item in clicked]
        hits = [place for place in places if place <= cutoff]
        gain = sum(1 / math.log2(place + 1) for place in hits)
        best = sum(1 / math.log2(place + 1) for place in range(1, min(cutoff, len(clicked)) + 1))
        better = sum(
            table[log.user[row], one] > table[log.user[row], other] for one in clicked for other in candidates - clicked
        )
        for name, value in {
            f"hr@{cutoff}": float(bool(hits)),
            f"recall@{cutoff}": len(hits) / len(clicked),
            f"precision@{cutoff}": len(hits) / cutoff,
            f"ndcg@{cutoff}": gain / best,
            f"dcg@{cutoff}": gain,
            f"mrr@{cutoff}": 1 / hits[0] if hits else 0.0,
            "auc": better / (len(clicked) * len(candidates - clicked)),
        }.items():
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.mark.parametrize("rules", [False, True], ids=["no-rules", "not-twice"])
@pytest.mark.parametrize("cutoff", [1, 5])
def test_full_candidates_equal_the_literal_twin(
    log: InteractionLog, policy: FixedScores, rules: bool, cutoff: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsim_lab.evaluation.offline.BATCH", 7)
    test = log.day >= 1
    tested = _tested(log, test, _not_twice_in_a_session)
    metrics = _means(policy, tested, Protocol(SPLIT, rules=rules), (cutoff,))
    expected = _literal(log, test, policy.table, rules, cutoff)
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-9), name


def test_requests_are_the_test_slates_with_a_click(log: InteractionLog) -> None:
    test = log.day == 2
    tested = _tested(log, test)
    rows = np.flatnonzero(test & log.clicks.any(axis=1))
    assert len(tested) == len(rows) > 30
    np.testing.assert_array_equal(tested.rows, rows)
    np.testing.assert_array_equal(tested.observation.tick, log.tick[rows])
    gains = tested.gains(Click())
    np.testing.assert_array_equal(gains.sum(axis=1), log.clicks[rows].sum(axis=1))
    assert np.take_along_axis(gains, log.slate[rows].astype(np.int64), axis=1)[log.clicks[rows]].all()
    # A user's past is taken from the whole log, the part that is learned from included.
    assert (tested.observation.clicked_tick.max(axis=1) < tested.observation.tick).all()
    assert (tested.observation.clicked[:, -1] >= 0).any()
    np.testing.assert_array_equal(
        tested.popularity, np.bincount(log.slate[log.clicks & ~test[:, None]], minlength=NUM_ITEMS)
    )


def test_too_many_requests_are_thinned_out(log: InteractionLog) -> None:
    test = np.ones(len(log), bool)
    every, some, again = (_tested(log, test, max_requests=num) for num in (10**6, 20, 20))
    assert len(some) == 20 < len(every)
    assert set(some.rows.tolist()) <= set(every.rows.tolist())
    np.testing.assert_array_equal(some.rows, again.rows)
    np.testing.assert_array_equal(some.uniform, again.uniform)


def test_exploration_and_rules_leave_the_order_of_the_agent_inside(log: InteractionLog) -> None:
    plain = make_agent("ease")
    plain.learn(log)
    tested = _tested(log, log.day == 3)
    expected = _means(plain, tested)
    assert expected["auc"] > 0.6  # far from indifferent
    for wrapped in (EpsilonGreedy(plain, 0.3), RepeatRules(EpsilonGreedy(plain, 0.3))):
        assert _means(wrapped, tested) == expected


def test_no_requests_no_metrics(log: InteractionLog, policy: FixedScores) -> None:
    tested = _tested(log, np.zeros(len(log), bool))
    assert len(tested) == 0
    protocols = (Protocol(SPLIT), Protocol(SPLIT, Sampled(5)), Protocol(SPLIT, LoggedSlate()))
    found = protocol_metrics(policy, policy, tested, protocols)
    assert all(mean_of_folds([metrics]) == {} for metrics in found.values())


def test_a_policy_without_scores_is_indifferent(log: InteractionLog) -> None:
    tested = _tested(log, np.ones(len(log), bool))
    assert (offline_scores(Random(), tested.observation) == 0).all()
    assert _means(Random(), tested)["auc"] == pytest.approx(0.5)


def test_folds_count_by_their_requests(log: InteractionLog, policy: FixedScores) -> None:
    protocol, whole = Protocol(SPLIT), log.day >= 1
    folds = [
        protocol_metrics(policy, policy, _tested(log, log.day == day), (protocol,))[protocol] for day in (0, 1, 2, 3)
    ]
    together = _means(policy, _tested(log, whole), protocol, (5, 10, 20))
    # How much lists cover and how little known they are is told by each fold's own lists and clicks.
    for folds_again in (folds[1:], [{}, *folds[1:]]):
        told = {name: value for name, value in mean_of_folds(folds_again).items() if not name.startswith(OF_THE_FOLD)}
        assert told == pytest.approx({name: together[name] for name in told}) and len(told) == len(together) - 6


def test_the_retrievers_candidates_are_what_it_would_show(log: InteractionLog, policy: FixedScores) -> None:
    test = log.day >= 2
    retriever = make_agent("popularity")
    retriever.learn(log.take(~test))
    protocol = Protocol(SPLIT, FromRetriever(6))
    assert retrieved_by([protocol, Protocol(SPLIT)]) == 6
    tested = requests_of_fold(
        log, SPLIT, Fold(~test, test), _not_twice_in_a_session, retriever=retriever, num_retrieved=6
    )
    clicks = np.bincount(log.slate[log.clicks & ~test[:, None]], minlength=NUM_ITEMS)
    for row, found in enumerate(tested.retrieved):
        may = np.flatnonzero(tested.ruled.eligible()[row])
        assert set(found) == set(sorted(may, key=lambda item: (-clicks[item], item))[:6])
    # Fewer others than all items: no metric gets worse.
    assert _means(policy, tested, protocol)["recall@5"] >= _means(policy, tested)["recall@5"]


def test_only_slots_that_were_filled_by_chance_count(log: InteractionLog) -> None:
    planted = log.take(slice(0, 60))
    source = (np.arange(60 * planted.num_slots).reshape(60, -1) % 2).astype(np.int16)
    mixed = InteractionLog(**{**vars(planted), "source": source, "sources": ("mf", "bandit/random")})
    split = RandomisedOnly(1)
    by_chance = mixed.clicks & (source == 1)
    (fold,) = split.folds(mixed)
    late = mixed.day == mixed.day.max()
    np.testing.assert_array_equal(fold.test, late & by_chance.any(axis=1))
    np.testing.assert_array_equal(fold.train, ~late)
    tested = requests_of_fold(mixed, split, Fold(~late, np.ones(60, bool)), _no_rules)
    assert tested.gains(Click()).sum() == by_chance.sum() > 0


def test_the_truth_must_be_at_hand(log: InteractionLog, policy: FixedScores) -> None:
    with pytest.raises(ValueError, match="need the moments of the log"):
        protocol_metrics(policy, policy, _tested(log, log.day == 2), (Protocol(SPLIT, Full(), TrueChoice()),))
