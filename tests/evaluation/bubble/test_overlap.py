"""Jaccard equals that of sets; nearest users are those of largest cosine in the sample, and random pairs are even."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim_lab.evaluation.bubble import nearest_pairs, overlap, random_pairs
from recsim_lab.evaluation.bubble import pairs as pairs_file
from recsim_lab.evaluation.bubble.overlap import jaccard, user_item_counts
from tests.evaluation.bubble.made_by_hand import clicks, cosine, nothing, random_ground, random_window, sets_of


def test_jaccard_by_hand():
    met = clicks((0, 1), (0, 2), (0, 2), (1, 2), (1, 3), (1, 4), (2, 2), (2, 1), (4, 0))
    pairs = np.array([[0, 1], [0, 2], [1, 4], [0, 3], [3, 5], [1, 0]])
    np.testing.assert_allclose(jaccard(met, pairs, 6, 5), [1 / 4, 1, 0, np.nan, np.nan, 1 / 4])
    assert np.isnan(jaccard(nothing(), pairs, 6, 5)).all()
    assert jaccard(met, np.zeros((0, 2), np.int64), 6, 5).shape == (0,)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_jaccard_equals_that_of_sets(seed):
    rng = np.random.default_rng(seed)
    ground = random_ground(rng, num_users=9)
    met = random_window(rng, ground, empty=0.3).shown
    pairs = random_pairs(9, 30, rng)
    sets = {user: set(items) for user, items in sets_of(met).items()}
    expected = []
    for a, b in pairs.tolist():
        one, other = sets.get(a, set()), sets.get(b, set())
        expected.append(len(one & other) / len(one | other) if one and other else np.nan)
    told = jaccard(met, pairs, 9, ground.num_items)
    np.testing.assert_allclose(told, expected)
    np.testing.assert_array_equal(told, jaccard(met, pairs[:, ::-1], 9, ground.num_items))


def test_pairs_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    ground = random_ground(rng)
    met, pairs = random_window(rng, ground).shown, random_pairs(ground.num_users, 20, rng)
    whole = jaccard(met, pairs, ground.num_users, ground.num_items)
    monkeypatch.setattr(overlap, "_BLOCK", 3)
    np.testing.assert_array_equal(jaccard(met, pairs, ground.num_users, ground.num_items), whole)


def test_counts_are_of_the_users_asked():
    counts = user_item_counts(clicks((0, 1), (0, 1), (1, 2), (2, 0)), np.array([0, 2]), 3, 4)
    assert counts.toarray().tolist() == [[0, 2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_random_pairs_are_of_two_users_and_even():
    pairs = random_pairs(5, 20_000, np.random.default_rng(0))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    counts = np.bincount(pairs[:, 0] * 5 + pairs[:, 1], minlength=25).reshape(5, 5)
    ordered = counts[~np.eye(5, dtype=bool)]
    assert np.abs(ordered - 1000).max() < 5 * np.sqrt(1000)
    with pytest.raises(ValueError, match="num_users must be at least 2, got 1"):
        random_pairs(1, 3, np.random.default_rng(0))


def test_nearest_by_hand():
    vectors = np.array([[1.0, 0.0], [9.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 9.0], [-1.0, 0.0]])
    assert nearest_pairs(vectors, np.arange(6)).tolist() == [[0, 1], [1, 0], [2, 4], [4, 2], [5, 2]]
    # Outside the sample nobody is looked at.
    assert nearest_pairs(vectors, np.array([5, 0, 2])).tolist() == [[5, 2], [0, 2], [2, 5]]
    assert nearest_pairs(vectors, np.array([0, 3])).shape == (0, 2)
    assert nearest_pairs(vectors, np.zeros(0, np.int64)).shape == (0, 2)
    with pytest.raises(ValueError, match="users must be distinct, got 1 repeated"):
        nearest_pairs(vectors, np.array([2, 1, 2]))


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_nearest_equals_a_loop(monkeypatch, block):
    monkeypatch.setattr(pairs_file, "_BLOCK", block)
    rng = np.random.default_rng(2)
    vectors, users = rng.normal(size=(40, 3)), rng.permutation(40)[:25]
    expected = [
        [a, max((b for b in users.tolist() if b != a), key=lambda b: cosine(vectors[a], vectors[b]))]
        for a in users.tolist()
    ]
    assert nearest_pairs(vectors, users).tolist() == expected
