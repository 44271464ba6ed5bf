"""An estimator that cannot tell says why, as a row like any other."""

from dataclasses import replace

import numpy as np
import pytest

from recsim_lab.evaluation.off_policy import (
    Additive,
    Cascade,
    CascadeDoublyRobust,
    Clip,
    Direct,
    DoublyRobust,
    Estimator,
    Grouped,
    InversePropensity,
    LoggedSlates,
    Replay,
    SelfNormalised,
    Shrink,
    Support,
    WholeSlate,
    logged_actions,
)
from recsim_lab.evaluation.statistics import Interval
from recsim_lab.probabilities import Probabilities

A = np.ndarray
EVERY: tuple[Estimator, ...] = (
    Replay(),
    Direct(),
    InversePropensity(),
    InversePropensity(change=Clip()),
    SelfNormalised(),
    DoublyRobust(),
    DoublyRobust(change=Shrink()),
    InversePropensity(Cascade()),
    InversePropensity(WholeSlate()),
    CascadeDoublyRobust(),
    InversePropensity(Grouped()),
)


def _bandit(logging: A, target: A, num_rows: int = 500, seed: int = 0) -> LoggedSlates:
    rng = np.random.default_rng(seed)
    action = rng.choice(len(logging), num_rows, p=logging)
    tables = (np.tile(table, (num_rows, 1)) for table in (logging, target))
    predicted = rng.uniform(0.4, 0.6, (num_rows, len(logging)))
    reward = (rng.random(num_rows) < 0.5).astype(np.float64)
    return logged_actions(action, reward, *tables, predicted, np.arange(len(logging)))


LIKE = _bandit(np.array([0.4, 0.4, 0.2]), np.array([0.2, 0.5, 0.3]))


@pytest.mark.parametrize("estimator", EVERY, ids=lambda estimator: estimator.name)
def test_what_is_supported_is_estimated(estimator: Estimator) -> None:
    estimate = estimator.estimate(LIKE)
    assert not estimate.refused and estimate.reason == ""
    row = estimate.row()
    assert row["low"] < row["value"] < row["high"] and row["estimator"] == estimator.name
    assert 0.3 < estimate.value < 0.7
    assert estimate.unsupported == Interval(0.0, 0.0, 0.0)


@pytest.mark.parametrize("estimator", EVERY, ids=lambda estimator: estimator.name)
@pytest.mark.parametrize(
    ("logging", "target", "reason"),
    [
        ([1.0, 0.0, 0.0], [1.0, 0.0, 0.0], "the logging policy is deterministic"),
        ([0.5, 0.5, 0.0], [0.5, 0.48, 0.02], "logging never shows 2.0% to 2.0% of the target's mass; at most 1%"),
    ],
    ids=["deterministic", "no-support"],
)
def test_without_support_there_is_a_reason(
    estimator: Estimator, logging: list[float], target: list[float], reason: str
) -> None:
    estimate = estimator.estimate(_bandit(np.array(logging), np.array(target)))
    assert estimate.refused and estimate.reason.startswith(reason)
    assert all(np.isnan(estimate.row()[name]) for name in ("value", "low", "high", "standard_error", "largest_weight"))


@pytest.mark.parametrize("estimator", EVERY, ids=lambda estimator: estimator.name)
def test_a_hundredth_may_be_missing(estimator: Estimator) -> None:
    estimate = estimator.estimate(_bandit(np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.491, 0.009])))
    assert not estimate.refused
    assert estimate.unsupported.high == pytest.approx(0.009)


def _without_support(logged: LoggedSlates) -> LoggedSlates:
    groups = logged.groups
    return replace(logged, support=None, groups=groups and replace(groups, support=None))


def test_unknown_support_is_bounded_by_the_mean_weight() -> None:
    logged = _without_support(_bandit(np.array([0.5, 0.5, 0.0]), np.array([0.4, 0.3, 0.3]), num_rows=20_000))
    for estimator in EVERY:
        estimate = estimator.estimate(logged)
        assert estimate.refused and "of the target's mass, bounded by the mean weight" in estimate.reason
        assert estimate.unsupported.low < 0.3 < estimate.unsupported.high < 0.31
    whole = InversePropensity().estimate(_without_support(LIKE))
    assert not whole.refused and whole.unsupported.low == 0 < whole.unsupported.high < 0.2


def test_the_bound_covers_and_seldom_cries_wolf() -> None:
    bounds = [
        InversePropensity().estimate(
            _without_support(_bandit(np.array([0.6, 0.4, 0.0]), np.array([0.3, 0.69, 0.01]), 300, seed))
        )
        for seed in range(300)
    ]
    # Each covers 1% with a chance of .999; five or more misses of 300 have a chance below 1e-4.
    assert sum(not bound.unsupported.contains(0.01) for bound in bounds) < 5
    assert sum(bound.refused for bound in bounds) < 5


def _with(logged: LoggedSlates, side: str, field: str, value: float) -> LoggedSlates:
    told: Probabilities = getattr(logged, side)
    array = getattr(told, field).copy()
    array[3] = value
    return replace(logged, **{side: replace(told, **{field: array})})


@pytest.mark.parametrize("side", ["logging", "target"])
def test_unknown_probabilities_are_no_gap(side: str) -> None:
    whose = "the logging policy's" if side == "logging" else "the target's"
    unknown = _with(LIKE, side, "marginal", np.nan)
    for estimator in (InversePropensity(), SelfNormalised(), DoublyRobust(), InversePropensity(change=Clip())):
        assert estimator.estimate(unknown).reason == f"{whose} marginal probabilities are not known in 1 of 500 rows"
    assert not InversePropensity(Cascade()).estimate(unknown).refused
    unknown = _with(LIKE, side, "prefix", np.nan)
    for estimator in (InversePropensity(Cascade()), InversePropensity(WholeSlate()), CascadeDoublyRobust(), Replay()):
        assert estimator.estimate(unknown).reason == f"{whose} prefix probabilities are not known in 1 of 500 rows"
    assert not InversePropensity().estimate(unknown).refused
    # The direct method asks for no probabilities where support is known, and for all where it is not.
    unknown = _with(LIKE, side, "marginal", np.nan)
    assert not Direct().estimate(unknown).refused
    assert "are not known in 1 of 500 rows" in Direct().estimate(_without_support(unknown)).reason


def test_a_log_that_contradicts_its_policy_is_refused() -> None:
    reason = InversePropensity().estimate(_with(LIKE, "logging", "marginal", 0.0)).reason
    assert reason == "the logging policy calls 1 of 500 logged slates impossible"


def test_what_is_left_out_has_its_own_reason() -> None:
    bare = replace(LIKE, model=None, remainder=None, groups=None, absent={"additive": "the catalogue is too large"})
    for estimator, reason in (
        (Direct(), "model is not given"),
        (DoublyRobust(), "model is not given"),
        (CascadeDoublyRobust(), "remainder is not given"),
        (InversePropensity(Grouped()), "groups is not given"),
        (InversePropensity(Additive()), "the catalogue is too large"),
    ):
        assert estimator.estimate(bare).reason == reason


@pytest.mark.parametrize("estimator", EVERY, ids=lambda estimator: estimator.name)
def test_no_rows_no_estimate(estimator: Estimator) -> None:
    nothing = LoggedSlates(np.zeros((0, 2)), *(Probabilities(*(np.zeros((0, 2)) for _ in range(4))) for _ in range(2)))
    assert estimator.estimate(nothing).reason == "there are no rows"


def test_no_match_is_a_reason_too() -> None:
    rows = np.tile([0.9, 0.1], (5, 1))
    target = np.tile([0.0, 1.0], (5, 1))
    logged = logged_actions(np.zeros(5, int), np.ones(5), rows, target)
    assert SelfNormalised().estimate(logged).reason == Replay().estimate(logged).reason == "all weights are 0"
    assert (
        InversePropensity().estimate(logged).reason == "nothing was earned where the target would have shown the same"
    )


def test_one_row_has_no_error() -> None:
    one = logged_actions(np.zeros(1, int), np.ones(1), np.full((1, 2), 0.5), np.full((1, 2), 0.5))
    for estimator in (InversePropensity(), InversePropensity(change=Clip())):
        estimate = estimator.estimate(one)
        assert estimate.value == 1 and np.isnan(estimate.standard_error) and np.isnan(estimate.interval().low)


def test_wrong_arrays_are_named() -> None:
    with pytest.raises(ValueError, match="reward must be finite"):
        replace(LIKE, reward=LIKE.reward * np.nan)
    with pytest.raises(ValueError, match=r"logging probabilities must be at least 0, got -0\.5"):
        _with(LIKE, "logging", "marginal", -0.5)
    with pytest.raises(ValueError, match=r"target probabilities must be at most 1, got 1\.5"):
        _with(LIKE, "target", "prefix", 1.5)
    with pytest.raises(ValueError, match="level must be in"):
        InversePropensity().estimate(LIKE).interval(1.0)


def test_what_logging_could_not_tell_counts_against_it() -> None:
    unsure = Support(Interval(0.0, 0.0, 0.02), Interval(0.0, 0.0, 0.0))
    logged = replace(LIKE, support=unsure)
    assert InversePropensity().estimate(logged).reason.startswith("logging never shows 0.0% to 2.0%")
    assert not InversePropensity(Cascade()).estimate(logged).refused
