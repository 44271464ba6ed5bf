"""What is measured is always the same work, and each measurement says what it was."""

import numpy as np
import pytest

from benchmarks import training


def test_the_clicks_are_the_same_every_time():
    first, again = training.made_up_clicks(3_000), training.made_up_clicks(3_000)
    assert np.array_equal(first.slate, again.slate) and np.array_equal(first.user, again.user)
    assert len(first) == 3_000 and first.clicks.all()
    assert np.array_equal(first.features.items["genre"], again.features.items["genre"])


@pytest.mark.parametrize(
    "measure",
    [
        training.matrix_factorization_epoch,
        training.hard_negatives_epoch,
        training.two_tower_epoch,
        training.dcn_epoch,
    ],
)
def test_a_measurement(measure):
    measured = measure(1_500)
    assert measured["value"] > 0 and measured["unit"] == "s/epoch" and "1,500 clicks" in measured["work"]
