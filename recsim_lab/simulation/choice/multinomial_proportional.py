"""Multinomial proportional: one click at most, won in proportion to utility above a floor."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from recsim_lab.simulation.choice.base import CHOICE, ChoiceModel
from recsim_lab.simulation.examination import Examination, Flat, examination_table
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(frozen=True)
class MultinomialProportional(ChoiceModel):
    """P(slot k) is proportional to examination_k (utility_k - m), P(no click) to no_click - m.

    m is `min_normalizer` (Ie et al. 2019, RecSim). It is taken from `no_click` too: with the defaults, which are
    theirs, leaving weighs 2, not 1. A utility below m is never clicked.
    """

    examination: Examination = Flat()
    no_click: float = 1.0
    min_normalizer: float = -1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.min_normalizer):
            raise ValueError(f"min_normalizer must be finite, got {self.min_normalizer}")
        if not self.min_normalizer <= self.no_click < np.inf:
            raise ValueError(
                f"no_click must be finite and at least min_normalizer {self.min_normalizer}, got {self.no_click}"
            )

    def click_probability(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Float64[A, "rows slots"]:
        weights = self._weights(utility, habit)
        total = weights.sum(axis=1, keepdims=True) + (self.no_click - self.min_normalizer)
        return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)

    def sample_clicks(
        self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"], draws: Draws
    ) -> Bool[A, "rows slots"]:
        upper = np.cumsum(self._weights(utility, habit), axis=1)
        mark = draws.uniform(CHOICE) * (upper[:, -1:] + (self.no_click - self.min_normalizer))
        lower = np.concatenate([np.zeros((len(upper), 1)), upper[:, :-1]], axis=1)
        return (lower <= mark) & (mark < upper)

    def _weights(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Float64[A, "rows slots"]:
        table = examination_table(self.examination, utility.shape[1])
        return table[habit] * np.maximum(utility.astype(np.float64) - self.min_normalizer, 0.0)
