"""Intervals cover what they promise; corrections and correlations equal their definitions."""

from inspect import unwrap as unchecked  # without the shape checker, as users run it

import numpy as np
import pytest
from scipy import stats

from recsim_lab.evaluation.statistics import (
    Interval,
    holm,
    mean_interval,
    paired_interval,
    pearson,
    separated_pairs,
    spearman,
)

FOUR_ERRORS = 4.0  # standard errors: a false alarm in 16,000


def test_mean_interval_of_three_values_by_hand():
    interval = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert interval.estimate == 2.0
    assert interval.high - 2.0 == pytest.approx(4.302653 / np.sqrt(3), abs=1e-6)  # t of 2 degrees of freedom
    assert interval.low + interval.high == pytest.approx(4.0)
    assert interval.contains(0.0) and not interval.contains(-1.0)


def test_mean_interval_covers_the_mean_as_often_as_it_says():
    values = np.random.default_rng(2).normal(3.0, 1.0, (4000, 4))
    covered = np.mean([mean_interval(row, level=0.9).contains(3.0) for row in values])
    assert abs(covered - 0.9) < FOUR_ERRORS * np.sqrt(0.9 * 0.1 / 4000)


def test_paired_interval_removes_what_the_pairs_share():
    generator = np.random.default_rng(3)
    luck = generator.normal(0, 100, 10)
    a, b = luck + generator.normal(1, 0.1, 10), luck + generator.normal(0, 0.1, 10)
    interval = paired_interval(a, b)
    assert 0.5 < interval.low < interval.estimate < interval.high < 1.5
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_too_few_or_missing_values():
    assert mean_interval(np.array([5.0])).estimate == 5.0
    assert np.isnan(mean_interval(np.array([5.0])).low)
    assert np.isnan(mean_interval(np.array([])).estimate)
    assert np.isnan(mean_interval(np.array([1.0, np.nan])).high)


def test_holm_by_hand():
    adjusted = holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005]))
    np.testing.assert_allclose(adjusted, [0.03, 0.06, np.nan, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).size == 0


def test_correlations_equal_scipy_and_are_defined_everywhere():
    generator = np.random.default_rng(6)
    for _ in range(20):
        a = generator.integers(0, 6, 15).astype(float)
        b = a + generator.integers(0, 6, 15)
        assert pearson(a, b) == pytest.approx(stats.pearsonr(a, b).statistic)
        assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    rising, constant = np.arange(4.0), np.ones(4)
    for correlation in (pearson, spearman):
        assert correlation(rising, rising) == pytest.approx(1.0)
        assert np.isnan(correlation(rising, constant))
        assert np.isnan(correlation(rising, np.array([1.0, np.nan, 2.0, 3.0])))
        assert np.isnan(correlation(rising[:1], rising[:1]))
        assert np.isnan(correlation(rising[:0], rising[:0]))
    assert pearson(rising * 1e300, rising * 1e-300) == pytest.approx(1.0)


def test_separated_pairs_counts_significant_paired_tests():
    generator = np.random.default_rng(8)
    values = generator.normal(size=(6, 5)) + np.array([0, 0, 0, 2, 4, 8.0])[:, None]
    p_values = [stats.ttest_rel(values[i], values[j]).pvalue for i in range(6) for j in range(i)]
    plain = np.mean(np.array(p_values) < 0.05)
    assert separated_pairs(values) == pytest.approx(plain)
    corrected = np.mean(holm(np.array(p_values)) < 0.05)
    assert separated_pairs(values, holm_corrected=True) == pytest.approx(corrected)
    assert 0 < corrected < plain < 1


def test_equal_pairs_count_as_tests_made():
    equal = np.zeros(4)
    other = 2.62 + np.array([1.0, -1.0, 1.0, -1.0])  # p = .02 against either: twice that passes, thrice does not
    values = np.stack([equal, equal, other])
    assert separated_pairs(values) == pytest.approx(2 / 3)
    assert separated_pairs(values, holm_corrected=True) == 0.0
    assert separated_pairs(values, level=0.93, holm_corrected=True) == pytest.approx(2 / 3)


def test_separated_pairs_of_equal_agents_is_the_error_rate():
    generator = np.random.default_rng(9)
    shares = [separated_pairs(generator.normal(size=(2, 5))) for _ in range(4000)]
    assert abs(np.mean(shares) - 0.05) < FOUR_ERRORS * np.sqrt(0.05 * 0.95 / 4000)


def test_separated_pairs_at_the_edges():
    same = np.ones((2, 3))
    assert separated_pairs(same) == 0.0
    assert separated_pairs(same + np.array([[0.0], [1.0]])) == 1.0
    assert separated_pairs(np.append(same, [[np.nan, 1, 1]], axis=0)) == 0.0
    assert np.isnan(separated_pairs(same[:1]))
    assert np.isnan(separated_pairs(same[:, :1]))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\), got 95\.0"):
        mean_interval(np.ones(3), level=95.0)
    with pytest.raises(ValueError, match="must be paired, got 3 and 2"):
        unchecked(paired_interval)(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="must be paired, got 3 and 1"):
        unchecked(spearman)(np.arange(3.0), np.ones(1))
    with pytest.raises(ValueError, match=r"p_values must be in \[0, 1\]"):
        holm(np.array([1.2]))
    assert Interval(0.0, np.nan, np.nan).contains(0.0) is False
