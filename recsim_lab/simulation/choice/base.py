"""How a user answers a slate: the exact chance of each click, and a sampler that agrees with it."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from recsim_lab.simulation.examination import Examination
from recsim_lab.streams import Draws

A = np.ndarray

CHOICE = 1
"""Purpose of the draws that decide clicks; a choice model may use as many lanes as it needs."""


class ChoiceModel(ABC):
    """Utilities of a slate in, clicks out; `habit` is each user's row of `HABITS`.

    A utility of minus infinity marks a void slot, which is never clicked. NaN and plus infinity do not come in: the
    columns and weights of a world are finite, and its laws hold dynamics to finite terms.
    """

    examination: Examination

    @abstractmethod
    def click_probability(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Float64[A, "rows slots"]:
        """The exact marginal probability that each slot is clicked."""

    @abstractmethod
    def sample_clicks(
        self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"], draws: Draws
    ) -> Bool[A, "rows slots"]:
        """Clicks drawn jointly, with the marginals of `click_probability`."""
