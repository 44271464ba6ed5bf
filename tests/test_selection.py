"""The selection kernel against a stable sort: ties, infinities, long rows, and many rows on several threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim_lab.policy import top_items

A = np.ndarray


def sorted_twin(scores: A, eligible: A, num_slots: int) -> A:
    """Sort all: the eligible before the others, then by score, then by item."""
    items = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.lexsort((items, -scores, ~eligible), axis=1)[:, :num_slots]


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    num_items=st.integers(1, 400),
    levels=st.sampled_from([1, 2, 7, 10**6]),
    order=st.sampled_from(["random", "ascending", "descending"]),
    share=st.sampled_from([0.0, 0.02, 0.2, 1.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_long_rows_with_ties_and_infinities(seed, num_items, levels, order, share, dtype):
    """The shortlist overflows many times where slots are few and items many, most often in ascending order."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(4, num_items)).astype(dtype)
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    scores[rng.random(scores.shape) < 0.01] = np.inf
    if order != "random":
        scores = np.sort(scores, axis=1)
    if order == "descending":
        scores = scores[:, ::-1]
    eligible = rng.random(scores.shape) < 0.8
    num_slots = int(share * eligible.sum(axis=1).min())
    assert np.array_equal(top_items(scores, eligible, num_slots), sorted_twin(scores, eligible, num_slots))


@pytest.mark.parametrize("num_rows", [1, 3_000])
def test_any_layout_and_any_number_of_rows(num_rows):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(num_rows, 90)).astype(np.float32).round(1)
    eligible = rng.random((num_rows, 90)) < 0.9
    expected = sorted_twin(scores, eligible, 12)
    shared = np.broadcast_to(eligible[:1], eligible.shape)
    assert np.array_equal(top_items(scores, eligible, 12), expected)
    assert np.array_equal(top_items(np.asfortranarray(scores), np.asfortranarray(eligible), 12), expected)
    assert np.array_equal(top_items(scores, shared, 12), sorted_twin(scores, shared, 12))
    assert np.array_equal(top_items(scores.astype(np.float16), eligible, 12), sorted_twin(scores, eligible, 12))
    same = np.broadcast_to(scores[:1], scores.shape)
    assert np.array_equal(top_items(same, eligible, 12), sorted_twin(same, eligible, 12))


@pytest.mark.parametrize("num_slots", [0, 1, 8, 200])
@pytest.mark.parametrize("item", [0, 57, 199])
def test_nan_is_seen_wherever_it_stands(item, num_slots):
    scores = np.random.default_rng(item).normal(size=(3, 200))
    eligible = np.ones(scores.shape, bool)
    scores[1, item] = np.nan
    with pytest.raises(ValueError, match=f"got NaN for row 1, item {item}$"):
        top_items(scores, eligible, num_slots)
    eligible[1, item] = False
    num_slots = min(num_slots, 199)
    assert np.array_equal(top_items(scores, eligible, num_slots), sorted_twin(scores, eligible, num_slots))
