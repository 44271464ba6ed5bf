"""Rank-argmax: the user takes the slot with the greatest product of utility and place in the list, for certain."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from recsim_lab.simulation.choice.base import ChoiceModel
from recsim_lab.simulation.examination import Examination, PowerLaw, examination_table
from recsim_lab.streams import Draws

A = np.ndarray

_LEAST_EXAMINATION = np.finfo(np.float32).tiny  # so that no quotient is infinite, which would mean void


@dataclass(frozen=True)
class RankArgmax(ChoiceModel):
    """Exactly one click, on argmax_k of examination_k utility_k; the upper slot wins a tie.

    Chaney et al. 2018, whose utilities are positive and whose attention (k + 1)^-.8 is `PowerLaw(.8)`. A utility
    of zero or less is divided by the curve instead, so that a lower slot is never the better one. Nobody clicks
    where all slots are void.
    """

    examination: Examination = PowerLaw(0.8)

    def click_probability(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Float64[A, "rows slots"]:
        return self._chosen(utility, habit).astype(np.float64)

    def sample_clicks(
        self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"], draws: Draws
    ) -> Bool[A, "rows slots"]:
        return self._chosen(utility, habit)

    def _chosen(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Bool[A, "rows slots"]:
        num_slots = utility.shape[1]
        seen = np.maximum(examination_table(self.examination, num_slots), _LEAST_EXAMINATION)[habit]
        worth = utility.astype(np.float64)
        worth = np.where(worth > 0, worth * seen, worth / seen)
        best = np.argmax(worth, axis=1)
        return (np.arange(num_slots) == best[:, None]) & (utility > -np.inf)
