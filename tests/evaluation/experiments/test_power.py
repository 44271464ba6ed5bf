"""The users that an experiment needs: the formula and the draws agree, and both do what they say."""

import numpy as np
import pytest
from scipy import stats

from recsim_lab.evaluation.experiments.ab import difference_in_means
from recsim_lab.evaluation.experiments.interleaving import outcomes, preference
from recsim_lab.evaluation.experiments.power import power_curve, users_needed
from recsim_lab.evaluation.statistics import Interval


def test_the_formula_is_that_of_textbooks():
    """Two arms of equal size and variance: 2 (z + z)² σ² / δ² users in each."""
    told = users_needed(Interval(0.2, 0.1, 0.3), np.sqrt(2 * 1.5**2 / 500), 1000)
    in_each = 2 * (1.959964 + 0.841621) ** 2 * 1.5**2 / 0.2**2
    assert told.estimate == pytest.approx(2 * in_each, rel=1e-5)
    assert (told.low, told.high) == pytest.approx((told.estimate / 2.25, told.estimate * 4))


def test_an_effect_that_may_be_zero_may_need_any_number():
    told = users_needed(Interval(-0.1, -0.3, 0.1), 0.1, 100)
    assert np.isfinite(told.estimate) and told.high == np.inf
    assert told.low == pytest.approx(users_needed(Interval(0.3, 0.3, 0.3), 0.1, 100).estimate)
    assert users_needed(Interval(0.0, -1.0, 1.0), 0.1, 100).estimate == np.inf
    with pytest.raises(ValueError, match="power must be in"):
        users_needed(Interval(0.1, 0.1, 0.1), 0.1, 100, power=1.0)


def test_the_number_that_the_formula_names_gives_the_power_in_draws():
    generator = np.random.default_rng(0)
    arm = generator.integers(2, size=4000)
    values = generator.exponential(1.0, 4000) - 0.15 * arm
    effect = difference_in_means(values, arm)
    size = users_needed(effect.difference, effect.standard_error, 4000).estimate
    curve = power_curve(values, arm, [round(size / 4), round(size), round(4 * size)], -1, num_draws=2000)
    assert curve["power"].iloc[1] == pytest.approx(0.8, abs=0.04)
    assert curve["power"].iloc[0] == pytest.approx(stats.norm.sf(1.96 - 2.8016 / 2), abs=0.05)
    assert curve["power"].iloc[2] > 0.995
    assert (curve["low"] < curve["power"]).all() and (curve["high"] >= curve["power"]).all()


def test_interleaving_is_a_test_of_one_mean():
    generator = np.random.default_rng(1)
    margin = generator.choice([-1, 0, 1], 3000, p=[0.3, 0.3, 0.4])
    user = np.arange(3000)
    told = preference(margin, user)
    size = users_needed(told.delta, told.standard_error, told.num_users).estimate
    curve = power_curve(outcomes(margin, user)[0], None, [round(size)], num_draws=2000)
    assert curve["power"].iloc[0] == pytest.approx(0.8, abs=0.04)


def test_without_difference_the_right_side_is_found_by_chance_only():
    values = np.random.default_rng(3).normal(size=1000)
    values -= values.mean()
    curve = power_curve(values, None, [50, 200], num_draws=4000)
    assert (curve["power"] < 0.025 + 4 * np.sqrt(0.025 / 4000)).all()


def test_draws_follow_from_the_seed_and_what_cannot_be_tested_is_refused():
    values, arm = np.random.default_rng(2).normal(size=100), np.arange(100) % 2
    first, again, other = (power_curve(values, arm, [60], seed=seed) for seed in (1, 1, 2))
    assert first.equals(again) and not first.equals(other)
    with pytest.raises(ValueError, match=r"each arm must have two users at least, got \[99, 1\]"):
        power_curve(values, (np.arange(100) == 3).astype(int), [60])
    with pytest.raises(ValueError, match="direction must be 1 or -1, got 0"):
        power_curve(values, arm, [60], 0)
