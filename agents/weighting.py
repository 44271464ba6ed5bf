"""What a log shows was chosen by a policy: inverse propensities make it count as if slates had been random.

A policy shows what it believes in, so a loss over what it showed is about these items alone. Where each term counts
1 / (the chance of being shown), the loss over the log has the expectation of the loss over all that could have been
shown (Schnabel et al., "Recommendations as Treatments", ICML 2016). What could have been shown is, for a loss of
documents, each item in each slot, and for a loss of pairs or lists each slate, as these are about documents that were
shown together.

Weights by selection make up for what stood where: so weighted, no slot has better items than another. That a click is
rarer in a slot that few look at remains, for all items alike, and is what `recsim_lab.examination` makes up for, by a
factor of clicks alone. The two multiply, and only together they give what would be clicked if all items were looked at.
"""

from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float, Int

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.propensities import inverse_propensities

A = np.ndarray
T = torch.Tensor

Weighting = Literal["none", "ips", "snips"]


@final
@dataclass(frozen=True)
class Selection:
    """How much examples count, one weight for each document or one for the whole list.

    `normalised`: those of a batch are divided by their mean (Swaminathan & Joachims, "The Self-Normalized Estimator for
    Counterfactual Learning", NIPS 2015), which keeps steps of one size, at a bias that falls as 1 / batch size.
    """

    weights: Float[T, "examples counted"]
    normalised: bool

    @staticmethod
    def of(
        log: InteractionLog, weighting: Literal["ips", "snips"], most_weight: float, device: str, *, whole: bool
    ) -> "Selection":
        """The weights of a log's rows; see `inverse_propensities`."""
        weights = inverse_propensities(log, whole=whole, most_weight=most_weight)
        return Selection(torch.tensor(weights, dtype=torch.float32, device=device), weighting == "snips")

    def take(self, rows: Int[A | T, " taken"] | slice) -> "Selection":
        return replace(self, weights=self.weights[rows])

    def at(self, row: Int[A, " clicks"], slot: Int[A, " clicks"]) -> "Selection":
        """The weight of each of these impressions, as an example of its own."""
        return replace(self, weights=self.weights[row, slot][:, None])

    def batch(self, chosen: Int[T, " chosen"]) -> Float[T, "chosen counted"]:
        """The weights of the examples that make up a batch."""
        weights = self.weights[chosen]
        if not self.normalised:
            return weights
        # Hidden slots, of weight 0, are no part of the mean.
        return weights * ((weights > 0).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny))
