"""ApproxNDCG: NDCG made smooth, by counting the documents above another one by degrees.

Qin, Liu & Li, A General Approximation Framework for Direct Optimization of Information Retrieval Measures (2010).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch.autograd.function import once_differentiable

from agents.losses.base import Loss, mean_where
from agents.losses.blocks import blocks

T = torch.Tensor


@final
@dataclass(frozen=True)
class ApproxNDCG(Loss):
    """1 - sum_i (2^l_i - 1) / log2(1 + r_i) / ideal, where r_i = 1 + sum_{j != i} sigmoid((s_j - s_i) / temperature).

    A temperature near 0 gives true ranks and no gradient; a high one the reverse. The paper's alpha is its inverse.
    """

    temperature: float = 0.1

    kind: ClassVar[Literal["listwise"]] = "listwise"

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be above 0 and finite, got {self.temperature}")

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        rank = _SmoothRanks.apply(scores / self.temperature, mask, labels > 0)
        gain = torch.exp2(labels) - 1
        positions = torch.arange(1, scores.shape[1] + 1, device=scores.device, dtype=scores.dtype)
        ideal = (gain.sort(dim=1, descending=True).values / torch.log2(1 + positions)).sum(dim=1)
        reached = (weights * gain / torch.log2(1 + rank)).sum(dim=1)
        return mean_where(1 - reached / ideal.where(ideal > 0, 1.0), ideal > 0)


class _SmoothRanks(torch.autograd.Function):
    """The smooth ranks of relevant documents, and 1 for others; pairs are computed anew for the gradient, not kept."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        relevant: Bool[T, "queries documents"],
    ) -> Float[T, "queries documents"]:
        ctx.save_for_backward(scores, mask, relevant)
        rank = torch.ones_like(scores)
        rivals = scores.masked_fill(~mask, -torch.inf)
        for block in blocks(relevant):
            above = (block.of_all(rivals) - block.of_chosen(scores)).sigmoid_().sum(dim=2)
            # A document is half above itself, which is taken off.
            block.add_to_chosen(rank, (above - 0.5).masked_fill(~block.present, 0.0))
        return rank

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[T, "queries documents"]) -> tuple[Float[T, "queries documents"] | None, ...]:
        scores, mask, relevant = ctx.saved_tensors
        force = torch.zeros_like(scores)
        rivals = scores.masked_fill(~mask, -torch.inf)
        for block in blocks(relevant):
            above = (block.of_all(rivals) - block.of_chosen(scores)).sigmoid_()
            pull = block.of_chosen(gradient).masked_fill(~block.present[:, :, None], 0.0)
            slope = above.mul_(1 - above).mul_(pull)
            block.add_to_all(force, slope.sum(dim=1))
            block.add_to_chosen(force, -slope.sum(dim=2))
        return force, None, None
