"""Always-valid intervals keep their promise under looks at every user, where those for one look do not."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from recsim_lab.evaluation.experiments.sequential import always_valid, tuned

A = np.ndarray

RUNS, ALPHA = 4000, 0.05
MOST = ALPHA + 4 * np.sqrt(ALPHA * (1 - ALPHA) / RUNS)


def looks_at_users(generator: np.random.Generator, effect: float = 0.0) -> tuple[A, A]:
    """The difference and its standard error after each user, from the 50th of each arm to the 500th; values are as
    skewed as clicks per user."""
    num = np.arange(1, 501)
    means, variances = [], []
    for shift in (0.0, effect):
        values = generator.exponential(1.0, (RUNS, 500)).astype(np.float32) + np.float32(shift)
        mean = values.cumsum(axis=1, dtype=np.float64) / num
        square = (values**2).cumsum(axis=1, dtype=np.float64) / num
        means.append(mean[:, 49:])
        variances.append(((square - mean**2) / np.maximum(num - 1, 1))[:, 49:])
    return means[1] - means[0], np.sqrt(variances[0] + variances[1])


def looks_on_days(generator: np.random.Generator, num_users: int = 150, days: int = 14) -> tuple[A, A]:
    """The same users at the end of each day: their mean so far, of which part is theirs and part the day's luck."""
    num_day = np.arange(1, days + 1)
    means, variances = [], []
    for _ in range(2):
        own = generator.normal(size=(RUNS, num_users, 1)).astype(np.float32)
        daily = own + generator.normal(0, 2, (RUNS, num_users, days)).astype(np.float32)
        so_far = daily.cumsum(axis=2) / num_day
        means.append(so_far.mean(axis=1, dtype=np.float64))
        variances.append(so_far.var(axis=1, ddof=1, dtype=np.float64) / num_users)
    return means[1] - means[0], np.sqrt(variances[0] + variances[1])


@pytest.mark.parametrize("looks", [looks_at_users, looks_on_days])
def test_false_alarms_over_all_looks_together(looks):
    estimate, error = looks(np.random.default_rng(0))
    told = always_valid(estimate, error, tuned(float(error[:, -1].mean()), 1 - ALPHA), 1 - ALPHA)
    assert told.decided[:, -1].mean() <= MOST
    fixed = (np.abs(estimate) > 1.96 * error).any(axis=1).mean()
    assert fixed > 2 * MOST
    # For a look of its own the interval of one look would have done.
    assert (np.abs(estimate[:, -1]) > 1.96 * error[:, -1]).mean() <= MOST


def test_the_promise_does_not_depend_on_the_tuning():
    estimate, error = looks_at_users(np.random.default_rng(1))
    for factor in (0.1, 10.0):
        told = always_valid(estimate, error, factor * tuned(float(error[:, -1].mean())))
        assert told.decided[:, -1].mean() <= MOST


def test_a_true_effect_stays_inside_and_is_found():
    estimate, error = looks_at_users(np.random.default_rng(2), effect=0.4)
    told = always_valid(estimate, error, tuned(float(error[:, -1].mean())))
    missed = ((told.low > 0.4) | (told.high < 0.4)).any(axis=1).mean()
    assert missed <= MOST
    # 6.3 standard errors at the end, against 3.03 of the interval.
    assert told.decided[:, -1].mean() > 0.98
    assert told.decided[:, -1].mean() > told.decided[:, 100].mean() > 0.05
    assert (np.diff(told.p_value, axis=1) <= 0).all()
    assert np.array_equal(told.p_value < ALPHA, told.decided)


def test_it_is_the_confidence_sequence_of_waudby_smith_and_others():
    """Their theorem 2.2, in the number of observations t and the tuning ρ."""
    t, sd, rho, alpha = np.array([50.0, 1000.0, 1e5]), 1.7, 0.06, 0.1
    written = sd * np.sqrt(2 * (t * rho**2 + 1) / (t * rho) ** 2 * np.log(np.sqrt(t * rho**2 + 1) / alpha))
    told = always_valid(np.zeros(3), sd / np.sqrt(t), sd * rho, 1 - alpha)
    np.testing.assert_allclose(told.high, written)
    np.testing.assert_allclose(told.low, -written)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_the_tuning_is_the_best_for_its_look(level):
    def width(log_sd: float) -> float:
        return float(always_valid(np.zeros(1), np.ones(1), float(np.exp(log_sd)), level).high[0])

    best = minimize_scalar(width, bounds=(-3, 5), method="bounded", options={"xatol": 1e-8})
    assert tuned(2.0, level) == pytest.approx(2 * np.exp(best.x), rel=1e-4)
    assert best.fun == pytest.approx(np.sqrt(1 + tuned(1.0, level) ** 2))


def test_a_look_at_nothing_decides_nothing():
    told = always_valid(np.array([0.0, 0.1]), np.array([0.0, 1.0]), 1.0)
    assert not told.decided.any() and (told.p_value <= 1).all()
    for wrong in (0.0, np.inf):
        with pytest.raises(ValueError, match="mixing_sd must be above 0 and finite"):
            always_valid(np.zeros(1), np.ones(1), wrong)
        with pytest.raises(ValueError, match="standard_error must be above 0 and finite"):
            tuned(wrong)
