"""Coverage, novelty and diversity of lists, by hand and by a literal twin."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsim_lab.evaluation.lists import first_items, list_metrics
from recsim_lab.policy import NEVER, FeatureTable, Field


def table(topic: list[int], creator: list[int]) -> FeatureTable:
    fields = (Field("topic", "categorical", 9), Field("creator", "categorical", 9), Field("length", "numeric"))
    columns = {"topic": np.array(topic), "creator": np.array(creator), "length": np.zeros(len(topic), np.float32)}
    return FeatureTable((), fields, {}, columns, np.zeros(len(topic), np.int64), np.full(len(topic), NEVER))


def test_by_hand() -> None:
    features = table([0, 0, 1, 1], [0, 1, 1, 2])
    told = list_metrics(
        np.array([[0, 1, 2], [2, 3, 0]], np.int32),
        4,
        np.array([3, 1, 0, 0]),
        features,
        (1, 2, 3, 10),
    )
    # Shares with one click more: 4/8, 2/8, 1/8, 1/8.
    np.testing.assert_allclose(told["novelty@1"], [1, 3])
    np.testing.assert_allclose(told["novelty@2"], [1.5, 3])
    np.testing.assert_allclose(told["novelty@3"], [2, 7 / 3])
    np.testing.assert_allclose(told["coverage@1"], 2 / 4)
    np.testing.assert_allclose(told["coverage@2"], 1)
    assert "diversity@1" not in told
    # Items 0 and 1 share a topic, 1 and 2 a creator, 2 and 3 a topic; 0 and 2, 0 and 3 nothing.
    np.testing.assert_allclose(told["diversity@2"], [0.5, 0.5])
    np.testing.assert_allclose(told["diversity@3"], [(0.5 + 1 + 0.5) / 3, (0.5 + 1 + 1) / 3])
    np.testing.assert_array_equal(told["diversity@10"], told["diversity@3"])


def test_without_fields_there_is_no_diversity() -> None:
    nothing = FeatureTable((), (), {}, {}, np.zeros(2, np.int64), np.full(2, NEVER))
    told = list_metrics(np.array([[0, 1]], np.int32), 2, np.zeros(2, np.int64), nothing, (2,))
    assert set(told) == {"coverage@2", "novelty@2"}
    assert told["coverage@2"] == 1 and told["novelty@2"] == 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_equal_to_a_literal_twin(seed: int, num: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, size=(5, 9)).astype(np.float32)
    eligible = rng.random((5, 9)) < 0.7
    eligible[:, :num] = True
    luck = rng.random((5, 9), dtype=np.float32)
    lists = first_items(scores, eligible, num, luck)
    features = table(rng.integers(3, size=9).tolist(), rng.integers(3, size=9).tolist())
    popularity = rng.integers(20, size=9)
    told = list_metrics(lists, int(eligible.any(axis=0).sum()), popularity, features, (num,))
    for row in range(5):
        order = sorted(np.flatnonzero(eligible[row]), key=lambda i: (-scores[row, i], -luck[row, i]))[:num]
        assert lists[row].tolist() == [int(item) for item in order]
        bits = [-np.log2((popularity[i] + 1) / (popularity.sum() + 9)) for i in order]
        assert told[f"novelty@{num}"][row] == pytest.approx(np.mean(bits))
        pairs = [
            np.mean([features.items[name][i] != features.items[name][j] for name in ("topic", "creator")])
            for i, j in combinations(order, 2)
        ]
        if pairs:
            assert told[f"diversity@{num}"][row] == pytest.approx(np.mean(pairs))
    shown = {int(item) for row in lists for item in row}
    assert (told[f"coverage@{num}"] == len(shown) / eligible.any(axis=0).sum()).all()


def test_who_is_indifferent_covers_the_catalogue() -> None:
    rng = np.random.default_rng(0)
    luck = rng.random((400, 50), dtype=np.float32)
    lists = first_items(np.zeros((400, 50), np.float32), np.ones((400, 50), bool), 10, luck)
    counts = np.bincount(lists.ravel(), minlength=50)
    # Each item in 80 of 400 lists, standard deviation 8: six of them for a false alarm below one in ten million.
    assert (np.abs(counts - 80) < 48).all()
    assert all(len(set(row)) == 10 for row in lists.tolist())
