"""Position-based model: a slot is clicked if it is looked at and attracts, whatever happens to the others."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from recsim_lab.simulation.choice.attraction import Attraction, Logistic
from recsim_lab.simulation.choice.base import CHOICE, ChoiceModel
from recsim_lab.simulation.examination import Examination, Flat, examination_table
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(frozen=True)
class PositionBased(ChoiceModel):
    """Independent clicks with P(click on k) = examination_k attraction(utility_k).

    Chuklin et al. 2015; Deffayet et al. 2024 use `Geometric` examination.
    """

    examination: Examination = Flat()
    attraction: Attraction = Logistic()

    def click_probability(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Float64[A, "rows slots"]:
        table = examination_table(self.examination, utility.shape[1])
        return table[habit] * self.attraction.probability(utility)

    def sample_clicks(
        self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"], draws: Draws
    ) -> Bool[A, "rows slots"]:
        return draws.uniform(CHOICE, utility.shape[1]) < self.click_probability(utility, habit)
