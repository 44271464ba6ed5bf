"""How high the relevant document of a list ranks: no loss to follow, since it is flat, but a measure to stop by."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float

from agents.losses.base import Loss, mean_where

T = torch.Tensor


@final
@dataclass(frozen=True)
class LogRank(Loss):
    """log2 of each relevant document's rank among those that are not relevant, in the middle of those that tie, in
    proportion to labels. Whatever the scale of scores, and with a gradient of zero."""

    kind: ClassVar[Literal["listwise"]] = "listwise"

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        query, document = labels.nonzero(as_tuple=True)
        others, own = scores[query], scores[query, document][:, None]
        counted = (mask & (labels == 0))[query]
        above, level = ((compared & counted).sum(dim=1) for compared in (others > own, others == own))
        rank = torch.zeros_like(scores)
        rank[query, document] = torch.log2(1 + above + level / 2).to(scores.dtype)
        total = labels.sum(dim=1)
        loss = (weights * labels * rank).sum(dim=1) / total.where(total > 0, 1.0)
        return mean_where(loss, total > 0) + 0 * scores.sum()
