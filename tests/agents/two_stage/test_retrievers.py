"""Retrievers find what a full sort finds, eligible and distinct, and their judgements share one scale."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from agents.baselines import Popularity
from agents.item_neighbours import ItemKNN
from agents.registry import make_agent
from agents.two_stage import Approximate, ByEmbeddings, ByScores, Fresh, Neighbours, Popular
from agents.two_stage import search as search_module
from agents.two_stage.retriever import standardised
from recsim_lab.policy import NEVER, TICKS_PER_DAY, FeatureTable, Scorer

A = np.ndarray


@dataclass(eq=False)
class Taste(Scorer):
    """Scores by a table of users and items."""

    table: A

    @property
    def name(self):
        return "taste"

    def scores(self, observation, items=None):
        mine = self.table[observation.user]
        return mine if items is None else np.take_along_axis(mine, items.astype(np.int64), axis=1)


def literal(scores: A, eligible: A, num: int) -> A:
    """The best eligible items of each row, one row at a time."""
    rows = []
    for mine, allowed in zip(scores, eligible, strict=True):
        order = [item for item in np.lexsort((np.arange(len(mine)), -mine)) if allowed[item]][:num]
        rows.append(order + [-1] * (num - len(order)))
    return np.array(rows)


def taught(spec, log):
    agent = make_agent(spec, seed=1)
    agent.learn(log)
    return agent


@pytest.mark.parametrize("num", [1, 7, 40, 60])
def test_by_scores_is_a_full_sort(num, requests):
    generator = np.random.default_rng(0)
    table = generator.normal(size=(30, 50)).astype(np.float32).round(1)
    observation = requests(range(30), 50, blocked=generator.integers(-1, 50, (30, 9)).tolist())
    found = ByScores(Taste(table)).retrieve(observation, num)
    expected = literal(table, observation.eligible(), num)
    assert np.array_equal(found.items, expected)
    there = expected >= 0
    assert np.array_equal(found.scores[there], table[np.nonzero(there)[0], expected[there]])
    assert np.isnan(found.scores[~there]).all()


def test_what_cannot_be_judged_is_not_found(requests):
    table = np.array([[3.0, -1e9, 1.0, -1e9]], np.float32)
    by_scores = ByScores(Taste(table))
    assert by_scores.retrieve(requests([0], 4), 3).items.tolist() == [[0, 2, -1]]
    assert np.isnan(by_scores.judge(requests([0], 4), np.array([[0, 1, 3]]))).tolist() == [[False, True, True]]


@pytest.mark.parametrize("spec", ["mf:epochs=1", "two-tower:epochs=1,dim=8", "sasrec:epochs=1,dim=8"])
def test_embeddings_find_what_the_scores_say(spec, log, monkeypatch):
    """In one block, and in blocks of which requests and catalogue fill several."""
    agent = taught(spec, log)
    observation = log.observations(np.arange(300, 1300, 3)).block(np.full((334, 1), 5, np.int32))
    expected = ByScores(agent).retrieve(observation, 8)
    for rows, items in ((256, 2**15), (50, 7)):
        monkeypatch.setattr(search_module, "_ROWS", rows)
        monkeypatch.setattr(search_module, "_ITEMS", items)
        found = ByEmbeddings(agent).retrieve(observation, 8)
        # Products of other shapes may differ in their last bits, which decides between nearly equal scores.
        assert (found.items == expected.items).mean() > 0.995
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
    judged, again = (r.judge(observation, expected.items) for r in (ByEmbeddings(agent), ByScores(agent)))
    np.testing.assert_allclose(judged, again, rtol=1e-3, atol=1e-4)


def test_exact_search_is_literal_where_items_come_and_go(monkeypatch):
    """Ties across blocks stay in order of the item; release, withdrawal and blocked items count in each."""
    monkeypatch.setattr(search_module, "_ITEMS", 8)
    generator = np.random.default_rng(1)
    vectors, queries = (generator.integers(-2, 3, (n, 4)).astype(np.float32) for n in (50, 20))
    judged = generator.random(50) < 0.9
    features = FeatureTable(
        (), (), {}, {}, generator.integers(0, 20, 50), np.where(generator.random(50) < 0.5, 25, NEVER)
    )
    for tick in (np.full(20, 12), generator.integers(0, 40, 20)):
        observation = blank(20, features, tick).block(generator.integers(-1, 50, (20, 5)).astype(np.int32))
        found = search_module.Exact(vectors, judged).best(queries, observation, 12)
        assert np.array_equal(found.items, literal(queries @ vectors.T, observation.eligible() & judged, 12))


def blank(num_rows, features, tick):
    from recsim_lab.policy import Observation

    zeros, none = np.zeros(num_rows, np.int32), np.full((num_rows, 0), -1, np.int32)
    return Observation(
        np.arange(num_rows, dtype=np.int32), zeros, zeros, tick.astype(np.int64), zeros.astype(np.int8),
        none, none.astype(np.int64), none, features, none,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_faiss_finds_nearly_all_and_nothing_that_may_not_be_shown(kind):
    pytest.importorskip("faiss")
    generator = np.random.default_rng(2)
    centres = generator.normal(size=(30, 16))
    vectors, queries = (
        (centres[generator.integers(30, size=n)] + generator.normal(size=(n, 16)) / 2).astype(np.float32)
        for n in (5000, 60)
    )
    judged = generator.random(5000) < 0.9
    features = FeatureTable((), (), {}, {}, np.where(generator.random(5000) < 0.3, 99, 0), np.full(5000, NEVER))
    observation = blank(60, features, np.full(60, 50))
    exact = search_module.Exact(vectors, judged)
    observation = observation.block(exact.best(queries, observation, 40).items)
    expected = exact.best(queries, observation, 50).items
    found = Approximate(kind, num_probed=20, breadth=200).over(vectors, judged).best(queries, observation, 50)
    hits = [len(set(mine) & set(theirs)) for mine, theirs in zip(found.items, expected, strict=True)]
    assert np.mean(hits) / 50 > 0.95
    allowed = observation.eligible() & judged
    assert (found.items >= 0).all() and np.take_along_axis(allowed, found.items.astype(np.int64), axis=1).all()
    assert (np.diff(found.scores, axis=1) <= 0).all()
    alone = Approximate(kind, num_probed=20, breadth=200).over(vectors, judged)
    for row in (0, 31):
        some = alone.best(queries[row : row + 1], observation.take(slice(row, row + 1)), 50)
        assert np.array_equal(some.items[0], found.items[row])


def test_faiss_is_asked_past_a_size_and_what_it_misses_is_counted(log):
    pytest.importorskip("faiss")
    agent = taught("mf:epochs=1", log)
    observation = log.observations(np.arange(50))
    few = ByEmbeddings(agent, exact_up_to=10, approximate=Approximate("ivf", num_probed=1))
    few._kept = None
    vectors = agent.item_vectors(log.features)
    assert isinstance(few.prepared(log.features)[1], search_module.Faiss)
    assert isinstance(ByEmbeddings(agent).prepared(log.features)[1], search_module.Exact)
    index = search_module.Faiss(Blind(), vectors, np.arange(len(vectors)), None)
    few._kept = agent.network, log.features, vectors, index
    found = few.retrieve(observation, 6)
    assert (found.items == -1).all() and few.num_short == 50 * 6


class Blind:
    """An index that finds nothing."""

    def search(self, requests, num, params):
        return np.full((len(requests), num), -1e38, np.float32), np.full((len(requests), num), -1)


def test_without_faiss_auto_searches_exactly_and_approximate_names_the_extra(log, monkeypatch):
    import agents.two_stage.by_embeddings as module

    agent = taught("mf:epochs=1", log)
    monkeypatch.setattr(module, "find_spec", lambda name: None)

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(search_module.importlib, "import_module", absent)
    assert isinstance(ByEmbeddings(agent, exact_up_to=0).prepared(log.features)[1], search_module.Exact)
    with pytest.raises(ImportError, match=r"recsim_lab\[ann\]"):
        ByEmbeddings(agent, "approximate").prepared(log.features)


def test_an_index_follows_what_was_learned_and_is_not_copied(log):
    import copy

    retriever = ByEmbeddings(taught("mf:epochs=1", log))
    observation = log.observations(np.arange(30))
    retriever.retrieve(observation, 5)
    twin = copy.deepcopy(retriever)
    assert twin._kept is None
    twin.policy.learn(log)
    for one in (retriever, twin):
        # Over the whole catalogue, in the agent's own order.
        scores = one.policy.scores(observation)
        assert (one.retrieve(observation, 5).items == literal(scores, observation.eligible(), 5)).mean() > 0.99


def test_popular_is_a_full_sort_even_where_nearly_all_is_blocked(log):
    agent = Popularity()
    agent.learn(log)
    observation = log.observations(np.arange(20))
    best = np.argsort(-agent.popularity, kind="stable").astype(np.int32)
    blocked = np.tile(best[:34], (20, 1))
    blocked[3:] = -1
    observation = observation.block(blocked)
    found = Popular(agent).retrieve(observation, 10)
    assert np.array_equal(found.items, literal(agent.scores(observation), observation.eligible(), 10))
    assert (found.items[:3, 6:] == -1).all() and (found.items[3:] >= 0).all()
    assert np.array_equal(Popular().retrieve(observation, 3).items[5], [0, 1, 2])


def test_fresh_is_newest_first(requests):
    release = [0, 5, 3, 5, 90, 8, -4]
    observation = requests([0, 1], 7, release=[TICKS_PER_DAY * day for day in release], blocked=[[5], [-1]])
    observation = replace(observation, tick=np.full(2, 10 * TICKS_PER_DAY))
    found = Fresh().retrieve(observation, 4)
    assert found.items.tolist() == [[1, 3, 2, -1], [5, 1, 3, 2]]
    np.testing.assert_allclose(found.scores[1], np.exp([-0.2, -0.5, -0.5, -0.7]), rtol=1e-6)
    assert Fresh(days=4).retrieve(observation, 4).items.tolist() == [[-1, -1, -1, -1], [5, -1, -1, -1]]
    assert Fresh().judge(observation, np.array([[0, 6, 5]] * 2))[0].tolist() == pytest.approx([0, 0, np.exp(-0.2)])


def test_fresh_starts_where_each_request_stands(requests):
    observation = requests([0, 1, 2], 30, release=[TICKS_PER_DAY * day for day in range(30)])
    observation = replace(observation, tick=np.array([2, 9, 40]) * TICKS_PER_DAY)
    assert Fresh().retrieve(observation, 3).items.tolist() == [[2, 1, -1], [9, 8, 7], [29, 28, 27]]


def test_neighbours_are_the_mean_similarity_with_the_newest_clicks(log):
    knn = ItemKNN(num_neighbours=12, shrinkage=1.0)
    knn.learn(log)
    observation = log.observations(np.arange(700, 760)).block(np.full((60, 1), 8, np.int32))
    observation = replace(observation, clicked=np.where(np.arange(60)[:, None] == 4, -1, observation.clicked))
    similarity = np.zeros((40, 40))
    for item in range(40):
        part = slice(knn.listener_start[item], knn.listener_start[item + 1])
        similarity[item, knn.listener[part]] = knn.similarity[part]
    scores = np.zeros((60, 40), np.float32)
    for row, clicked in enumerate(observation.clicked):
        newest = [item for item in clicked[-3:] if item >= 0]
        scores[row] = similarity[sorted(set(newest))].sum(axis=0) / max(len(newest), 1)
    retriever = Neighbours(knn, newest=3)
    found = retriever.retrieve(observation, 9)
    expected = literal(scores, observation.eligible() & (scores > 0), 9)
    np.testing.assert_array_equal(found.items < 0, expected < 0)
    assert (found.items == expected).mean() > 0.98  # sums in another order decide ties
    assert (found.items[4] == -1).all()
    items = np.tile(np.arange(40), (60, 1))
    judged = retriever.judge(observation, items)
    assert np.isnan(judged[4]).all()
    np.testing.assert_allclose(np.delete(judged, 4, axis=0), np.delete(scores, 4, axis=0), rtol=1e-5, atol=1e-7)
    assert (Neighbours().retrieve(observation, 4).items == -1).all()


def test_vectors_of_one_length_keep_the_order_of_products():
    generator = np.random.default_rng(4)
    vectors, queries = (generator.normal(size=(n, 6)).astype(np.float32) for n in (40, 10))
    filled = search_module.of_one_length(vectors)
    np.testing.assert_allclose(np.linalg.norm(filled, axis=1), np.linalg.norm(vectors, axis=1).max(), rtol=1e-6)
    distance = np.linalg.norm(filled - np.pad(queries, ((0, 0), (0, 1)))[:, None], axis=2)
    assert np.array_equal(np.argsort(distance, axis=1), np.argsort(-(queries @ vectors.T), axis=1))


def test_standardised_scores_forget_scale_and_place():
    generator = np.random.default_rng(3)
    scores, sample = generator.normal(size=(5, 8)), generator.normal(size=(5, 40))
    sample[0, :20] = np.nan
    plain = standardised(scores, sample)
    np.testing.assert_allclose(plain[1], (scores[1] - sample[1].mean()) / sample[1].std(), rtol=1e-5)
    np.testing.assert_allclose(plain[0], (scores[0] - sample[0, 20:].mean()) / sample[0, 20:].std(), rtol=1e-5)
    np.testing.assert_allclose(standardised(7 * scores - 3, 7 * sample - 3), plain, rtol=1e-4, atol=1e-5)
    flat = standardised(np.array([[2.0, 5.0]]), np.full((1, 6), 2.0))
    assert flat.tolist() == [[0.0, 3.0]]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: ByEmbeddings(make_agent("dlrm")), "dot products"),
        (lambda: ByEmbeddings(make_agent("mf"), "nearly"), "search must be"),
        (lambda: ByEmbeddings(make_agent("mf"), exact_up_to=-1), "exact_up_to must be at least 0, got -1"),
        (lambda: Approximate("lsh"), "kind must be"),
        (lambda: Approximate(num_probed=0), "num_probed must be at least 1, got 0"),
        (lambda: Fresh(days=0), "days must be above 0 or None, got 0"),
        (lambda: Neighbours(newest=0), "newest must be at least 1, got 0"),
    ],
)
def test_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
