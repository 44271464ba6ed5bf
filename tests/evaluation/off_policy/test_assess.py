"""Estimators on logs: what they read of log and policies, and that they find what a target would earn."""

from dataclasses import replace

import numpy as np
import pytest

from agents.baselines import Random
from agents.exploration import EpsilonGreedy, EpsilonGreedySlate, NewItemExploration
from recsim_lab.evaluation.off_policy import (
    Additive,
    Cascade,
    CascadeDoublyRobust,
    Direct,
    DoublyRobust,
    Estimator,
    Grouped,
    InversePropensity,
    Question,
    Replay,
    SelfNormalised,
    Shrink,
    assess,
    logged_slates,
)
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Policy
from tests.evaluation.off_policy.served import by_taste, click_chance, serve, true_value

A = np.ndarray
GROUPS = np.arange(8) % 3
UNBIASED: tuple[Estimator, ...] = (
    InversePropensity(),
    InversePropensity(Cascade()),
    InversePropensity(Additive()),
    SelfNormalised(),
    DoublyRobust(),
    DoublyRobust(Cascade()),
    DoublyRobust(Additive()),
    CascadeDoublyRobust(),
)
LOGGING = EpsilonGreedy(by_taste(0.5, seed=1), 0.6)


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    return serve(LOGGING)


@pytest.fixture(scope="module")
def uniform() -> InteractionLog:
    return serve(Random(), seed=5)


TARGETS: dict[str, Policy] = {
    "scorer": by_taste(0.5, seed=1),
    "other scorer": by_taste(1.0, seed=2),
    "epsilon": EpsilonGreedy(by_taste(1.0, seed=3), 0.3),
    "random": Random(),
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_value_of_a_target_is_found(log: InteractionLog, uniform: InteractionLog, name: str) -> None:
    target = TARGETS[name]
    for served, logging in ((log, LOGGING), (uniform, None)):
        logged = logged_slates(served, target, logging, Question(batch=400))
        truth = true_value(served, target)
        for estimate in assess(logged, UNBIASED):
            if "additive" in estimate.estimator and served is log:
                assert estimate.reason == "logging was not uniform, and its pairs are not asked for"
                continue  # pairs are counted in redraws, which has a test of its own
            assert not estimate.refused, (estimate.estimator, estimate.reason)
            assert abs(estimate.value - truth) < 4.5 * estimate.standard_error + 0.005, estimate
            assert estimate.standard_error < 0.6 * truth
        model = Direct().estimate(logged)
        assert abs(model.value / truth - 1) < 0.3


def test_arrays_are_what_policies_tell_row_by_row(log: InteractionLog) -> None:
    target = TARGETS["epsilon"]
    rows = np.array([700, 3, 41, 1999])
    logged = logged_slates(log, target, question=Question(model=None, additive=False), rows=rows)
    for place, row in enumerate(rows):
        told = target.probabilities(log.observations(np.array([row])), log.slate[row][None])
        np.testing.assert_allclose(logged.target.marginal[place], told.marginal[0], rtol=1e-6)
        np.testing.assert_allclose(logged.target.prefix[place], told.prefix[0], rtol=1e-9)
        np.testing.assert_allclose(logged.logging.prefix[place], log.prefix_propensity[row])
    np.testing.assert_array_equal(logged.reward, log.clicks[rows])
    np.testing.assert_array_equal(logged.cluster, log.user[rows])
    assert logged.num_clusters == len(np.unique(log.user[rows]))
    assert logged.support is None and logged.model is None
    reasons = [estimate.reason for estimate in assess(logged, (Direct(), InversePropensity(Additive())))]
    assert reasons == ["no model of rewards is asked for", "it is not asked for"]


def test_batches_change_nothing(log: InteractionLog) -> None:
    some = log.take(np.arange(300))
    for target in (TARGETS["scorer"], TARGETS["random"]):
        estimates = [
            assess(logged_slates(some, target, LOGGING, Question(batch=batch, cascade=False)), UNBIASED[:6])
            for batch in (300, 37)
        ]
        for one, other in zip(*estimates, strict=True):
            assert one.reason == other.reason
            for name in ("value", "standard_error", "effective_sample_size", "largest_weight"):
                assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6, nan_ok=True)


def test_any_reward_of_a_slot_can_be_asked_for(log: InteractionLog) -> None:
    late = log.clicks * np.array([0.0, 1.0])
    target = TARGETS["random"]
    logged = logged_slates(log, target, LOGGING, Question(additive=False), reward=late)
    rng = np.random.default_rng(0)
    truth = click_chance(log, rng.integers(8, size=(len(log), 2)))[:, 1].mean()
    for estimate in assess(logged, (InversePropensity(), CascadeDoublyRobust())):
        assert abs(estimate.value - truth) < 4.5 * estimate.standard_error + 0.01
    with pytest.raises(ValueError, match="reward must have a value for each slot of the log"):
        logged_slates(log, target, reward=late[:5])


def test_groups_of_items_make_a_target_of_few_items_known(uniform: InteractionLog) -> None:
    """Groups that tell all of what matters: MIPS is right, with less variance."""
    taste = by_taste(5.0, seed=4)
    chance = np.where(uniform.slate % 2 == uniform.user[:, None] % 2, 0.6, 0.1)
    clicks = np.random.default_rng(3).random(chance.shape) < chance
    logged = logged_slates(uniform, taste, question=Question(groups=np.arange(8) % 2), reward=clicks.astype(float))
    grouped, plain = assess(logged, (InversePropensity(Grouped()), InversePropensity()))
    assert abs(grouped.value - 1.2) < 4.5 * grouped.standard_error + 0.01  # two own items a slate
    assert grouped.standard_error < 0.7 * plain.standard_error
    assert grouped.largest_weight == pytest.approx(2)
    # Cascades of groups have larger weights.
    cascade = InversePropensity(Grouped(cascade=True)).estimate(logged)
    assert cascade.largest_weight == pytest.approx(8 / 4 * 7 / 3)
    assert abs(cascade.value - 1.2) < 4.5 * cascade.standard_error + 0.01


def test_groups_of_logging_that_is_not_uniform_are_asked_of_its_policy(log: InteractionLog) -> None:
    some = log.take(np.arange(200))
    logged = logged_slates(some, TARGETS["scorer"], LOGGING, Question(groups=GROUPS, model=None, additive=False))
    assert logged.groups
    marginal = np.zeros(some.slate.shape)
    for first in range(8):
        # All items of the catalogue, each in each slot once.
        slates = np.tile((first + np.arange(2)) % 8, (len(some), 1))
        told = LOGGING.probabilities(some.observations(), slates)
        marginal += told.marginal * (GROUPS[slates] == GROUPS[some.slate])
    np.testing.assert_allclose(logged.groups.logging.marginal, marginal, rtol=1e-5)
    without = logged_slates(some, TARGETS["scorer"], None, Question(groups=GROUPS, model=None, pairs=True))
    for weighting in (Grouped(), Additive()):
        reason = InversePropensity(weighting).estimate(without).reason
        assert reason == "logging was not uniform, and its policy is not at hand"
    with pytest.raises(ValueError, match="groups must have a code for each of 8 items, got 3"):
        logged_slates(some, TARGETS["scorer"], LOGGING, Question(groups=np.arange(3)))


def _first_half(observation: Observation, num_slots: int) -> Observation:
    """A rule: the second half of the catalogue is forbidden."""
    return observation.block(np.tile(np.arange(4, 8), (len(observation), 1)))


class Halved(Policy):
    """A policy under the rule."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    @property
    def name(self) -> str:
        return self.policy.name

    def recommend(self, observation, num_slots, draws):
        return self.policy.recommend(_first_half(observation, num_slots), num_slots, draws)

    def probabilities(self, observation, slates):
        return self.policy.probabilities(_first_half(observation, slates.shape[1]), slates)


def test_what_logging_never_shows_is_refused_whether_its_policy_is_at_hand_or_not() -> None:
    logging = Halved(EpsilonGreedy(by_taste(0.5), 0.5))
    log = serve(logging)
    target = EpsilonGreedy(by_taste(0.5), 0.5)
    question = Question(additive=False)
    known = logged_slates(log, target, logging, question)
    assert known.support and 0.3 < known.support.marginal.estimate < 0.7
    bounded = logged_slates(log, target, None, question)
    for estimator in (*UNBIASED[:2], DoublyRobust(change=Shrink()), Direct(), CascadeDoublyRobust(), Replay()):
        for logged in (known, bounded):
            assert estimator.estimate(logged).reason.startswith("logging never shows")
    share = InversePropensity().estimate(bounded).unsupported
    assert share.contains(known.support.marginal.estimate)
    # Under the rule the target is what logging may show, and rules can be applied to requests instead.
    for policy, restrict in ((Halved(target), Question().restrict), (target, _first_half)):
        logged = logged_slates(log, policy, logging, replace(question, restrict=restrict))
        assert logged.support and logged.support.prefix.high == 0
        estimate = InversePropensity().estimate(logged)
        assert abs(estimate.value - log.clicks.sum(axis=1).mean()) < 0.2


def test_a_deterministic_log_is_refused() -> None:
    log = serve(by_taste(0.5), num_days=1)
    for target in (by_taste(0.5), by_taste(1.0)):
        for logging in (by_taste(0.5), None):
            logged = logged_slates(log, target, logging, Question(groups=GROUPS))
            for estimate in assess(logged, UNBIASED):
                assert estimate.refused and ("deterministic" in estimate.reason or "not uniform" in estimate.reason)


def test_propensities_that_the_log_lacks_are_asked_of_the_saved_policy() -> None:
    logging = NewItemExploration(by_taste(0.5, num_items=6), 0.5, redraws=1_000)
    log = serve(logging, num_items=6, num_days=1)
    assert np.isnan(log.propensity).any()
    target = by_taste(1.0, num_items=6)
    question = Question(model=None, additive=False)
    alone, told = (logged_slates(log, target, policy, question) for policy in (None, logging))
    assert "the logging policy's marginal probabilities are not known in" in InversePropensity().estimate(alone).reason
    estimate = InversePropensity().estimate(told)
    assert not estimate.refused
    assert told.logging.error.max() > 0
    np.testing.assert_allclose(told.logging.prefix, log.prefix_propensity)
    exact = replace(told, logging=replace(told.logging, error=np.zeros_like(told.logging.error)))
    assert estimate.standard_error > InversePropensity().estimate(exact).standard_error


def test_pairs_of_logging_that_is_not_uniform_are_asked_of_its_policy() -> None:
    logging = EpsilonGreedySlate(by_taste(0.5, num_items=5), 0.7)
    log = serve(logging, num_items=5, num_days=1)
    target = by_taste(1.0, num_items=5, seed=3)
    logged = logged_slates(log, target, logging, Question(model=None, pairs=True, num_redraws=300))
    estimate = InversePropensity(Additive()).estimate(logged)
    assert not estimate.refused
    assert abs(estimate.value - true_value(log, target)) < 4.5 * estimate.standard_error
    assert logged.additive and logged.additive.error.max() > 0
    too_many = serve(EpsilonGreedy(by_taste(0.5, num_items=60), 0.5), num_items=60, num_days=1)
    logging, question = EpsilonGreedy(by_taste(0.5, num_items=60), 0.5), Question(model=None, pairs=True)
    logged = logged_slates(too_many, by_taste(1.0, num_items=60), logging, question)
    assert InversePropensity(Additive()).estimate(logged).reason == (
        "logging was not uniform, and pairs of more than 50 eligible items, 60, are too many"
    )


def test_hidden_slots_are_estimated_as_served(log: InteractionLog) -> None:
    hidden = log.only(["random"])
    assert (hidden.slate < 0).any()
    question = Question(model=None, additive=False)
    found = [
        InversePropensity().estimate(logged_slates(some, TARGETS["scorer"], question=question))
        for some in (hidden, log)
    ]
    assert found[0] == found[1]


def test_no_rows_are_refused(log: InteractionLog) -> None:
    logged = logged_slates(log, TARGETS["epsilon"], LOGGING, rows=np.zeros(0, int))
    assert [estimate.reason for estimate in assess(logged, UNBIASED)] == ["there are no rows"] * len(UNBIASED)


def test_wrong_questions_are_named() -> None:
    for name, least in (("own_slates", 2), ("num_redraws", 2), ("num_folds", 2), ("batch", 1)):
        with pytest.raises(ValueError, match=f"{name} must be at least {least}, got {least - 1}"):
            Question(**{name: least - 1})
