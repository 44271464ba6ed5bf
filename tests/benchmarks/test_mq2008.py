"""Queries meet the network whose training they took no part in; features are standardised where they are compared."""

import numpy as np
import pytest

from benchmarks.real_data import mq2008
from benchmarks.real_data.mq2008 import Documents, Ranker, difference, standardised, train
from recsim_lab.datasets.letor import LabelledQueries, Mq2008

QUICK = Ranker(hidden="8", dropout=0.0, learning_rate=0.02, weight_decay=0.0, batch_size=16, epochs=15, patience=15)


def some_queries(num_queries=60, num_features=5, seed=0):
    """Relevance follows the first feature; its level and scale differ from query to query."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 12, size=num_queries)
    start = np.concatenate([[0], np.cumsum(lengths)])
    query = np.repeat(np.arange(num_queries), lengths)
    features = rng.normal(size=(start[-1], num_features))
    relevance = np.digitize(features[:, 0] + 0.3 * rng.normal(size=start[-1]), [0.3, 1.2])
    features[:, 0] = (
        features[:, 0] * np.exp(rng.normal(size=num_queries))[query] + 5 * rng.normal(size=num_queries)[query]
    )
    queries = LabelledQueries(
        features.astype(np.float32), relevance.astype(np.int32), start.astype(np.int64), np.arange(num_queries)
    )
    return Mq2008(queries, np.arange(num_queries) % 5)


def test_features_are_standardised_in_their_query():
    queries = some_queries().queries
    queries.features[:, 3] = queries.query  # the same for all documents of a query
    found = standardised(queries)
    for first, end in zip(queries.start[:-1], queries.start[1:], strict=True):
        own = queries.features[first:end].astype(np.float64)
        expected = (own - own.mean(axis=0)) / np.where(own.std(axis=0) > 1e-9, own.std(axis=0), np.inf)
        np.testing.assert_allclose(found[first:end], expected, atol=1e-4)
    assert (found[:, 3] == 0).all()


def test_examples_hold_the_documents_of_their_queries():
    data = some_queries()
    documents = Documents.of(data)
    chosen = data.part == 2
    for loss, scale in (("softmax", 1.0), ("bce", 0.5)):
        examples = documents.examples(chosen, loss)
        for row, query in enumerate(np.flatnonzero(chosen)):
            own = np.arange(data.queries.start[query], data.queries.start[query + 1])
            listed = examples.items[row].numpy()
            assert listed[listed >= 0].tolist() == own.tolist()
            labels = examples.labels[row, : len(own)].numpy()
            np.testing.assert_array_equal(labels, scale * data.queries.relevance[own])


def test_a_query_is_judged_by_the_fold_that_tests_it(monkeypatch):
    data = some_queries()
    fold_of_network = {}

    def fitted(documents, loss, ranker, distance, seed):
        (fold,) = {int(f) for f in (data.part - distance) % 5}
        # Three parts to learn from, one to stop by, one to test.
        assert [np.sum(distance == d) for d in range(5)] == [12] * 5
        network = object()
        fold_of_network[network] = 10 * seed + fold
        return network, 0.5

    monkeypatch.setattr(mq2008, "_fitted", fitted)
    monkeypatch.setattr(
        Documents,
        "metrics",
        lambda self, network, queries: dict.fromkeys(
            ("MAP", "NDCG@10"), np.full(queries.sum(), fold_of_network[network])
        ),
    )
    found = train(Documents.of(data), "softmax", QUICK, range(2))
    expected = (data.part - 4) % 5  # the fold whose distance from the part is 4
    np.testing.assert_array_equal(found.of_queries["MAP"], [expected, 10 + expected])
    np.testing.assert_array_equal(found.of_folds("MAP")[0], (np.arange(5) - 4) % 5)
    assert found.of_seeds("MAP").tolist() == [2.0, 12.0] and found.validation == 0.5


@pytest.mark.parametrize("loss", ["lambdarank", "softmax", "bce"])
def test_a_ranking_that_can_be_learned_is(loss):
    found = train(Documents.of(some_queries()), loss, QUICK, range(1))
    chance = train(Documents.of(some_queries()), loss, Ranker(epochs=1, learning_rate=1e-9), range(1))
    lift = difference(found, chance, "NDCG@10")
    assert found.of_queries["NDCG@10"].mean() > 0.85 and lift.low > 0.05


def test_the_difference_is_paired_by_query():
    part = np.arange(40) % 5
    rng = np.random.default_rng(0)
    base = rng.random((3, 40))
    one, other = (
        mq2008.Trained(Ranker(), {"MAP": values}, part, 0.0, 0.0)
        for values in (base + 0.01 * rng.random((3, 40)), base)
    )
    found = difference(one, other, "MAP")
    values = (one.of_queries["MAP"] - other.of_queries["MAP"]).mean(axis=0)
    assert found.estimate == pytest.approx(values.mean())
    # 2.023 is Student's 97.5% quantile at 39 degrees of freedom.
    assert found.high - found.estimate == pytest.approx(2.0227 * values.std(ddof=1) / np.sqrt(40), rel=1e-3)
