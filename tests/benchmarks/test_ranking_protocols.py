"""The protocols against literal twins: one user at a time, every order of tied candidates."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.real_data import metrics
from benchmarks.real_data.metrics import (
    candidate_ranking,
    candidate_ranking_of_users,
    full_ranking,
    full_ranking_of_users,
    letor_metrics,
    top_items,
)
from recsim_lab.datasets import LabelledQueries, LeaveTwoOut, Sequences


def packed(lists, num_items):
    start = np.concatenate([[0], np.cumsum([len(items) for items in lists])]).astype(np.int64)
    return Sequences(np.array([item for items in lists for item in items], dtype=np.int32), start, num_items)


def orders(scores, items):
    """All orders of the items in which no higher score comes after a lower one."""
    for order in itertools.permutations(items):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            yield order


def expected_metrics(scores, items, held_out, cutoff):
    places = [order.index(held_out) for order in orders(scores, items)]
    hits = [place < cutoff for place in places]
    gains = [(place < cutoff) / math.log2(place + 2) for place in places]
    return sum(hits) / len(hits), sum(gains) / len(gains)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_full_ranking_is_its_literal_twin(data):
    num_users, num_items, cutoff = 3, 6, data.draw(st.integers(1, 4))
    item = st.integers(0, num_items - 1)
    train = data.draw(st.lists(st.lists(item, max_size=3), min_size=num_users, max_size=num_users))
    validation, test = (data.draw(st.lists(item, min_size=num_users, max_size=num_users)) for _ in range(2))
    scores = np.array(data.draw(st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=3, max_size=3)))
    parts = LeaveTwoOut(packed(train, num_items), np.array(validation), np.array(test))
    for which, held_out, history in (
        ("validation", validation, train),
        ("test", test, [[*items, last] for items, last in zip(train, validation, strict=True)]),
    ):
        found = full_ranking_of_users(lambda rows: scores[rows].astype(np.float32), parts, which, cutoff)
        for user in range(num_users):
            ranked = [i for i in range(num_items) if i not in history[user] or i == held_out[user]]
            expected = expected_metrics(scores[user], ranked, held_out[user], cutoff)
            assert (found[f"HR@{cutoff}"][user], found[f"NDCG@{cutoff}"][user]) == pytest.approx(expected)
        means = full_ranking(lambda rows: scores[rows].astype(np.float32), parts, which, cutoff)
        assert means == pytest.approx({name: values.mean() for name, values in found.items()})


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_candidate_ranking_is_its_literal_twin_and_counts_repeats_once(data):
    candidates = np.array(
        data.draw(st.lists(st.lists(st.integers(0, 5), min_size=5, max_size=5), min_size=2, max_size=3))
    )
    scores = np.array(data.draw(st.lists(st.integers(0, 2), min_size=6, max_size=6)), dtype=np.float64)
    found = candidate_ranking_of_users(lambda users, items: scores[items], candidates, cutoff=2)
    for user, listed in enumerate(candidates.tolist()):
        expected = expected_metrics(scores, sorted(set(listed)), listed[0], 2)
        assert (found["HR@2"][user], found["NDCG@2"][user]) == pytest.approx(expected)
    means = candidate_ranking(lambda users, items: scores[items], candidates, cutoff=2)
    assert means == pytest.approx({name: values.mean() for name, values in found.items()})


def test_users_are_asked_for_in_blocks_and_answered_in_the_order_given(monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", 2)
    parts = LeaveTwoOut(packed([[]] * 5, 4), np.zeros(5, int), np.array([0, 1, 2, 3, 0]))
    scores = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    asked = []

    def scores_of_users(rows):
        asked.append(rows.tolist())
        return scores[rows]

    users = np.array([3, 0, 4])
    some = full_ranking_of_users(scores_of_users, parts, cutoff=2, users=users)
    assert asked == [[3, 0], [4]]
    everyone = full_ranking_of_users(lambda rows: scores[rows], parts, cutoff=2)
    np.testing.assert_array_equal(some["NDCG@2"], everyone["NDCG@2"][users])
    candidates = np.array([[0, 1], [1, 0], [2, 3], [3, 2], [0, 3]])
    some = candidate_ranking_of_users(lambda rows, items: scores[rows[:, None], items], candidates, 1, users)
    everyone = candidate_ranking_of_users(lambda rows, items: scores[rows[:, None], items], candidates, 1)
    np.testing.assert_array_equal(some["HR@1"], everyone["HR@1"][users])


def test_a_constant_scorer_is_as_good_as_chance():
    num_users, num_items = 40, 50
    parts = LeaveTwoOut(packed([[0, 1]] * num_users, num_items), np.full(num_users, 2), np.full(num_users, 3))
    found = full_ranking(lambda rows: np.zeros((rows.size, num_items), np.float32), parts)
    assert found["HR@10"] == pytest.approx(10 / (num_items - 3))  # of what is not in the history of three


def test_wrong_questions_are_refused():
    parts = LeaveTwoOut(packed([[0]], 3), np.array([1]), np.array([2]))
    with pytest.raises(ValueError, match="which must be 'test' or 'validation', got 'train'"):
        full_ranking(lambda rows: np.zeros((rows.size, 3)), parts, "train")
    with pytest.raises(ValueError, match="users must not be empty"):
        full_ranking(lambda rows: np.zeros((rows.size, 3)), parts, users=np.zeros(0, dtype=int))
    with pytest.raises(ValueError, match="scores must not be NaN"):
        full_ranking(lambda rows: np.full((rows.size, 3), np.nan), parts)


@given(st.integers(1, 3))
def test_top_items_are_the_best_outside_the_history(num_top):
    rng = np.random.default_rng(num_top)
    lists = [[0, 1], [], [5]]
    scores = rng.permutation(18).reshape(3, 6).astype(np.float32)
    found = top_items(lambda rows: scores[rows], packed(lists, 6), num_top)
    for user, items in enumerate(lists):
        ranked = sorted((i for i in range(6) if i not in items), key=lambda i: -scores[user, i])
        assert found[user].tolist() == ranked[:num_top]


def test_letor_metrics_are_those_of_the_definition():
    lists = [[0, 2, 1, 0], [0, 0], [1], [2, 0, 1, 1, 0]]
    lengths = [len(labels) for labels in lists]
    start = np.concatenate([[0], np.cumsum(lengths)])
    scores = np.random.default_rng(0).permutation(start[-1]).astype(np.float32)
    queries = LabelledQueries(
        np.zeros((start[-1], 1), np.float32), np.array([x for labels in lists for x in labels]), start, np.arange(4)
    )
    found = letor_metrics(scores, queries, cutoff=3)
    for query, labels in enumerate(lists):
        of_query = scores[start[query] : start[query + 1]]
        ranked = [labels[i] for i in np.argsort(-of_query)]
        precisions = [sum(x > 0 for x in ranked[: i + 1]) / (i + 1) for i, label in enumerate(ranked) if label > 0]
        assert found["MAP"][query] == pytest.approx(sum(precisions) / len(precisions) if precisions else 0)
        dcg, best = (
            sum((2**label - 1) / math.log2(i + 2) for i, label in enumerate(order[:3]))
            for order in (ranked, sorted(labels, reverse=True))
        )
        assert found["NDCG@3"][query] == pytest.approx(dcg / best if best else 0)


def test_all_users_of_movielens_are_ranked_within_a_second(record_property):
    num_users, num_items = 6_040, 3_416
    rng = np.random.default_rng(0)
    items = rng.integers(num_items, size=(num_users, 160), dtype=np.int32).ravel()
    history = Sequences(items, 160 * np.arange(num_users + 1), num_items)
    parts = LeaveTwoOut(history, *rng.integers(num_items, size=(2, num_users)))
    scores = rng.random((num_users, num_items), dtype=np.float32)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        full_ranking(lambda rows: scores[rows], parts)
        seconds.append(time.perf_counter() - began)
    record_property("measured", f"full ranking of {num_users:,} users x {num_items:,} items: {min(seconds):.2f} s")
    assert min(seconds) < 1.0
