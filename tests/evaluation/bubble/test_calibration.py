"""Calibration equals Steck's formula by hand, and is 0 just where proportions are kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsim_lab.evaluation.bubble.calibration import SMOOTHING, calibration_js, calibration_kl

COUNTS = hnp.arrays(np.int64, (4, 3), elements=st.integers(0, 40))


def test_by_hand():
    # Clicked 7 and 3 of two topics, shown the first alone; nothing consumed; nothing shown; proportions kept.
    consumed = np.array([[7, 3], [0, 0], [4, 0], [1, 2]])
    shown = np.array([[10, 0], [1, 1], [0, 0], [50, 100]])
    kept = 0.99 + 0.01 * 0.7
    expected = 0.7 * np.log(0.7 / kept) + 0.3 * np.log(0.3 / 0.003)
    np.testing.assert_allclose(calibration_kl(consumed, shown), [expected, np.nan, np.nan, 0], atol=1e-15)
    half = (0.7 * np.log(0.7 / 0.85) + 0.3 * np.log(0.3 / 0.15) + np.log(1 / 0.85)) / 2
    np.testing.assert_allclose(calibration_js(consumed, shown), [half, np.nan, np.nan, 0], atol=1e-15)


def test_the_worst_that_can_be():
    consumed, shown = np.array([[5, 0]]), np.array([[0, 3]])
    assert calibration_kl(consumed, shown)[0] == pytest.approx(-np.log(SMOOTHING))
    assert calibration_kl(consumed, shown, smoothing=0.5)[0] == pytest.approx(np.log(2))
    assert calibration_js(consumed, shown)[0] == pytest.approx(np.log(2))
    with pytest.raises(ValueError, match=r"smoothing must be above 0 and at most 1, got 0\.0"):
        calibration_kl(consumed, shown, smoothing=0.0)


@given(COUNTS, COUNTS, st.permutations(range(3)), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_bounds_and_invariances(consumed, shown, order, times):
    kl, js = calibration_kl(consumed, shown), calibration_js(consumed, shown)
    unknown = (consumed.sum(axis=1) == 0) | (shown.sum(axis=1) == 0)
    assert (np.isnan(kl) == unknown).all() and (np.isnan(js) == unknown).all()
    assert (kl[~unknown] >= -1e-12).all() and (kl[~unknown] <= -np.log(SMOOTHING) + 1e-12).all()
    assert (js[~unknown] >= -1e-12).all() and (js[~unknown] <= np.log(2) + 1e-12).all()
    np.testing.assert_allclose(calibration_js(shown, consumed), js, atol=1e-12)
    # Neither the names of topics nor the number of counts matters, only proportions.
    for told, function in ((kl, calibration_kl), (js, calibration_js)):
        np.testing.assert_allclose(function(consumed[:, order], shown[:, order] * times), told, atol=1e-12)
