"""Examination curves equal their formulas, and habits bend them."""

import numpy as np
import pytest

from recsim_lab.simulation.examination import Flat, Geometric, MixedReaders, PowerLaw, examination_table
from recsim_lab.simulation.population import AVERAGE_HABIT, HABITS

CURVES = [
    Flat(),
    PowerLaw(0.0),
    PowerLaw(1.3),
    Geometric(1.0),
    Geometric(0.85),
    MixedReaders(0.7),
    MixedReaders(0.9, 0.2),
]


def test_curves_by_hand():
    assert Flat().curve(3).tolist() == [1, 1, 1]
    np.testing.assert_allclose(PowerLaw(1.0).curve(4), [1, 1 / 2, 1 / 3, 1 / 4])
    np.testing.assert_allclose(Geometric(0.5).curve(4), [1, 0.5, 0.25, 0.125])
    np.testing.assert_allclose(MixedReaders(0.5).curve(3), [0.625, 0.5, 0.625])  # (1 + 1/4)/2, (1/2 + 1/2)/2
    np.testing.assert_allclose(MixedReaders(0.5, 0.2).curve(3), [0.85, 0.5, 0.4])  # .8 + .2/4; .8/4 + .2


def test_ten_slots_of_the_sardine_presets_hold_the_attention_of_5_35():
    assert Geometric(0.85).curve(10).sum() == pytest.approx(5.35, abs=0.005)
    assert MixedReaders(0.85).curve(10).sum() == pytest.approx(5.35, abs=0.005)


@pytest.mark.parametrize("examination", CURVES, ids=repr)
@pytest.mark.parametrize("num_slots", [1, 2, 25])
def test_curves_are_probabilities(examination, num_slots):
    curve = examination.curve(num_slots)
    assert curve.shape == (num_slots,) and curve.dtype == np.float64
    assert ((curve > 0) & (curve <= 1)).all()


def test_mixed_readers_reduce_to_one_kind():
    np.testing.assert_array_equal(MixedReaders(0.6, 0.0).curve(7), Geometric(0.6).curve(7))
    np.testing.assert_array_equal(MixedReaders(0.6, 1.0).curve(7), Geometric(0.6).curve(7)[::-1])
    halves = MixedReaders(0.6).curve(7)
    np.testing.assert_allclose(halves, halves[::-1])


@pytest.mark.parametrize("examination", CURVES, ids=repr)
def test_a_habit_is_an_exponent(examination):
    table = examination_table(examination, 9)
    for row, exponent in enumerate(HABITS):
        for slot, value in enumerate(examination.curve(9)):
            assert table[row, slot] == pytest.approx(float(value) ** float(exponent), rel=1e-6)
    np.testing.assert_array_equal(table[AVERAGE_HABIT], examination.curve(9).astype(np.float32))
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PowerLaw(-0.1), "exponent must be at least 0 and finite, got -0.1"),
        (lambda: PowerLaw(float("nan")), "exponent must be at least 0 and finite, got nan"),
        (lambda: Geometric(0.0), r"ratio must be in \(0, 1\], got 0.0"),
        (lambda: Geometric(1.1), r"ratio must be in \(0, 1\], got 1.1"),
        (lambda: MixedReaders(1.1), r"ratio must be in \(0, 1\], got 1.1"),
        (lambda: MixedReaders(0.5, 1.5), r"bottom_up_share must be in \[0, 1\], got 1.5"),
    ],
)
def test_wrong_parameters_name_field_rule_and_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
