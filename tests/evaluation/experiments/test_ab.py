"""Effects of A/B tests against closed forms, the bootstrap, and experiments in which there is none."""

import numpy as np
import pytest
from scipy import stats

from recsim_lab.evaluation.experiments.ab import difference_in_means, difference_in_ratios, linearised, user_totals
from recsim_lab.evaluation.experiments.cuped import adjusted
from recsim_lab.testing import planted_log

A = np.ndarray


def experiment(generator: np.random.Generator, num_users: int = 400) -> tuple[A, A, A, A]:
    """(clicks, slates, clicks of the days before, arm) of users who differ widely in how much they come and click."""
    activity, taste = generator.gamma(1.0, 8.0, num_users), generator.beta(2, 5, num_users)
    slates, before = generator.poisson(activity), generator.poisson(activity * taste)
    return (
        generator.binomial(slates, taste).astype(float),
        slates.astype(float),
        before.astype(float),
        generator.integers(2, size=num_users),
    )


def test_totals_are_those_of_each_user_with_zeros_for_who_never_came():
    log = planted_log(num_users=6, num_days=3, num_slots=4)
    log = log.take(log.user != 2)
    totals = user_totals(log, 7)
    for user in range(7):
        own = log.user == user
        expected = {"slates": own.sum(), "visits": (own & (log.step == 0)).sum(), "clicks": log.clicks[own].sum()}
        expected |= {"dwell": log.dwell[own].sum(), "reward": log.reward[own].sum()}
        assert {name: values[user] for name, values in totals.items()} == pytest.approx(expected)
    assert totals["slates"][[2, 6]].tolist() == [0, 0] and totals["clicks"].sum() > 0
    hidden = user_totals(log.only([]), 7)
    assert np.array_equal(hidden["clicks"], totals["clicks"])


def test_means_are_compared_as_welch_does():
    clicks, _, _, arm = experiment(np.random.default_rng(1))
    arm[:30] = -1
    effect = difference_in_means(clicks, arm)
    welch = stats.ttest_ind(clicks[arm == 1], clicks[arm == 0], equal_var=False)
    ends = welch.confidence_interval(0.95)
    assert effect.p_value == pytest.approx(welch.pvalue)
    assert (effect.difference.low, effect.difference.high) == pytest.approx((ends.low, ends.high))
    assert effect.num_users == ((arm == 0).sum(), (arm == 1).sum())
    assert effect.means == pytest.approx((clicks[arm == 0].mean(), clicks[arm == 1].mean()))


def test_what_the_data_cannot_tell_is_not_told():
    lone = difference_in_means(np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]))
    assert lone.difference.estimate == 1.5 and np.isnan([lone.p_value, lone.difference.low]).all()
    assert difference_in_means(np.ones(6), np.arange(6) % 2).p_value == 1.0


def test_the_delta_method_agrees_with_the_bootstrap():
    generator = np.random.default_rng(2)
    clicks, slates, _, arm = experiment(generator, 2000)
    effect = difference_in_ratios(clicks, slates, arm)
    ratios = [clicks[arm == place].sum() / slates[arm == place].sum() for place in (0, 1)]
    assert effect.means == pytest.approx(ratios)
    drawn = []
    for place in (0, 1):
        rows = generator.choice(np.flatnonzero(arm == place), (2000, (arm == place).sum()))
        drawn.append(clicks[rows].sum(axis=1) / slates[rows].sum(axis=1))
    # The standard error of a standard deviation of 2,000 draws is 1.6%.
    assert effect.standard_error == pytest.approx(np.std(drawn[1] - drawn[0]), rel=0.07)
    # Slates as independent witnesses would be far too sure.
    naive = np.sqrt(sum(r * (1 - r) / slates[arm == k].sum() for k, r in enumerate(ratios)))
    assert effect.standard_error > 1.3 * naive


def test_p_values_of_experiments_without_effect_are_uniform():
    generator = np.random.default_rng(3)
    told = []
    for _ in range(800):
        clicks, slates, before, arm = experiment(generator)
        by_cuped = adjusted(clicks, before, arm).values
        told.append(
            [
                difference_in_means(clicks, arm).p_value,
                difference_in_ratios(clicks, slates, arm).p_value,
                difference_in_means(by_cuped, arm).p_value,
            ]
        )
    for p_values in np.array(told).T:
        assert stats.kstest(p_values, "uniform").pvalue > 1e-4


def test_a_covariate_takes_its_share_of_the_variance_and_leaves_the_effect():
    generator = np.random.default_rng(4)
    rho, num_users = 0.8, 20_000
    before, luck = generator.normal(3, 2, num_users), generator.normal(size=num_users)
    arm = generator.integers(2, size=num_users)
    values = rho * (before - 3) / 2 + np.sqrt(1 - rho**2) * luck + 0.5 * arm
    plain, told = difference_in_means(values, arm), adjusted(values, before, arm)
    effect = difference_in_means(told.values, arm)
    assert told.variance_ratio == pytest.approx(1 - rho**2, abs=0.015)
    assert (effect.standard_error / plain.standard_error) ** 2 == pytest.approx(1 - rho**2, abs=0.015)
    assert abs(effect.difference.estimate - 0.5) < 4 * effect.standard_error
    # The regression of values on arm and covariate, as a textbook writes it.
    design = np.stack([np.ones(num_users), arm, before], axis=1)
    _, of_arm, of_covariate = np.linalg.lstsq(design, values, rcond=None)[0]
    assert (effect.difference.estimate, told.coefficient) == pytest.approx((of_arm, of_covariate))


def test_a_covariate_without_variance_changes_nothing():
    values, arm = np.arange(8.0), np.arange(8) % 2
    told = adjusted(values, np.ones(8), arm)
    assert np.array_equal(told.values, values) and (told.coefficient, told.variance_ratio) == (0.0, 1.0)


def test_linearised_values_have_the_ratio_as_their_mean():
    clicks, slates, _, arm = experiment(np.random.default_rng(5))
    values = linearised(clicks, slates, arm)
    for place in (0, 1):
        own = arm == place
        assert values[own].mean() == pytest.approx(clicks[own].sum() / slates[own].sum())
    assert np.isnan(linearised(clicks, 0 * slates, arm)).all()
