"""Pseudo-inverse weights against the formula, and the closed form against the inverse it is the closed form of."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsim_lab.evaluation.off_policy.pseudo_inverse import paired_weights, uniform_weights
from recsim_lab.probabilities import PairProbabilities

A = np.ndarray


def _slates(num_items: int, num_slots: int) -> A:
    return np.array(list(permutations(range(num_items), num_slots)))


def _cells(slates: A, num_items: int) -> A:
    """The indicator of each slate's cells."""
    return (slates[:, :, None] == np.arange(num_items)).reshape(len(slates), -1).astype(np.float64)


def _pairs(slates: A, chance: A, num_items: int) -> PairProbabilities:
    cells = _cells(slates, num_items)
    value = (cells.T * chance @ cells)[None]
    return PairProbabilities(np.arange(num_items)[None], value, np.zeros_like(value))


@given(st.integers(1, 5), st.integers(0, 2), st.integers(0, 10**6))
def test_the_closed_form_is_the_inverse_of_uniform_logging(num_items: int, spare: int, seed: int) -> None:
    num_slots = max(1, num_items - spare)
    slates = _slates(num_items, num_slots)
    chance = np.random.default_rng(seed).dirichlet(np.full(len(slates), 0.3))
    pairs = _pairs(slates, np.full(len(slates), 1 / len(slates)), num_items)
    cells = _cells(slates, num_items)
    target = (chance @ cells).reshape(num_slots, num_items)
    literal = cells @ np.linalg.pinv(pairs.value[0], rcond=1e-9) @ target.ravel()
    repeated = np.broadcast_to(target, (len(slates), num_slots, num_items))
    general = paired_weights(pairs, np.zeros(len(slates), int), slates, repeated)
    np.testing.assert_allclose(general.value, literal, atol=1e-8)
    anywhere = target[:, slates].transpose(1, 0, 2)
    closed = uniform_weights(np.full(len(slates), num_items), anywhere)
    np.testing.assert_allclose(closed.value, literal, atol=1e-8)
    assert (general.outside == 0).all()


def test_with_one_slot_it_is_the_ratio_of_probabilities() -> None:
    rng = np.random.default_rng(0)
    logging, target = rng.dirichlet(np.ones(4), 2)
    slates = np.arange(4)[:, None]
    pairs = PairProbabilities(np.arange(4)[None], np.diag(logging)[None], np.zeros((1, 4, 4)))
    repeated = np.broadcast_to(target, (4, 1, 4))
    weights = paired_weights(pairs, np.zeros(4, int), slates, repeated)
    np.testing.assert_allclose(weights.value, target / logging, rtol=1e-9)


@pytest.mark.parametrize("num_rows", [20, 50])
def test_each_row_has_the_matrix_of_its_request(num_rows: int) -> None:
    rng = np.random.default_rng(1)
    slates = _slates(4, 2)
    tables = rng.dirichlet(np.ones(len(slates)), 3)
    each = [_pairs(slates, table, 4) for table in tables]
    many = PairProbabilities(*(np.concatenate([getattr(p, n) for p in each]) for n in ("candidates", "value", "error")))
    request, slate = rng.integers(3, size=num_rows), slates[rng.integers(len(slates), size=num_rows)]
    target = rng.dirichlet(np.ones(4), (num_rows, 2))
    together = paired_weights(many, request, slate, target)
    for row in range(num_rows):
        here = slice(row, row + 1)
        alone = paired_weights(each[request[row]], np.zeros(1, int), slate[here], target[here])
        assert together.value[row] == pytest.approx(alone.value[0], rel=1e-9)


def test_a_strange_item_makes_the_weight_unknown() -> None:
    pairs = _pairs(_slates(3, 2), np.full(6, 1 / 6), 3)
    target = np.full((2, 2, 3), 1 / 3)
    weights = paired_weights(pairs, np.zeros(2, int), np.array([[0, 1], [0, 7]]), target)
    assert np.isnan(weights.value).tolist() == [False, True]


def test_what_logging_cannot_make_up_lies_outside() -> None:
    slates = _slates(3, 2)
    # Logging shows item 2 never; then item 0 and 1 only together in one order.
    chance = np.where((slates != 2).all(axis=1), 0.5, 0.0)
    pairs = _pairs(slates, chance, 3)
    target = np.zeros((2, 2, 3))
    target[0, 0, 0] = target[0, 1, 1] = 1.0
    target[1, 0, 0] = target[1, 1, 1] = 0.75
    target[1, 0, 2] = target[1, 1, 2] = 0.25
    weights = paired_weights(pairs, np.zeros(2, int), np.array([[0, 1], [0, 1]]), target)
    assert weights.value[0] == pytest.approx(2.0)
    assert weights.outside[0] == 0 and weights.outside[1] > 0.1
    # Item 0 beside itself: each cell is possible, and the two of them together are not.
    target[0] = [[0.9, 0.1, 0.0], [0.9, 0.1, 0.0]]
    weights = paired_weights(pairs, np.zeros(2, int), np.array([[0, 1], [0, 1]]), target)
    assert weights.outside[0] > 0.1


def test_errors_cover_what_redraws_miss() -> None:
    """Pairs and target counted in a few thousand slates: the weight is off by no more than its error says."""
    rng = np.random.default_rng(2)
    slates = _slates(4, 2)
    logging, target = rng.dirichlet(np.full(len(slates), 5.0), 2)
    cells = _cells(slates, 4)
    truth = paired_weights(
        _pairs(slates, logging, 4),
        np.zeros(len(slates), int),
        slates,
        np.broadcast_to((target @ cells).reshape(2, 4), (len(slates), 2, 4)),
    ).value
    off = []
    num_redraws = 4000
    for _ in range(200):
        drawn = rng.multinomial(num_redraws, logging) / num_redraws
        pairs = _pairs(slates, drawn, 4)
        error = np.sqrt(pairs.value * (1 - pairs.value) / num_redraws)
        pairs = PairProbabilities(pairs.candidates, pairs.value, error)
        marginal = (rng.multinomial(num_redraws, target) / num_redraws @ cells).reshape(2, 4)
        spread = np.sqrt(marginal * (1 - marginal) / num_redraws)
        shape = (len(slates), 2, 4)
        weights = paired_weights(
            pairs, np.zeros(len(slates), int), slates, np.broadcast_to(marginal, shape), np.broadcast_to(spread, shape)
        )
        off.append((weights.value - truth) / weights.error)
    spread = np.sqrt(np.mean(np.square(off), axis=0))
    assert spread.max() < 1  # errors bound
    assert spread.max() > 0.3  # and do not exaggerate
    anywhere = np.broadcast_to(0.25, (3, 2, 2))
    closed = uniform_weights(np.full(3, 4), anywhere, np.full((3, 2, 2), 0.01))
    assert (closed.error > 0.01).all() and (uniform_weights(np.full(3, 4), anywhere).error == 0).all()


def test_fewer_items_than_slots_are_named() -> None:
    with pytest.raises(ValueError, match="num_items must be at least the 2 slots, got 1"):
        uniform_weights(np.array([1]), np.ones((1, 2, 2)))
