"""LambdaRank: RankNet whose pairs weigh as much as exchanging them would change a metric of the ranking.

A metric has no gradient, being flat wherever no two documents change places. LambdaRank (Burges, Ragno & Le, NIPS
2006) gives it one: the force of a pair is RankNet's times |change of the metric if the two changed places|, taken at
the current scores and held constant.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float, Int

from agents.losses.base import Loss
from agents.losses.blocks import Block
from agents.losses.pairwise import Logistic, PairWeights, pairwise_loss

T = torch.Tensor


@final
@dataclass(frozen=True)
class LambdaRank(Loss):
    """The sum over a list's ordered pairs of |delta metric| log(1 + exp(-sigma (s_i - s_j))), where l_i > l_j.

    `metric="ndcg"`: gains 2^l - 1, discounts 1 / log2(1 + rank), none below rank `cutoff` where it is given.
    `metric="map"`: average precision of the whole list, for which a document is relevant or not.

    Where scores tie, the document of lower label ranks first, so that equal scores earn nothing.
    """

    metric: Literal["ndcg", "map"] = "ndcg"
    cutoff: int | None = None
    sigma: float = 1.0

    kind: ClassVar[Literal["pairwise"]] = "pairwise"

    def __post_init__(self) -> None:
        if self.metric not in ("ndcg", "map"):
            raise ValueError(f"metric must be ndcg or map, got {self.metric!r}")
        if self.cutoff is not None and self.cutoff < 1:
            raise ValueError(f"cutoff must be at least 1 or none, got {self.cutoff}")
        if self.cutoff is not None and self.metric == "map":
            raise ValueError(f"cutoff must be none for the metric map, got {self.cutoff}")
        if not 0 < self.sigma < float("inf"):
            raise ValueError(f"sigma must be above 0 and finite, got {self.sigma}")

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        if self.metric == "map":
            labels = (labels > 0).to(scores.dtype)
            change = precision_change(scores.detach(), labels, mask)
        else:
            change = gain_change(scores.detach(), labels, mask, self.cutoff)
        return pairwise_loss(self.sigma * scores, labels, mask, weights, Logistic(), change)


def gain_change(
    scores: Float[T, "queries documents"],
    labels: Float[T, "queries documents"],
    mask: Bool[T, "queries documents"],
    cutoff: int | None,
) -> PairWeights:
    """|change of NDCG| by exchanging two documents: the gains' difference times the discounts'."""
    gain = torch.exp2(labels) - 1
    # A masked document gains nothing and ranks last.
    best = gain.sort(dim=1, descending=True).values
    rank = ranks(scores, labels, mask)
    positions = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    discount = 1 / torch.log2(1 + positions.to(scores.dtype))
    if cutoff is not None:
        discount = discount.masked_fill(positions > cutoff, 0.0)
    ideal = (best * discount).sum(dim=1, keepdim=True)
    share = gain / ideal.clamp(min=torch.finfo(gain.dtype).tiny)
    discount = discount[rank - 1]

    def change(block: Block) -> Float[T, "block chosen documents"]:
        gains = block.of_chosen(share) - block.of_all(share)
        return (block.of_chosen(discount) - block.of_all(discount)).abs_().mul_(gains)

    return change


def precision_change(
    scores: Float[T, "queries documents"],
    relevant: Float[T, "queries documents"],
    mask: Bool[T, "queries documents"],
) -> PairWeights:
    """|change of average precision| by exchanging a relevant document with another one.

    Let h(r) be the number of relevant documents down to rank r, and s(r) the sum of 1/rank over these. If a relevant
    document goes down from rank a to b, the term h(a)/a is lost, h(b)/b is won, and each relevant document between
    loses 1/rank, which makes f(b) - f(a) with f(r) = h(r)/r - s(r). If it goes up, those between win 1/rank and
    (h(b) + 1)/b is won, which makes g(b) - g(a) with g = f + 1/r. All divided by the number of relevant documents.
    """
    rank = ranks(scores, relevant, mask)
    position = rank.to(scores.dtype)
    by_rank = torch.zeros_like(relevant).scatter_(1, rank - 1, relevant)
    positions = torch.arange(1, scores.shape[1] + 1, device=scores.device, dtype=scores.dtype)
    down = by_rank.cumsum(dim=1) / positions - (by_rank / positions).cumsum(dim=1)
    down = down.gather(1, rank - 1)
    down, inverse = (x / relevant.sum(dim=1, keepdim=True).clamp(min=1) for x in (down, 1 / position))

    def change(block: Block) -> Float[T, "block chosen documents"]:
        goes_up = block.of_all(position) < block.of_chosen(position)
        up = block.of_all(inverse) - block.of_chosen(inverse)
        return (block.of_all(down) - block.of_chosen(down)).add_(up.mul_(goes_up)).abs_()

    return change


def ranks(
    scores: Float[T, "queries documents"],
    labels: Float[T, "queries documents"],
    mask: Bool[T, "queries documents"],
) -> Int[T, "queries documents"]:
    """1 for the highest score; among equal scores the lowest label first, then the first in the list; masked last."""
    by_label = labels.argsort(dim=1, stable=True)
    scores = scores.masked_fill(~mask, -torch.inf).gather(1, by_label)
    order = by_label.gather(1, scores.argsort(dim=1, descending=True, stable=True))
    positions = torch.arange(1, scores.shape[1] + 1, device=scores.device).expand_as(order)
    return torch.zeros_like(order).scatter_(1, order, positions)
