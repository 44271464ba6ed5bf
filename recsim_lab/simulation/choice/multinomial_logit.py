"""Multinomial logit: one click at most, won by the slot that is seen and liked best, or by leaving it all."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from recsim_lab.simulation.choice.base import CHOICE, ChoiceModel
from recsim_lab.simulation.examination import Examination, Flat, examination_table
from recsim_lab.simulation.kernels import choose_one
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(frozen=True)
class MultinomialLogit(ChoiceModel):
    """P(slot k) is proportional to examination_k exp(utility_k), P(no click) to exp(no_click).

    McFadden 1974. With `no_click` minus infinity somebody always clicks (unless every slot is void).
    """

    examination: Examination = Flat()
    no_click: float = 0.0

    def __post_init__(self) -> None:
        if not self.no_click < np.inf:
            raise ValueError(f"no_click must be finite or minus infinity, got {self.no_click}")

    def click_probability(self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"]) -> Float64[A, "rows slots"]:
        best = np.maximum(utility.max(axis=1, keepdims=True).astype(np.float64), self.no_click)
        best = np.where(np.isfinite(best), best, 0.0)  # minus infinity less itself would be undefined
        weights = examination_table(self.examination, utility.shape[1])[habit] * np.exp(utility - best)
        total = weights.sum(axis=1, keepdims=True) + np.exp(self.no_click - best)
        return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)

    def sample_clicks(
        self, utility: Float32[A, "rows slots"], habit: Int[A, " rows"], draws: Draws
    ) -> Bool[A, "rows slots"]:
        table = examination_table(self.examination, utility.shape[1])
        clicks = np.zeros(utility.shape, bool)
        luck = draws.uniform(CHOICE)[:, 0]
        choose_one(utility, table, habit, np.float32(self.no_click), luck, np.empty_like(utility), clicks)
        return clicks
