"""True positive rates equal loops over users and items; the signed Gini tells which way audience matters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recsim_lab.evaluation.bubble import Interactions, top_likes
from recsim_lab.evaluation.bubble import opportunity as opportunity_file
from recsim_lab.evaluation.bubble.concentration import gini
from recsim_lab.evaluation.bubble.opportunity import opportunity_gini, true_positive_rates
from tests.evaluation.bubble.made_by_hand import clicks, nothing, random_clicks, random_ground, random_window


def test_rates_by_hand():
    likes = clicks((0, 0), (1, 0), (2, 0), (0, 1), (2, 3), (2, 3))
    shown = Interactions(np.array([0, 2, 1, 3]), np.array([[0, 2], [0, 3], [1, -1], [0, 1]]))
    rates, audience = true_positive_rates(shown, likes, 4, 4)
    assert audience.tolist() == [3, 1, 0, 1]
    np.testing.assert_allclose(rates, [2 / 3, 0, np.nan, 1])
    # By audience: items 1 and 3 share rank 1.5, item 0 has rank 3; 2 rank - 4 is -1, -1, 2.
    assert opportunity_gini(rates, audience) == pytest.approx((-1 * 0 - 1 * 1 + 2 * 2 / 3) / (3 * (2 / 3 + 1)))


def test_nobody_asked_or_nobody_reached():
    rates, audience = true_positive_rates(clicks((0, 1)), nothing(), 2, 3)
    assert np.isnan(rates).all() and audience.tolist() == [0, 0, 0] and np.isnan(opportunity_gini(rates, audience))
    rates, audience = true_positive_rates(nothing(), clicks((0, 1)), 2, 3)
    np.testing.assert_array_equal(rates, [np.nan, 0, np.nan])
    assert np.isnan(opportunity_gini(rates, audience))


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_rates_equal_a_loop(seed):
    rng = np.random.default_rng(seed)
    ground = random_ground(rng)
    shown, likes = random_window(rng, ground).shown, random_clicks(rng, ground, 15)
    table = np.zeros((2, ground.num_users, ground.num_items), bool)
    for side, met in enumerate((shown, likes)):
        for user, row in zip(met.user, met.item, strict=True):
            table[side, user, row[row >= 0]] = True
    rates, audience = true_positive_rates(shown, likes, ground.num_users, ground.num_items)
    assert audience.tolist() == table[1].sum(axis=0).tolist()
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(rates, (table[0] & table[1]).sum(axis=0) / table[1].sum(axis=0))


def test_the_sign_says_who_is_favoured():
    audience = np.array([1, 2, 3, 4])
    assert opportunity_gini(np.full(4, 0.3), audience) == pytest.approx(0)
    favoured = opportunity_gini(np.array([0, 0, 0, 0.7]), audience)
    assert favoured == pytest.approx(3 / 4)
    assert opportunity_gini(np.array([0.7, 0, 0, 0]), audience) == pytest.approx(-favoured)
    # Where larger audiences have larger rates it is the ordinary Gini.
    rates = np.array([1, 2, 5, 9])
    assert opportunity_gini(rates / 10, audience) == pytest.approx(gini(rates))
    # Where audiences are the same, none can be favoured.
    assert opportunity_gini(rates / 10, np.full(4, 6)) == pytest.approx(0)


@given(st.integers(0, 10_000), st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_bounds_and_the_order_of_items(seed, number):
    rng = np.random.default_rng(seed)
    rates, audience = rng.random(number) * (rng.random(number) < 0.6), rng.integers(1, 5, number)
    value = opportunity_gini(rates, audience)
    order = rng.permutation(number)
    np.testing.assert_allclose(opportunity_gini(rates[order], audience[order]), value, atol=1e-12)
    assert np.isnan(value) or abs(value) <= 1 - 1 / number + 1e-12
    assert np.isnan(value) == (not rates.any())
    # Twice the covariance of rate and rank of the audience, over the mean rate: a concentration index.
    if rates.any():
        covariance = np.cov(rates, stats.rankdata(audience), bias=True)[0, 1]
        assert value == pytest.approx(2 * covariance / (number * rates.mean()), abs=1e-12)


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_likes_are_the_best_by_true_taste(monkeypatch, block):
    monkeypatch.setattr(opportunity_file, "_BLOCK", block)
    rng = np.random.default_rng(0)
    preference, latent, users = rng.normal(size=(6, 3)), rng.normal(size=(20, 3)), np.array([4, 0, 5])
    likes = top_likes(preference, latent, users, 3)
    for user in users:
        best = np.argsort(-(latent @ preference[user]))[:3]
        assert sorted(likes.item[likes.user == user].ravel().tolist()) == sorted(best.tolist())
    assert len(likes.user) == 9
    with pytest.raises(ValueError, match=r"num_likes must be in \[1, 20\], got 21"):
        top_likes(preference, latent, users, 21)
