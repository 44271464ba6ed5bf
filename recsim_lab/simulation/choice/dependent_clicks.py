"""Dependent clicks: the user goes down the list, may click several slots, and may stop after each click."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from recsim_lab.simulation.choice.attraction import Attraction, Logistic
from recsim_lab.simulation.choice.base import CHOICE, ChoiceModel
from recsim_lab.simulation.examination import Examination, Flat, Geometric, examination_table
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(frozen=True)
class DependentClicks(ChoiceModel):
    """A slot that is reached is clicked with chance c_k = examination_k attraction(utility_k).

    After a click the user goes on with chance lambda_k = continue_probability * fading_k, without one always (Guo
    et al. 2009). So slot k is reached with chance r_k: r_0 = 1, r_(k+1) = r_k (1 - c_k (1 - lambda_k)). The
    default, lambda_k = .8^(k+1), is that of ReAgent (Gauci et al. 2018); `PowerLaw` fading is the other usual one.
    """

    examination: Examination = Flat()
    attraction: Attraction = Logistic()
    continue_probability: float = 0.8
    fading: Examination = Geometric(0.8)

    def __post_init__(self) -> None:
        if not 0 <= self.continue_probability <= 1:
            raise ValueError(f"continue_probability must be in [0, 1], got {self.continue_probability}")

    def click_probability(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Float64[A, "rows slots"]:
        once_reached = self._once_reached(utility, habit)
        stopped = once_reached * (1.0 - self._going_on(utility.shape[1])[habit])
        reached = np.ones_like(once_reached)
        reached[:, 1:] = np.cumprod(1.0 - stopped[:, :-1], axis=1)
        return reached * once_reached

    def sample_clicks(
        self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"], draws: Draws
    ) -> Bool[A, "rows slots"]:
        num_slots = utility.shape[1]
        uniform = draws.uniform(CHOICE, 2 * num_slots)  # two lanes a slot: to click, and to go on
        would_click = uniform[:, 0::2] < self._once_reached(utility, habit)
        would_stop = would_click & (uniform[:, 1::2] >= self._going_on(num_slots)[habit])
        stops_above = np.cumsum(would_stop, axis=1) - would_stop
        return would_click & (stops_above == 0)

    def _once_reached(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Float64[A, "rows slots"]:
        return examination_table(self.examination, utility.shape[1])[habit] * self.attraction.probability(utility)

    def _going_on(self, num_slots: int) -> Float64[A, "habits slots"]:
        return self.continue_probability * examination_table(self.fading, num_slots).astype(np.float64)
