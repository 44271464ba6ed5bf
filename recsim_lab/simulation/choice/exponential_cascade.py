"""Exponential cascade: the user goes down the list and stops at the first click."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from recsim_lab.simulation.choice.attraction import Exponential
from recsim_lab.simulation.choice.base import CHOICE, ChoiceModel
from recsim_lab.simulation.examination import Examination, Flat, examination_table
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(frozen=True)
class ExponentialCascade(ChoiceModel):
    """A slot that is reached is clicked with chance examination_k attention min(1, scale exp(utility_k)).

    Ie et al. 2019 (RecSim), who use no examination, attention .65 and scale .05. The marginals are products:
    the slot's own chance times the chances that each slot above is passed over, as a void one always is.
    """

    examination: Examination = Flat()
    attention: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.attention <= 1:
            raise ValueError(f"attention must be in (0, 1], got {self.attention}")
        if not 0 < self.scale < np.inf:
            raise ValueError(f"scale must be positive and finite, got {self.scale}")

    def click_probability(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Float64[A, "rows slots"]:
        once_reached = self._once_reached(utility, habit)
        reached = np.ones_like(once_reached)
        reached[:, 1:] = np.cumprod(1.0 - once_reached[:, :-1], axis=1)
        return reached * once_reached

    def sample_clicks(
        self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"], draws: Draws
    ) -> Bool[A, "rows slots"]:
        would_click = draws.uniform(CHOICE, utility.shape[1]) < self._once_reached(utility, habit)
        return would_click & (np.cumsum(would_click, axis=1) == 1)

    def _once_reached(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Float64[A, "rows slots"]:
        table = examination_table(self.examination, utility.shape[1])
        return table[habit] * (self.attention * Exponential(self.scale).probability(utility))
