"""The seam against literal twins: what is eligible, which items are best, and which slates are wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim_lab.policy import (
    NEVER,
    FeatureTable,
    Field,
    Observation,
    certain,
    check_slates,
    deterministic,
    gather,
    top_items,
)

A = np.ndarray


def _table(release: A, withdrawal: A | None = None) -> FeatureTable:
    withdrawal = np.full(len(release), NEVER) if withdrawal is None else withdrawal
    return FeatureTable((), (), {}, {}, release.astype(np.int64), withdrawal.astype(np.int64))


def _requests(table: FeatureTable, tick: A, blocked: A | None = None) -> Observation:
    rows = len(tick)
    zeros, nothing = np.zeros(rows, np.int32), np.full((rows, 3), -1, np.int32)
    return Observation(
        user=np.arange(rows, dtype=np.int32),
        session=zeros,
        step=zeros,
        tick=tick.astype(np.int64),
        device=zeros.astype(np.int8),
        clicked=nothing,
        clicked_tick=nothing,
        shown=nothing,
        features=table,
        blocked=np.zeros((rows, 0), np.int32) if blocked is None else blocked.astype(np.int32),
    )


# ---- the best items --------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(0, 5), items=st.integers(1, 12), levels=st.integers(1, 6))
def test_top_items_are_the_first_of_a_stable_sort(seed: int, rows: int, items: int, levels: int) -> None:
    """Few levels of score make many ties."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(rows, items)).astype(np.float64)
    eligible = rng.random((rows, items)) < 0.7
    num_slots = int(eligible.sum(axis=1).min(initial=items))
    best = top_items(scores, eligible, num_slots)
    assert best.shape == (rows, num_slots) and best.dtype == np.int32
    for row in range(rows):
        ranked = sorted(np.flatnonzero(eligible[row]), key=lambda item, row=row: (-scores[row, item], item))
        assert best[row].tolist() == ranked[:num_slots]


def test_scores_must_be_numbers_where_items_are_eligible() -> None:
    scores = np.array([[1.0, np.nan, 2.0]])
    with pytest.raises(ValueError, match="scores must not be NaN, got NaN for row 0, item 1"):
        top_items(scores, np.ones((1, 3), bool), 2)
    assert top_items(scores, np.array([[True, False, True]]), 2).tolist() == [[2, 0]]


def test_infinite_scores_are_scores() -> None:
    scores = np.array([[0.0, -np.inf, np.inf, 1.0]], np.float32)
    assert top_items(scores, np.ones((1, 4), bool), 3).tolist() == [[2, 3, 0]]


def test_an_eligible_item_comes_before_all_others_whatever_its_score() -> None:
    scores = np.array([[-np.inf, -np.inf, 1.0]], np.float32)
    assert top_items(scores, np.array([[False, True, True]]), 2).tolist() == [[2, 1]]


def test_more_slots_than_eligible_items() -> None:
    eligible = np.array([[True, True, True], [True, False, False]])
    with pytest.raises(ValueError, match="asked for 2, a request has 1 of 3"):
        top_items(np.zeros((2, 3)), eligible, 2)


def test_gathered_scores() -> None:
    scores = np.arange(6.0).reshape(2, 3)
    assert gather(scores, None) is scores
    assert gather(scores, np.array([[2, 2], [0, 1]], np.int32)).tolist() == [[2, 2], [3, 4]]


# ---- requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ticks", [[5, 5, 5], [0, 5, 20], [9]])
def test_items_are_on_offer_from_release_to_withdrawal(ticks: list[int]) -> None:
    table = _table(np.array([0, 5, 6, 9]), np.array([NEVER, 20, 9, 10]))
    offer = table.on_offer(np.array(ticks))
    for row, tick in enumerate(ticks):
        expected = [r <= tick < w for r, w in zip(table.release, table.withdrawal, strict=True)]
        assert offer[row].tolist() == expected


def test_what_is_blocked_or_not_on_offer_is_not_eligible() -> None:
    table = _table(np.array([0, 0, 0, 100]))
    requests = _requests(table, np.array([10, 10, 200]))
    assert requests.eligible().tolist() == [[True, True, True, False]] * 2 + [[True] * 4]
    blocked = requests.block(np.array([[0, -1], [-1, -1], [3, 3]])).block(np.array([[1], [2], [-1]]))
    assert blocked.eligible().tolist() == [
        [False, False, True, False],
        [True, True, False, False],
        [True, True, True, False],
    ]
    assert requests.blocked.shape == (3, 0)


def test_taken_requests_keep_every_column() -> None:
    requests = _requests(_table(np.zeros(4)), np.array([10, 70, 1500]), np.array([[0], [1], [2]]))
    taken = requests.take(np.array([2, 0, 2]))
    assert len(taken) == 3 and taken.tick.tolist() == [1500, 10, 1500] and taken.blocked.tolist() == [[2], [0], [2]]
    assert taken.features is requests.features
    assert len(requests.take(slice(1, 3))) == 2
    assert requests.hour.tolist() == [0, 1, 1]


def test_columns_must_be_those_of_the_declared_fields() -> None:
    never = np.full(2, NEVER)
    with pytest.raises(ValueError, match=r"item columns must be those of the declared fields \['genre'\], got \[\]"):
        FeatureTable((), (Field("genre", "categorical", 3),), {}, {}, np.zeros(2, np.int64), never)


# ---- answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slate", "message"),
    [
        ([[0, 1], [2, 2]], r"items of a slate must be distinct, policy 'p' gave \[2, 2\]"),
        ([[0, 1], [1, 4]], r"items of policy 'p' must be in \[0, 4\), got 0 to 4"),
        ([[-1, 1], [1, 0]], r"items of policy 'p' must be in \[0, 4\), got -1 to 1"),
        ([[0, 3], [1, 0]], "items must be on offer, policy 'p' gave item 3 at tick 10"),
        ([[0, 1], [2, 1]], "items must be on offer, policy 'p' gave item 2 at tick 200"),
        ([[0, 1]], "policy 'p' must give a slate for each of 2 requests, got 1"),
    ],
)
def test_wrong_slates_are_named(slate: list[list[int]], message: str) -> None:
    table = _table(np.array([0, 0, 0, 100]), np.array([NEVER, NEVER, 150, NEVER]))
    requests = _requests(table, np.array([10, 200]))
    check_slates(np.array([[0, 2], [3, 0]]), requests, "p")
    with pytest.raises(ValueError, match=message):
        check_slates(np.array(slate), requests, "p")


def test_a_deterministic_answer_was_certain() -> None:
    answer = deterministic(np.array([[3, 1], [0, 2]]), "p")
    assert answer.items.dtype == np.int32 and answer.sources == ("p",)
    assert (answer.propensity == 1).all() and (answer.prefix_propensity == 1).all()
    assert (answer.propensity_error == 0).all() and (answer.source == 0).all()


def test_other_slates_were_impossible_from_the_first_difference_on() -> None:
    chosen = np.array([[3, 1, 2], [3, 1, 2], [3, 1, 2]])
    slates = np.array([[3, 1, 2], [3, 0, 2], [1, 3, 2]])
    told = certain(chosen, slates)
    assert told.marginal.tolist() == [[1, 1, 1], [1, 0, 1], [0, 0, 1]]
    assert told.prefix.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert (told.error == 0).all()
