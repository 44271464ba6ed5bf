"""Offline protocols against a literal twin: requests, candidates and metrics, one at a time."""

import math

import numpy as np
import pytest

from agents.baselines import Random
from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy
from agents.registry import make_agent
from recsim_lab.evaluation.offline import Candidates, Requests, offline_metrics, offline_scores, rebuild_requests
from recsim_lab.evaluation.oracle import FixedScores
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation
from recsim_lab.testing import planted_log

A = np.ndarray
NUM_USERS, NUM_ITEMS = 12, 25


def _no_rules(observation: Observation, num_slots: int) -> Observation:
    return observation


def _not_twice_in_a_session(observation: Observation, num_slots: int) -> Observation:
    return observation.block(observation.shown)


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


@pytest.mark.parametrize("once", [False, True], ids=["no-rules", "not-twice"])
@pytest.mark.parametrize("cutoff", [1, 5])
def test_full_candidates_equal_the_literal_twin(
    log: InteractionLog, policy: FixedScores, once: bool, cutoff: int
) -> None:
    test = log.day >= 1
    requests = rebuild_requests(log, test, _not_twice_in_a_session if once else _no_rules, max_requests=10**6)
    (metrics,) = offline_metrics(policy, requests, (Candidates(),), (cutoff,), batch=7).values()
    expected = _literal(log, test, policy.table, once, cutoff)
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-9), name


def test_requests_are_the_test_slates_with_a_click(log: InteractionLog) -> None:
    test = log.day == 2
    requests = rebuild_requests(log, test, _no_rules, max_requests=10**6)
    rows = np.flatnonzero(test & log.clicks.any(axis=1))
    assert len(requests) == len(rows) > 30
    np.testing.assert_array_equal(requests.observation.tick, log.tick[rows])
    np.testing.assert_array_equal(requests.observation.user, log.user[rows])
    np.testing.assert_array_equal(requests.relevant.sum(axis=1), log.clicks[rows].sum(axis=1))
    assert np.take_along_axis(requests.relevant, log.slate[rows].astype(np.int64), axis=1)[log.clicks[rows]].all()
    # A user's past is taken from the whole log, the part that is learned from included.
    assert (requests.observation.clicked_tick.max(axis=1) < requests.observation.tick).all()
    assert (requests.observation.clicked[:, -1] >= 0).any()


def test_too_many_requests_are_thinned_out(log: InteractionLog) -> None:
    test = np.ones(len(log), bool)
    every = rebuild_requests(log, test, _no_rules, max_requests=10**6)
    some = rebuild_requests(log, test, _no_rules, max_requests=20)
    assert len(some) == 20 < len(every)
    pairs = {(int(u), int(t)) for u, t in zip(every.observation.user, every.observation.tick, strict=True)}
    assert {(int(u), int(t)) for u, t in zip(some.observation.user, some.observation.tick, strict=True)} <= pairs
    again = rebuild_requests(log, test, _no_rules, max_requests=20)
    np.testing.assert_array_equal(some.observation.tick, again.observation.tick)
    np.testing.assert_array_equal(some.sampling_order, again.sampling_order)


def _requests(num_requests: int = 4000) -> Requests:
    log = planted_log(num_users=100, num_items=NUM_ITEMS, num_days=30)
    return rebuild_requests(log, np.ones(len(log), bool), _not_twice_in_a_session, num_requests, seed=1)


def test_sampled_candidates_are_as_many_as_asked_for_and_hold_the_relevant() -> None:
    requests = _requests()
    chosen = requests.candidates(Candidates(4))
    assert chosen[requests.relevant].all()
    others = chosen & ~requests.relevant
    assert (others.sum(axis=1) == 4).all()
    assert not (others & ~requests.eligible).any()
    # More than there are: all of them.
    np.testing.assert_array_equal(requests.candidates(Candidates(1000)), requests.candidates(Candidates()))
    np.testing.assert_array_equal(requests.candidates(Candidates()), requests.eligible | requests.relevant)


def test_sampled_candidates_are_uniform() -> None:
    requests = _requests()
    others = requests.candidates(Candidates(4)) & ~requests.relevant
    possible = requests.eligible & ~requests.relevant
    chance = np.where(possible, 4 / possible.sum(axis=1, keepdims=True), 0)
    deviation = (others - chance).sum(axis=0) / np.sqrt((chance * (1 - chance)).sum(axis=0))
    # 25 items, each beyond 5 standard deviations with chance 6e-7.
    assert np.abs(deviation).max() < 5
    assert 0.5 < deviation.std() < 1.6


def test_candidates_of_all_policies_are_the_same(log: InteractionLog) -> None:
    requests = rebuild_requests(log, np.ones(len(log), bool), _no_rules)
    kind = Candidates(5)
    np.testing.assert_array_equal(requests.candidates(kind), requests.candidates(kind))


def test_no_requests_no_metrics(log: InteractionLog, policy: FixedScores) -> None:
    requests = rebuild_requests(log, np.zeros(len(log), bool), _no_rules)
    assert len(requests) == 0
    assert offline_metrics(policy, requests, (Candidates(), Candidates(5))) == {"full": {}, "sampled5": {}}


def test_a_policy_without_scores_is_indifferent(log: InteractionLog) -> None:
    requests = rebuild_requests(log, np.ones(len(log), bool), _no_rules)
    assert (offline_scores(Random(), requests.observation) == 0).all()
    (metrics,) = offline_metrics(Random(), requests, (Candidates(),)).values()
    assert metrics["auc"] == pytest.approx(0.5)


def test_exploration_and_rules_leave_the_order_of_the_agent_inside(log: InteractionLog) -> None:
    plain = make_agent("ease")
    plain.learn(log)
    requests = rebuild_requests(log, log.day == 3, _no_rules)
    expected = offline_metrics(plain, requests, (Candidates(),))
    assert expected["full"]["auc"] > 0.6  # far from indifferent
    for wrapped in (EpsilonGreedy(plain, 0.3), RepeatRules(EpsilonGreedy(plain, 0.3))):
        assert offline_metrics(wrapped, requests, (Candidates(),)) == expected


def test_wrong_candidates_are_named() -> None:
    with pytest.raises(ValueError, match="num_sampled must be at least 1 or None, got 0"):
        Candidates(0)
    assert Candidates().name == "full" and Candidates(7).name == "sampled7"
