"""Rarefied metrics are means over all ways to keep so many clicks, by enumeration and by drawing."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim_lab.evaluation.bubble import RAREFIED, rarefied_metrics, with_enough
from recsim_lab.evaluation.bubble import rarefaction as rarefaction_file
from recsim_lab.evaluation.bubble.diversity import entropy
from recsim_lab.evaluation.bubble.interactions import topic_counts
from recsim_lab.evaluation.bubble.overlap import jaccard
from recsim_lab.evaluation.bubble.rarefaction import (
    rarefied_coverage,
    rarefied_entropy,
    rarefied_jaccard,
    rarefied_richness,
)
from tests.evaluation.bubble.made_by_hand import clicks, nothing, random_clicks, random_ground, sets_of


def draws(items, num_drawn):
    """All ways to draw from a list, equally likely; equal items at different places are different clicks."""
    return [list(kept) for kept in combinations(items, num_drawn)]


def literal_entropy(kept):
    return entropy(np.bincount(kept))


def test_by_hand():
    # Topics A A B; of the three ways to keep two, one has one topic and two have both.
    counts = np.array([[2, 1], [1, 0], [0, 0]])
    np.testing.assert_allclose(rarefied_entropy(counts, 2), [2 / 3 * np.log(2), np.nan, np.nan])
    np.testing.assert_allclose(rarefied_richness(counts, 2), [5 / 3, np.nan, np.nan])
    # Users with clicks (0, 0, 1) and (1, 2), of which one is kept: items 0, 1, 2 are met with these chances.
    met = clicks((0, 0), (0, 0), (0, 1), (1, 1), (1, 2))
    missed = [1 / 3, 2 / 3 * 1 / 2, 1 / 2]
    assert rarefied_coverage(met, 1, 2, 4) == pytest.approx((3 - sum(missed)) / 4)
    offered = np.array([True, False, True, False])
    assert rarefied_coverage(met, 1, 2, 4, offered) == pytest.approx((2 - missed[0] - missed[2]) / 2)
    # Both keep item 1 with chance 1/6; together they keep two items less those shared.
    told = rarefied_jaccard(met, np.array([[0, 1], [0, 2]]), 1, 3, 4)
    np.testing.assert_allclose(told, [(1 / 6) / (2 - 1 / 6), np.nan])


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_topics_equal_enumeration(seed, num_drawn):
    rng = np.random.default_rng(seed)
    lists = [rng.integers(3, size=rng.integers(9)).tolist() for _ in range(6)]
    counts = np.array([np.bincount(topics, minlength=3) for topics in lists])
    enough = [len(topics) >= num_drawn for topics in lists]
    for function, literal in ((rarefied_entropy, literal_entropy), (rarefied_richness, lambda kept: len(set(kept)))):
        expected = [
            np.mean([literal(kept) for kept in draws(topics, num_drawn)]) if ok else np.nan
            for topics, ok in zip(lists, enough, strict=True)
        ]
        np.testing.assert_allclose(function(counts, num_drawn), expected, atol=1e-12)


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_items_equal_enumeration(seed, num_drawn):
    rng = np.random.default_rng(seed)
    lists = [rng.integers(5, size=rng.integers(2, 5)).tolist() for _ in range(3)]
    met = clicks(*((user, item) for user, items in enumerate(lists) for item in items))
    kept = [draws(items, num_drawn) for items in lists if len(items) >= num_drawn]
    if not kept:
        assert np.isnan(rarefied_coverage(met, num_drawn, 3, 5))
        return
    union = np.mean([len(set().union(*one_of_each)) for one_of_each in product(*kept)])
    assert rarefied_coverage(met, num_drawn, 3, 5) == pytest.approx(union / 5)
    told = rarefied_jaccard(met, np.array([[0, 1]]), num_drawn, 3, 5)
    if min(len(lists[0]), len(lists[1])) < num_drawn:
        assert np.isnan(told[0])
        return
    both = [(set(a), set(b)) for a in draws(lists[0], num_drawn) for b in draws(lists[1], num_drawn)]
    shared, either = (np.mean([len(c) for c in sets]) for sets in ([a & b for a, b in both], [a | b for a, b in both]))
    assert told[0] == pytest.approx(shared / either)


def test_the_mean_over_random_draws_is_met():
    """Coverage, entropy and distinct topics without bias; Jaccard up to the approximation, from below."""
    rng = np.random.default_rng(0)
    ground, num_drawn, num_draws = random_ground(rng, num_users=5, num_items=40), 8, 3000
    met = random_clicks(rng, ground, 100)
    items = [sets_of(met)[user] for user in range(5)]
    pairs = np.array([[0, 1], [2, 3]])
    values = []
    for _ in range(num_draws):
        kept = clicks(*((u, i) for u in range(5) for i in rng.permutation(items[u])[:num_drawn].tolist()))
        by_topic = topic_counts(kept, ground.topic, 5, 3)
        covered = len(np.unique(kept.item)) / 40
        values.append([entropy(by_topic).mean(), (by_topic > 0).sum(axis=1).mean(), covered])
        values[-1].extend(jaccard(kept, pairs, 5, 40))
    mean, error = np.mean(values, axis=0), np.std(values, axis=0) / np.sqrt(num_draws)
    by_topic = topic_counts(met, ground.topic, 5, 3)
    exact = [
        rarefied_entropy(by_topic, num_drawn).mean(),
        rarefied_richness(by_topic, num_drawn).mean(),
        rarefied_coverage(met, num_drawn, 5, 40),
    ]
    assert (np.abs(mean[:3] - exact) < 4 * error[:3]).all()
    told = rarefied_jaccard(met, pairs, num_drawn, 5, 40)
    assert (told < mean[3:] + 4 * error[3:]).all() and (told > 0.9 * mean[3:]).all()


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_keeping_everything_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    ground = random_ground(rng)
    item = rng.integers(ground.num_items, size=(ground.num_users, 6))
    met = clicks(*((u, i) for u in range(ground.num_users) for i in item[u].tolist()))
    by_topic = topic_counts(met, ground.topic, ground.num_users, ground.num_topics)
    np.testing.assert_allclose(rarefied_entropy(by_topic, 6), entropy(by_topic), atol=1e-9)
    np.testing.assert_allclose(rarefied_richness(by_topic, 6), (by_topic > 0).sum(axis=1), atol=1e-9)
    covered = len(np.unique(item)) / ground.num_items
    assert rarefied_coverage(met, 6, ground.num_users, ground.num_items) == pytest.approx(covered)
    pairs = np.array([[0, 1], [2, 3], [4, 6]])
    whole = jaccard(met, pairs, ground.num_users, ground.num_items)
    np.testing.assert_allclose(rarefied_jaccard(met, pairs, 6, ground.num_users, ground.num_items), whole)


def test_activity_is_taken_out():
    """One taste, ten clicks or a hundred: entropies differ, rarefied ones do not."""
    rng = np.random.default_rng(4)
    share = rng.dirichlet(np.ones(8))
    few, many = (rng.multinomial(number, share, size=3000) for number in (10, 100))
    assert entropy(many).mean() - entropy(few).mean() > 0.1
    for function in (rarefied_entropy, rarefied_richness):
        one, other = function(few, 10), function(many, 10)
        error = np.hypot(one.std(), other.std()) / np.sqrt(3000)
        assert abs(one.mean() - other.mean()) < 4 * error


def test_large_counts_stay_finite_and_come_in_blocks(monkeypatch):
    counts = np.array([[100_000, 50_000, 1], [2_000_000, 1, 0], [30, 20, 0]])
    whole = rarefied_entropy(counts, 50)
    assert np.isfinite(whole).all() and whole[0] > whole[1] > 0
    monkeypatch.setattr(rarefaction_file, "_BLOCK", 60)
    # Logarithms differ in their last bit by where in an array a value stands, on processors with wide vectors.
    np.testing.assert_allclose(rarefied_entropy(counts, 50), whole, rtol=1e-14)


def test_all_of_them_are_of_the_users_given():
    rng = np.random.default_rng(1)
    ground = random_ground(rng)
    met = random_clicks(rng, ground, 60)
    enough = with_enough(met, 6, ground.num_users)
    assert enough.tolist() == [len(sets_of(met)[u]) >= 6 for u in range(7)]
    users = enough.copy()
    users[np.flatnonzero(enough)[0]] = False
    out, a, b, c = (int(u) for u in np.flatnonzero(enough)[:4])
    pairs = {"random": np.array([[a, b], [out, c], [b, c]]), "true_nearest": np.array([[out, a]])}
    told = rarefied_metrics(met, 6, users, ground, pairs)
    assert set(told) == {metric.name for metric in RAREFIED}
    by_topic = topic_counts(met, ground.topic, 7, 3)[users]
    assert told["rarefied_topic_entropy"] == pytest.approx(rarefied_entropy(by_topic, 6).mean())
    assert told["rarefied_num_topics"] == pytest.approx(rarefied_richness(by_topic, 6).mean())
    assert told["rarefied_coverage"] == pytest.approx(rarefied_coverage(met.of(users), 6, 7, 12))
    both = rarefied_jaccard(met, np.array([[a, b], [b, c]]), 6, 7, 12)
    assert told["rarefied_jaccard_random"] == pytest.approx(both.mean())
    assert np.isnan([told["rarefied_jaccard_true_nearest"], told["rarefied_jaccard_model_nearest"]]).all()


def test_refusals_and_nobody():
    ground = random_ground(np.random.default_rng(1))
    with pytest.raises(ValueError, match="users must have at least 2 clicks each, got 1 with fewer"):
        rarefied_metrics(clicks((0, 1), (0, 2), (1, 1)), 2, np.arange(7) < 2, ground, {})
    for function in (rarefied_entropy, rarefied_richness):
        with pytest.raises(ValueError, match="num_drawn must be at least 1, got 0"):
            function(np.array([[1, 2]]), 0)
    with pytest.raises(ValueError, match="num_drawn must be at least 1, got 0"):
        rarefied_coverage(clicks((0, 1)), 0, 1, 2)
    told = rarefied_metrics(nothing(), 3, np.zeros(7, bool), ground, {"random": np.array([[0, 1]])})
    assert np.isnan(list(told.values())).all()
