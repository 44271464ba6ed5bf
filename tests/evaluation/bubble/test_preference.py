"""Drift, likeness and polarisation equal their definitions, and do not depend on axes, names or scale."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recsim_lab.evaluation.bubble import preference as taste
from tests.evaluation.bubble.made_by_hand import cosine


def rotation(rng, num_dims):
    return np.linalg.qr(rng.normal(size=(num_dims, num_dims)))[0]


def test_drift_by_hand():
    start = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    now = np.array([[3.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    natural = np.array([[0.0, 5.0], [0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(taste.distance(now, start, start), [3 / 5, np.sqrt(2), np.nan])
    np.testing.assert_allclose(taste.distance(now, natural, start), [1, 0, np.nan])
    np.testing.assert_allclose(taste.cosine(now, start), [13 / (5 * np.sqrt(10)), 0, np.nan])


def test_drift_is_computed_in_double_precision():
    start = np.full((1, 4), 1.0, np.float32)
    now = start + np.float32(1e-7) * 8
    assert taste.distance(now, start, start)[0] == pytest.approx(float(now[0, 0]) - 1.0, rel=1e-9)


def test_taste_by_hand():
    # Centroids point east and north; the third topic has no item, the items of the fourth cancel out.
    latent = np.array([[1.0, 0.1], [1.0, -0.1], [0.0, 7.0], [2.0, 2.0], [-2.0, -2.0]])
    topic = np.array([0, 0, 1, 3, 3])
    preference = np.array([[5.0, 5.0], [0.3, 0.0], [0.0, 0.0]])
    share = 1 / (1 + np.exp(-1 / 0.25))
    expected = [np.log(2), -share * np.log(share) - (1 - share) * np.log(1 - share), np.nan]
    np.testing.assert_allclose(taste.taste_entropy(preference, latent, topic, 4), expected)
    # Only directions count.
    np.testing.assert_allclose(taste.taste_entropy(preference * 9, latent * 3, topic, 4), expected)
    hot = taste.taste_entropy(preference, latent, topic, 4, temperature=100.0)
    np.testing.assert_allclose(hot, [np.log(2), np.log(2), np.nan], atol=1e-4)
    assert np.isnan(taste.taste_entropy(preference, latent[3:], topic[3:], 4)).all()
    with pytest.raises(ValueError, match=r"temperature must be above 0, got 0\.0"):
        taste.taste_entropy(preference, latent, topic, 4, temperature=0.0)


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_likeness_equals_loops_over_pairs(seed, num_users, num_dims):
    rng = np.random.default_rng(seed)
    preference = rng.normal(size=(num_users, num_dims))
    pairs = list(combinations(preference, 2))
    assert taste.mean_cosine(preference) == pytest.approx(np.mean([cosine(a, b) for a, b in pairs]), abs=1e-12)
    apart = np.sqrt(np.mean([np.square(a - b).sum() for a, b in pairs]))
    assert taste.inter_user_distance(preference) == pytest.approx(apart)
    # A user without a taste is like nobody, and left out.
    with_none = np.concatenate([preference, np.zeros((1, num_dims))])
    assert taste.mean_cosine(with_none) == pytest.approx(taste.mean_cosine(preference), abs=1e-12)


def test_one_user_is_like_nobody():
    one = np.array([[1.0, 2.0]])
    assert np.isnan([taste.mean_cosine(one), taste.inter_user_distance(one), taste.first_component(one)[0]]).all()
    assert np.isnan(taste.bimodality(np.arange(3.0)))


def test_the_first_component_by_hand():
    preference = np.array([[2.0, 1.0], [-2.0, 1.0], [0.0, 2.0], [0.0, 0.0]]) + 5
    share, place = taste.first_component(preference)
    assert share == pytest.approx(8 / 10)
    np.testing.assert_allclose(np.abs(place), [2, 2, 0, 0], atol=1e-12)
    assert place[0] == -place[1]
    share, place = taste.first_component(np.full((5, 3), 0.1))
    assert np.isnan(share) and np.isnan(place).all()


def literal_bimodality(values):
    n = len(values)
    skewness, kurtosis = stats.skew(values, bias=False), stats.kurtosis(values, bias=False)
    return (skewness**2 + 1) / (kurtosis + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)))


@given(st.integers(0, 10_000), st.integers(4, 12))
@settings(max_examples=25, deadline=None)
def test_bimodality_equals_its_definition(seed, number):
    values = np.random.default_rng(seed).exponential(size=number)
    assert taste.bimodality(values) == pytest.approx(literal_bimodality(values))
    assert taste.bimodality(7 - 3 * values) == pytest.approx(taste.bimodality(values))


def test_bimodality_of_known_shapes():
    even = np.linspace(-1, 1, 10_001)
    assert taste.bimodality(even) == pytest.approx(5 / 9, abs=1e-3)
    assert taste.bimodality(stats.norm.ppf((even[1:-1] + 1) / 2)) == pytest.approx(1 / 3, abs=5e-3)
    assert taste.bimodality(np.sign(even[even != 0])) == pytest.approx(1, abs=1e-3)
    assert np.isnan(taste.bimodality(np.full(9, 0.1)))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_axes_and_scale_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    start, now = rng.normal(size=(2, 12, 3))
    latent, topic = rng.normal(size=(15, 3)), rng.integers(4, size=15)
    turn, scale = rotation(rng, 3), 10 ** rng.uniform(-3, 3)

    def told(*vectors):
        a, b, items = vectors
        share, place = taste.first_component(b)
        return [
            *taste.distance(b, a, a),
            *taste.cosine(b, a),
            *taste.taste_entropy(b, items, topic, 4),
            taste.mean_cosine(b),
            taste.inter_user_distance(b) / taste.inter_user_distance(a),
            share,
            taste.bimodality(place),
        ]

    turned = told(*(scale * x @ turn for x in (start, now, latent)))
    np.testing.assert_allclose(turned, told(start, now, latent), atol=1e-9)
    assert min(turned[24:36]) >= 0 and max(turned[24:36]) <= np.log(4) + 1e-12
    assert 1 / 3 <= turned[-2] <= 1


def test_two_camps_are_polarised():
    """The same users drawn to the nearer of two opposite poles: more of what sets them apart lies on one axis."""
    start = np.random.default_rng(0).normal(size=(2000, 5))
    camps = start + 3 * np.sign(start[:, :1]) * np.eye(5)[0]
    before, after = taste.first_component(start), taste.first_component(camps)
    assert before[0] < 0.25 and after[0] > 0.7
    assert taste.bimodality(before[1]) < 0.4 and taste.bimodality(after[1]) > 5 / 9
