"""Ranking metrics equal their literal definitions, averaged over all orders of tied candidates."""

from inspect import unwrap as unchecked  # without the shape checker, as users run it
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from recsim_lab.evaluation import ranking
from recsim_lab.evaluation.ranking import CUTOFF_METRICS, WEIGHT, mean_metrics, ranking_metrics, weight_of

CUTOFFS = (1, 2, 3, 10)


def literal_metrics(gains_in_order, cutoff):
    """The definitions, read off a list of gains from the first rank to the last."""
    relevant = [gain > 0 for gain in gains_in_order]
    num_relevant = sum(relevant)
    top = relevant[:cutoff]
    first = next((rank for rank, hit in enumerate(top, start=1) if hit), None)
    dcg = sum(g / np.log2(rank + 1) for rank, g in enumerate(gains_in_order[:cutoff], start=1))
    best = sorted(gains_in_order, reverse=True)[:cutoff]
    best_dcg = sum(g / np.log2(rank + 1) for rank, g in enumerate(best, start=1))
    precisions = [sum(top[:rank]) / rank for rank, hit in enumerate(top, start=1) if hit]
    return {
        "hr": float(any(top)),
        "recall": sum(top) / num_relevant,
        "precision": sum(top) / cutoff,
        "ndcg": dcg / best_dcg,
        "dcg": dcg,
        "mrr": 0.0 if first is None else 1 / first,
        "map": sum(precisions) / min(num_relevant, cutoff),
    }


def literal_auc(scores, relevant):
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in scores[relevant] for b in scores[~relevant]]
    return np.mean(wins)


def expected_over_ties(scores, gains, cutoff):
    """The mean of the literal metrics over every order of the candidates that the scores allow."""
    allowed = [
        order for order in permutations(range(len(scores))) if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    answers = [literal_metrics([gains[i] for i in order], cutoff) for order in allowed]
    return {name: np.mean([answer[name] for answer in answers]) for name in answers[0]}


def assert_same(left, right, **tolerance):
    assert list(left) == list(right)
    for name in left:
        np.testing.assert_allclose(left[name], right[name], err_msg=name, **tolerance)


small_rows = st.integers(1, 6).flatmap(
    lambda size: st.tuples(
        hnp.arrays(np.float32, size, elements=st.integers(-2, 2).map(np.float32)),
        hnp.arrays(np.float64, size, elements=st.sampled_from([0.0, 0.0, 1.0, 2.5])),
    )
)


@given(small_rows)
@settings(max_examples=60, deadline=None)
def test_metrics_are_expectations_over_tied_orders(row):
    scores, gains = row
    computed = ranking_metrics(scores[None], gains[None], CUTOFFS)
    if not (gains > 0).any():
        assert all(np.isnan(values).all() for values in computed.values())
        return
    for cutoff in CUTOFFS:
        expected = expected_over_ties(scores, gains, cutoff)
        for name in CUTOFF_METRICS:
            assert computed[f"{name}@{cutoff}"][0] == pytest.approx(expected[name], abs=1e-12), name
    if (gains > 0).all():
        assert np.isnan(computed["auc"][0])
    else:
        assert computed["auc"][0] == pytest.approx(literal_auc(scores, gains > 0), abs=1e-12)


@pytest.mark.parametrize("share", [0.02, 0.3])  # few relevant candidates: compared; many: sorted
@pytest.mark.parametrize("levels", [5, 10**6])  # many ties, hardly any
def test_both_ways_of_counting_agree_with_a_literal_count(share, levels, monkeypatch):
    generator = np.random.default_rng(1)
    scores = (generator.integers(0, levels, (40, 60)) / levels).astype(np.float32)
    relevant = generator.random((40, 60)) < share
    valid = generator.random((40, 60)) < 0.8
    answers = []
    for limit in (0, 1000):
        monkeypatch.setattr(ranking, "MAX_COMPARED", limit)
        answers.append(ranking_metrics(scores, relevant, CUTOFFS, valid))
    assert_same(*answers, rtol=0)
    for row in range(40):
        kept, truth = scores[row, valid[row]], relevant[row, valid[row]]
        if truth.any():
            assert answers[0]["auc"][row] == pytest.approx(literal_auc(kept, truth), abs=1e-12)
        if levels > 1000 and truth.any() and len(set(kept)) == kept.size:
            literal = literal_metrics(truth[np.argsort(-kept)].astype(float).tolist(), 3)
            assert {name: answers[0][f"{name}@3"][row] for name in literal} == pytest.approx(literal)


seeds = st.integers(0, 2**32 - 1)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_increasing_transforms_and_the_order_of_candidates_change_nothing(seed):
    generator = np.random.default_rng(seed)
    scores = generator.integers(-20, 20, (8, 30)).astype(np.float64)
    gains = np.where(generator.random((8, 30)) < 0.3, generator.integers(1, 4, (8, 30)), 0).astype(np.float64)
    valid = generator.random((8, 30)) < 0.9
    computed = ranking_metrics(scores, gains, CUTOFFS, valid)
    assert_same(computed, ranking_metrics(np.exp(scores / 3) - 5, gains, CUTOFFS, valid), rtol=0)
    order = generator.permutation(30)
    shuffled = ranking_metrics(scores[:, order], gains[:, order], CUTOFFS, valid[:, order])
    assert_same(computed, shuffled, rtol=1e-12, atol=1e-15)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_a_perfect_ranking_earns_the_most_and_a_reversed_one_the_least(seed):
    generator = np.random.default_rng(seed)
    gains = np.where(generator.random((8, 30)) < 0.3, generator.integers(1, 4, (8, 30)), 0).astype(np.float64)
    gains[:, :2] = [1.0, 0.0]
    perfect = ranking_metrics(gains + generator.uniform(0, 0.5, gains.shape), gains, (1, 5, 30))
    for name in ("hr", "mrr", "ndcg", "map"):
        for cutoff in (1, 5, 30):
            np.testing.assert_allclose(perfect[f"{name}@{cutoff}"], 1.0, rtol=1e-12)
    np.testing.assert_array_equal(perfect["auc"], 1.0)
    np.testing.assert_array_equal(ranking_metrics(-gains, gains, (1, 5, 30))["auc"], 0.0)


def test_a_constant_scorer_is_as_good_as_chance():
    relevant = np.zeros((1, 1000), bool)
    relevant[0, :30] = True
    computed = {name: v[0] for name, v in ranking_metrics(np.zeros((1, 1000), np.float32), relevant).items()}
    assert computed["auc"] == 0.5
    assert computed["recall@20"] == pytest.approx(20 / 1000)
    assert computed["precision@20"] == pytest.approx(30 / 1000)
    assert computed["hr@20"] == pytest.approx(1 - stats.hypergeom(1000, 30, 20).pmf(0))
    first = stats.nhypergeom(1000, 970, 1)  # candidates before the first relevant one
    assert computed["mrr@20"] == pytest.approx(sum(first.pmf(j - 1) / j for j in range(1, 21)))


def test_candidates_that_are_not_valid_do_not_exist():
    scores = np.array([[3.0, 2.0, 1.0, np.nan], [1.0, 5.0, 2.0, 9.0]])
    relevant = np.array([[False, True, False, True], [True, False, False, True]])
    valid = np.array([[True, True, True, False], [True, False, True, False]])
    computed = ranking_metrics(scores, relevant, (1, 2), valid)
    assert computed["recall@1"].tolist() == [0.0, 0.0]
    assert computed["recall@2"].tolist() == [1.0, 1.0]
    assert computed["auc"].tolist() == [0.5, 0.0]


@pytest.mark.parametrize("num_relevant", [1, 12])
def test_infinite_scores_are_ordinary_scores(num_relevant):
    scores = np.arange(20, dtype=np.float32)[None].repeat(2, axis=0)
    relevant = np.zeros((2, 20), bool)
    relevant[:, -num_relevant:] = True
    infinite = scores.copy()
    infinite[:, 0], infinite[:, -1] = -np.inf, np.inf
    valid = np.ones((2, 20), bool)
    valid[:, 1] = False
    for mask in (None, valid):
        assert_same(ranking_metrics(scores, relevant, (1, 5), mask), ranking_metrics(infinite, relevant, (1, 5), mask))


def test_rows_without_an_answer_are_nan_and_left_out_of_the_mean():
    scores = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], np.float32)
    relevant = np.array([[False, False], [False, True], [True, True]])
    computed = ranking_metrics(scores, relevant, (1,))
    assert list(computed) == [f"{name}@1" for name in CUTOFF_METRICS] + ["auc"]
    assert all(values.dtype == np.float64 for values in computed.values())
    np.testing.assert_array_equal(computed["recall@1"], [np.nan, 1.0, 0.5])
    np.testing.assert_array_equal(computed["auc"], [np.nan, 1.0, np.nan])
    assert mean_metrics(computed)["recall@1"] == 0.75
    assert mean_metrics(computed)["auc"] == 1.0
    assert np.isnan(mean_metrics(ranking_metrics(scores[:1], relevant[:1]))["ndcg@10"])


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_nothing_to_rank(shape):
    computed = ranking_metrics(np.zeros(shape, np.float32), np.zeros(shape, bool))
    assert all(values.shape == shape[:1] and np.isnan(values).all() for values in computed.values())


def test_bad_input_is_refused():
    scores, relevant = np.zeros((2, 3)), np.ones((2, 3), bool)
    with pytest.raises(ValueError, match=r"relevant must have the shape of scores, \(2, 3\), got \(2, 2\)"):
        unchecked(ranking_metrics)(scores, relevant[:, :2])
    missing = scores.copy()
    missing[1, 2] = np.nan
    with pytest.raises(ValueError, match="scores must not be NaN, got 1 NaN, first at row 1, candidate 2"):
        ranking_metrics(missing, relevant)
    with pytest.raises(ValueError, match="cutoffs must be distinct and at least 1, got \\(0, 5\\)"):
        ranking_metrics(scores, relevant, (0, 5))
    with pytest.raises(ValueError, match=r"finite gains of at least 0, got -1\.0"):
        ranking_metrics(scores, np.full((2, 3), -1.0))
    with pytest.raises(ValueError, match="finite gains of at least 0, got nan"):
        ranking_metrics(scores, np.full((2, 3), np.nan))


# Krichene & Rendle, KDD 2020, "On Sampled Metrics for Item Recommendation": five requests, 10,000 items, one
# relevant item each, at these ranks under three recommenders.
RANKS = {"A": [100] * 5, "B": [40, 40, 8437, 9266, 4482], "C": [212, 2, 743, 5342, 1548]}
EXACT = {"A": (0.990, 0.010, 0.150, 0.0), "B": (0.555, 0.010, 0.122, 0.0), "C": (0.843, 0.101, 0.208, 0.2)}
SAMPLED = {"A": (0.637, 0.729, 1.000), "B": (0.341, 0.447, 0.400), "C": (0.326, 0.460, 0.569)}


@pytest.mark.parametrize("recommender", "ABC")
def test_exact_and_sampled_metrics_of_the_published_toy(recommender):
    ranks = np.array(RANKS[recommender])
    scores = -np.arange(1, 10_001, dtype=np.float32)[None].repeat(5, axis=0)
    exact = mean_metrics(ranking_metrics(scores, -scores == ranks[:, None], (10, 10_000)))
    names = ("auc", "map@10000", "ndcg@10000", "recall@10")
    assert [exact[name] for name in names] == pytest.approx(EXACT[recommender], abs=5.1e-4)

    # Of 99 sampled candidates each stands above the relevant one with chance (rank - 1) / (n - 1).
    by_rank = ranking_metrics(-np.arange(100.0)[None].repeat(100, axis=0), np.eye(100, dtype=bool), (10, 100))
    chance = stats.binom.pmf(np.arange(100), 99, (ranks[:, None] - 1) / 9_999)
    names = ("map@100", "ndcg@100", "recall@10")
    sampled = [(chance @ by_rank[name]).mean() for name in names]
    assert sampled == pytest.approx(SAMPLED[recommender], abs=5.1e-4)


def test_rows_of_much_gain_count_more_and_clicks_count_alike() -> None:
    """One relevant candidate a row, at ranks 1 and 2: what it gains cancels from each row's NDCG, not from the mean."""
    scores = np.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    gain = np.array([[5.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    metrics = ranking_metrics(scores, gain, (3,))
    assert mean_metrics(metrics)["ndcg@3"] == pytest.approx((1 + 1 / np.log2(3)) / 2)
    weighted = mean_metrics(metrics | {WEIGHT: weight_of(gain)})
    assert weighted["ndcg@3"] == pytest.approx((5 + 1 / np.log2(3)) / 6)
    assert weighted["dcg@3"] == pytest.approx(mean_metrics(metrics)["dcg@3"])
    clicks = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(weight_of(clicks), [1.0, 1.0, 0.0])
    found = ranking_metrics(np.tile(scores[:1], (3, 1)), clicks, (3,))
    assert mean_metrics(found | {WEIGHT: weight_of(clicks)}) == pytest.approx(mean_metrics(found))
