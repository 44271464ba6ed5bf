"""The laws of choice models catch models that break them; `tests/test_laws.py` holds every member to them."""

import numpy as np
import pytest

from recsim_lab.simulation.choice import CHOICE, ChoiceModel, PositionBased
from recsim_lab.simulation.examination import Flat
from recsim_lab.testing import check_choice_model


class Broken(ChoiceModel):
    """A position-based model with one defect."""

    def __init__(self, defect):
        self.examination, self.defect, self.right = Flat(), defect, PositionBased()

    def click_probability(self, utility, habit):
        probability = self.right.click_probability(utility, habit)
        if self.defect == "frequency":
            probability = probability * 0.97
        if self.defect == "range":
            probability = probability * 1.01
        if self.defect == "type":
            probability = probability.astype(np.float32)
        if self.defect == "batch probability":
            probability = probability * (1 - 1e-12 * len(utility))
        if self.defect == "edits":
            utility += 1
        return probability

    def sample_clicks(self, utility, habit, draws):
        clicks = self.right.sample_clicks(utility, habit, draws)
        if self.defect == "void":
            clicks = clicks | (utility == -np.inf)
        if self.defect == "batch":
            uniform = np.random.default_rng(0).random(utility.shape)
            clicks = uniform < self.right.click_probability(utility, habit)
        if self.defect == "shared":
            clicks = draws.uniform(CHOICE)[:1] < self.right.click_probability(utility, habit)
        return clicks


BROKEN = {
    "frequency": "clicks come as often as promised",
    "range": r"click_probability is in \[0, 1\]",
    "type": "click_probability is in float64",
    "edits": "utility is left as it was",
    "void": "a void slot is never clicked",
    "batch": "clicks do not depend on the batch",
    "shared": "clicks come as often as promised",
    "batch probability": "click_probability does not depend on the batch",
}


@pytest.mark.parametrize("defect", BROKEN)
def test_the_laws_catch(defect):
    with pytest.raises(AssertionError, match=BROKEN[defect]):
        check_choice_model(Broken(defect), num_draws=60_000)
