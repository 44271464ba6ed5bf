"""Probabilities of mixtures and of redraws against what many redraws show, row by row."""

import numpy as np
import pytest

from recsim_lab.policy import NEVER, FeatureTable, Observation
from recsim_lab.probabilities import (
    Probabilities,
    check_pairs,
    exact_where,
    exactly,
    mixture,
    over_redraws,
    pairs_of_slates,
    redraw,
)

A = np.ndarray


def requests(num: int) -> Observation:
    zeros, nothing = np.zeros(num, np.int32), np.zeros((num, 0), np.int32)
    table = FeatureTable((), (), {}, {}, np.zeros(4, np.int64), np.full(4, NEVER))
    user = np.arange(num, dtype=np.int32)
    return Observation(
        user, zeros, zeros, zeros.astype(np.int64), zeros, nothing, nothing, nothing, table, nothing.astype(np.int32)
    )


def coin(chance: float):
    """The probability of heads, told by one draw of a uniform number."""

    def given(draws) -> Probabilities:
        heads = (draws.uniform(0, 1) < chance).astype(float)
        return exactly(heads, heads)

    return given


def test_redraws_err_as_much_as_they_say():
    told = over_redraws(coin(0.4), requests(2_000), 400)
    z = (told.marginal - 0.4) / told.error
    # The mean of 2,000 squares of normal numbers has a standard deviation of .032.
    assert abs((z**2).mean() - 1) < 4 * 0.032 + 0.02


def test_parts_of_the_same_luck_err_together():
    part = over_redraws(coin(0.4), requests(2_000), 400)
    told = mixture([part] * 5, np.full((2_000, 5), 0.2))
    np.testing.assert_allclose(told.marginal, part.marginal, rtol=1e-6)
    np.testing.assert_allclose(told.error, part.error, rtol=1e-6)


def test_a_part_of_no_weight_counts_for_nothing():
    unknown = exactly(np.full((1, 2), np.nan), np.full((1, 2), np.nan))
    told = mixture([exactly(np.full((1, 2), 0.5), np.full((1, 2), 0.5)), unknown], np.array([[1.0, 0.0]]))
    assert told.marginal.tolist() == [[0.5, 0.5]] and told.exact.all()


def test_what_redraws_never_show_or_rarely_is_not_known():
    told = over_redraws(coin(1e-9), requests(3), 100)
    assert np.isnan(told.marginal).all() and np.isnan(told.error).all()
    always = over_redraws(coin(2.0), requests(3), 100)
    assert (always.marginal == 1).all() and np.allclose(always.error, 0.01)


def test_rows_are_exact_whatever_other_rows_are():
    exact, redrawn = exactly(np.ones((2, 1)), np.ones((2, 1))), over_redraws(coin(0.5), requests(2), 400)
    told = exact_where(np.array([True, False]), exact, redrawn)
    assert told.exact[:, 0].tolist() == [True, False]
    assert told.marginal[0, 0] == 1 and told.marginal[1, 0] == redrawn.marginal[1, 0]


def test_pairs_that_no_redraw_showed_are_unsure_unless_they_are_impossible():
    slates = np.array([[[0, 1]], [[0, 1]], [[1, 0]]])
    told = pairs_of_slates(slates, np.array([[0, 1, 2]]))
    cell = {(slot, item): slot * 3 + item for slot in (0, 1) for item in (0, 1, 2)}
    assert told.value[0, cell[0, 0], cell[1, 1]] == pytest.approx(2 / 3)
    assert told.error[0, cell[0, 0], cell[1, 2]] > 0
    for impossible in ((cell[0, 0], cell[0, 1]), (cell[0, 0], cell[1, 0])):
        assert told.value[0][impossible] == told.error[0][impossible] == 0


def test_two_redraws_at_least():
    with pytest.raises(ValueError, match="num_redraws must be at least 2, got 1"):
        over_redraws(coin(0.5), requests(1), 1)
    assert not np.array_equal(redraw(requests(1), 0).seed, redraw(requests(1), 1).seed)


@pytest.mark.parametrize("num_redraws", [1, 3])
def test_no_requests_have_no_pairs(num_redraws):
    told = pairs_of_slates(np.zeros((num_redraws, 0, 2), np.int64), np.zeros((0, 5), np.int64))
    assert told.value.shape == told.error.shape == (0, 10, 10)


def test_pairs_are_of_at_most_50_distinct_candidates():
    check_pairs(np.array([[*range(50)], [*range(50, 100)]]))
    with pytest.raises(ValueError, match="candidates must be at most 50, got 51"):
        check_pairs(np.arange(51)[None])
    with pytest.raises(ValueError, match="candidates of a request must be distinct"):
        check_pairs(np.array([[1, 2, 3], [4, 5, 4]]))
