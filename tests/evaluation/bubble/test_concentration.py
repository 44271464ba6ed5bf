"""Shares and Ginis equal counts by hand and literal definitions, and stay in their bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from recsim_lab.evaluation.bubble.concentration import (
    coverage,
    creator_gini,
    effective_catalogue,
    gini,
    popularity_lift,
    share_of,
    stability,
    top_share,
)

COUNTS = hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 1000)).filter(np.any)


def test_by_hand():
    counts = np.array([0, 6, 2, 0])
    assert coverage(counts) == 0.5
    # Two items with shares 3/4 and 1/4.
    assert effective_catalogue(counts) == pytest.approx(4 / 3**0.75)
    # Half the mean difference of two items, over the mean.
    assert gini(counts) == pytest.approx(np.abs(counts[:, None] - counts).mean() / 2 / 2)
    assert top_share(counts) == 0.75  # one of four is the least that can be
    assert top_share(counts, part=0.5) == 1.0
    assert share_of(counts, np.array([True, False, True, False])) == 0.25
    assert creator_gini(counts, np.array([5, 5, 9, 9])) == pytest.approx(0.25)  # 6 and 2


def test_the_top_hundredth_is_rounded_up():
    counts = np.arange(201)
    assert top_share(counts) == pytest.approx((200 + 199 + 198) / counts.sum())
    with pytest.raises(ValueError, match=r"part must be in \(0, 1\], got 0.0"):
        top_share(counts, part=0.0)


@pytest.mark.parametrize("number", [0, 5])
def test_nothing_tells_nothing(number):
    counts = np.zeros(number, int)
    creator, those = np.arange(number), np.ones(number, bool)
    values = (
        coverage(counts),
        effective_catalogue(counts),
        gini(counts),
        top_share(counts),
        share_of(counts, those),
        creator_gini(counts, creator),
    )
    assert np.isnan(values).all()


@given(COUNTS, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_bounds_and_the_order_of_items(counts, random):
    n = len(counts)
    values = [coverage(counts), effective_catalogue(counts), gini(counts), top_share(counts)]
    low, high = (1 / n, 1, -1e-12, 1 / n), (1, n * (1 + 1e-12), (n - 1) / n + 1e-12, 1)
    assert (np.array(low) <= values).all() and (np.array(values) <= high).all()
    order = np.array(random.sample(range(n), n))
    shuffled = counts[order]
    again = [coverage(shuffled), effective_catalogue(shuffled), gini(shuffled), top_share(shuffled)]
    np.testing.assert_allclose(values, again, rtol=1e-12)
    creator = np.arange(n) % 3
    assert creator_gini(counts, creator) == pytest.approx(creator_gini(shuffled, creator[order] + 7), abs=1e-12)


@given(st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_extremes(n, times):
    even, one = np.full(n, times), np.zeros(n, int)
    one[n // 2] = times
    assert effective_catalogue(even) == pytest.approx(n) and effective_catalogue(one) == pytest.approx(1)
    assert gini(even) == pytest.approx(0, abs=1e-12) and gini(one) == pytest.approx((n - 1) / n)


def test_lift_is_of_the_same_users_on_both_sides():
    recommended = np.array([3.0, 5.0, np.nan, 100.0])
    profile = np.array([1.0, 3.0, 50.0, np.nan])
    assert popularity_lift(recommended, profile) == pytest.approx((4 - 2) / 2)
    assert popularity_lift(profile, profile) == 0
    assert np.isnan(popularity_lift(recommended, np.full(4, np.nan)))
    assert np.isnan(popularity_lift(recommended, np.zeros(4)))


def test_stability_is_the_rank_correlation_of_popularity():
    a, b = np.array([9, 4, 4, 0, 1]), np.array([100, 3, 40, 2, 0])
    assert stability(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert stability(a, a * 7) == pytest.approx(1)
    assert stability(np.arange(5), np.arange(5)[::-1]) == pytest.approx(-1)
    assert np.isnan(stability(a, np.full(5, 3)))
