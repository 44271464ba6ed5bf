"""Closed forms of diversity equal means over pairs by loops, and do not depend on how much was met."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim_lab.evaluation.bubble import Interactions, interactions
from recsim_lab.evaluation.bubble.diversity import (
    entropy,
    inter_user_diversity,
    list_diversity,
    unit_sums,
    user_diversity,
)
from tests.evaluation.bubble.made_by_hand import (
    clicks,
    mean_distance,
    nothing,
    random_clicks,
    random_ground,
    random_window,
    sets_of,
)

CROSS = np.array([[2.0, 0.0], [0.0, 0.5], [-1.0, 0.0], [0.0, 0.0]])
"""East, north, west, and an item without a vector."""


def test_entropy_by_hand():
    counts = np.array([[2, 2, 0], [0, 5, 0], [0, 0, 0], [1, 1, 2]])
    np.testing.assert_allclose(entropy(counts), [np.log(2), 0, np.nan, 1.5 * np.log(2)])
    assert entropy(np.array([1, 1, 1, 1])) == pytest.approx(np.log(4))


def test_lists_by_hand():
    # Distances: east-north 1, east-west 2, north-west 1; an item without a vector is at 1 from all.
    shown = Interactions(
        np.array([0, 0, 1, 2, 0]), np.array([[0, 2, -1], [0, 1, 2], [1, 3, -1], [1, -1, -1], [-1, -1, -1]])
    )
    np.testing.assert_allclose(list_diversity(shown, CROSS, 4), [(2 + 4 / 3) / 2, 1.0, np.nan, np.nan])


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_lists_equal_loops_over_pairs(seed):
    rng = np.random.default_rng(seed)
    ground = random_ground(rng)
    shown = random_window(rng, ground, empty=0.4).shown
    expected = []
    for user in range(ground.num_users):
        slates = [[i for i in row if i >= 0] for row in shown.item[shown.user == user]]
        each = [mean_distance(slate, ground.latent) for slate in slates if len(slate) > 1]
        expected.append(np.mean(each) if each else np.nan)
    np.testing.assert_allclose(list_diversity(shown, ground.latent, ground.num_users), expected, atol=1e-12)


def test_lists_in_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    ground = random_ground(rng)
    shown = random_window(rng, ground).shown
    whole = list_diversity(shown, ground.latent, ground.num_users)
    monkeypatch.setattr(interactions, "BLOCK", 40)
    np.testing.assert_array_equal(list_diversity(shown, ground.latent, ground.num_users), whole)


def test_histories_by_hand():
    met = clicks((0, 0), (0, 0), (0, 2), (1, 1), (2, 1), (2, 3))
    # User 0: east, east, west: distances 0, 2, 2. User 1 has no pair.
    np.testing.assert_allclose(user_diversity(unit_sums(met, CROSS, 4)), [4 / 3, np.nan, 1.0, np.nan])
    assert np.isnan(user_diversity(unit_sums(nothing(), CROSS, 2))).all()


def test_two_users_by_hand():
    # East all along against north all along: their centroids are sqrt 2 apart, and nothing scatters around them.
    met = clicks((0, 0), (0, 0), (1, 1), (1, 1), (1, 1))
    assert inter_user_diversity(unit_sums(met, CROSS, 3)) == pytest.approx(2.0)
    assert inter_user_diversity(unit_sums(clicks((0, 0), (0, 0), (1, 0), (1, 0)), CROSS, 3)) == pytest.approx(0.0)
    assert np.isnan(inter_user_diversity(unit_sums(clicks((0, 0), (0, 0), (1, 1)), CROSS, 3)))


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_histories_equal_loops_over_pairs(seed):
    rng = np.random.default_rng(seed)
    ground = random_ground(rng)
    history, new = random_clicks(rng, ground, 40), random_window(rng, ground).clicked
    sums = [unit_sums(part, ground.latent, ground.num_users) for part in (history, new)]
    items = [sets_of(history).get(u, []) + sets_of(new).get(u, []) for u in range(ground.num_users)]
    expected = [mean_distance(of_user, ground.latent) for of_user in items]
    np.testing.assert_allclose(user_diversity(sums[0] + sums[1]), expected, atol=1e-12)

    known = [i for i in items if len(i) > 1]
    latent = ground.latent / np.linalg.norm(ground.latent, axis=1, keepdims=True)
    apart = []
    for a, b in combinations(known, 2):
        distance = np.square(latent[a].mean(axis=0) - latent[b].mean(axis=0)).sum()
        scatter = sum(latent[side].var(axis=0, ddof=1).sum() / len(side) for side in (a, b))
        apart.append(distance - scatter)
    assert inter_user_diversity(sums[0] + sums[1]) == pytest.approx(np.mean(apart), abs=1e-12)


def test_diversity_does_not_grow_with_the_number_of_clicks():
    """Of users who click at random from one catalogue of their own, three clicks tell on average what thirty do."""
    rng = np.random.default_rng(3)
    num_users, latent = 4000, rng.normal(size=(20, 3))
    own = np.where(np.arange(num_users)[:, None] % 2, np.arange(10), np.arange(10, 20))
    told = []
    for number in (3, 30):
        item = np.take_along_axis(own, rng.integers(10, size=(num_users, number)), axis=1)
        sums = unit_sums(Interactions(np.arange(num_users), item), latent, num_users)
        within = user_diversity(sums)
        told.append((within.mean(), inter_user_diversity(sums), within.std() / np.sqrt(num_users)))
    error = 4 * np.hypot(told[0][2], told[1][2])
    assert abs(told[0][0] - told[1][0]) < error
    assert abs(told[0][1] - told[1][1]) < 2 * error
