"""Pairwise losses: of two documents of a list, the one of higher label should have the higher score.

A pair's loss depends on the difference of two scores, so it pulls one document up as hard as it pushes the other
down. All pairs of a document together act on it as one force, and the gradient of the weights follows from these
forces alone: dL/dw = sum_i force_i ds_i/dw, the factorised gradient of Burges, From RankNet to LambdaRank to
LambdaMART (2010), section 2.1. The forces are summed up while the loss is, and no pair is kept for `backward`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from agents.losses.base import Loss
from agents.losses.blocks import Block, blocks

T = torch.Tensor

PairWeights = Callable[[Block], Float[T, "block chosen documents"]]
"""How much it matters that a chosen document stands above another; anything where it need not."""


class PairTerm(ABC):
    """The loss of a pair as a function of the higher label's score minus the lower's."""

    @abstractmethod
    def value(self, difference: Float[T, "..."]) -> Float[T, "..."]: ...

    @abstractmethod
    def slope(self, difference: Float[T, "..."]) -> Float[T, "..."]:
        """Its derivative."""


@final
@dataclass(frozen=True)
class Logistic(PairTerm):
    """log(1 + exp(-d)): the cross-entropy of the chance 1 / (1 + exp(-d)) that the pair is in order."""

    def value(self, difference: Float[T, "..."]) -> Float[T, "..."]:
        return logsigmoid(difference).neg_()

    def slope(self, difference: Float[T, "..."]) -> Float[T, "..."]:
        return difference.neg().sigmoid_().neg_()


@final
@dataclass(frozen=True)
class Hinge(PairTerm):
    """max(0, margin - d)."""

    margin: float

    def value(self, difference: Float[T, "..."]) -> Float[T, "..."]:
        return (self.margin - difference).clamp(min=0)

    def slope(self, difference: Float[T, "..."]) -> Float[T, "..."]:
        return -(difference < self.margin).to(difference.dtype)


@final
@dataclass(frozen=True)
class RankNet(Loss):
    """The mean over a list's ordered pairs of log(1 + exp(-sigma (s_i - s_j))), where l_i > l_j.

    Burges et al., Learning to Rank using Gradient Descent (ICML 2005). With one positive among sampled negatives this
    is BPR (Rendle et al., UAI 2009): minus the mean of log sigmoid(s_positive - s_negative).
    """

    sigma: float = 1.0
    """How steep the chance of a pair is in the difference of its scores."""

    kind: ClassVar[Literal["pairwise"]] = "pairwise"

    def __post_init__(self) -> None:
        if not 0 < self.sigma < float("inf"):
            raise ValueError(f"sigma must be above 0 and finite, got {self.sigma}")

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        return pairwise_loss(self.sigma * scores, labels, mask, weights, Logistic())


@final
@dataclass(frozen=True)
class Margin(Loss):
    """The mean over a list's ordered pairs of max(0, margin - (s_i - s_j)), where l_i > l_j.

    Herbrich, Graepel & Obermayer, Large Margin Rank Boundaries for Ordinal Regression (2000).
    """

    margin: float = 1.0

    kind: ClassVar[Literal["pairwise"]] = "pairwise"

    def __post_init__(self) -> None:
        if not 0 < self.margin < float("inf"):
            raise ValueError(f"margin must be above 0 and finite, got {self.margin}")

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        return pairwise_loss(scores, labels, mask, weights, Hinge(self.margin))


def pairwise_loss(
    scores: Float[T, "queries documents"],
    labels: Float[T, "queries documents"],
    mask: Bool[T, "queries documents"],
    weights: Float[T, "queries documents"],
    term: PairTerm,
    pair_weights: PairWeights | None = None,
) -> Float[T, ""]:
    """The mean over queries with an ordered pair of the mean of their pairs' terms.

    Where pairs have weights, these are the normaliser: the sum of their terms then stands for their mean.
    """
    return _Forces.apply(scores, labels, mask, weights, term, pair_weights)


class _Forces(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
        term: PairTerm,
        pair_weights: PairWeights | None,
    ) -> Float[T, ""]:
        # Nothing lies below infinity, so masked documents lose no pair.
        labels = labels.masked_fill(~mask, torch.inf)
        can_win = mask & (labels > labels.amin(dim=1, keepdim=True))
        # Grown so far apart, two labels differ by more than 1 or not at all: this makes order a number, cheaper than
        # comparing them and turning the answer into one.
        labels.mul_(2.0**90)
        loss, num_pairs, force = scores.new_zeros(len(scores)), scores.new_zeros(len(scores)), torch.zeros_like(scores)
        for block in blocks(can_win):
            label = block.of_chosen(labels).masked_fill(~block.present[:, :, None], -torch.inf)
            weight = (label - block.of_all(labels)).clamp_(0, 1)
            num_pairs[block.queries] += weight.sum(dim=(1, 2))
            weight *= block.of_chosen(weights)
            if pair_weights is not None:
                weight *= pair_weights(block)
            difference = block.of_chosen(scores) - block.of_all(scores)
            loss[block.queries] += term.value(difference).mul_(weight).sum(dim=(1, 2))
            if ctx.needs_input_grad[0]:
                slope = term.slope(difference).mul_(weight)
                block.add_to_chosen(force, slope.sum(dim=2))
                block.add_to_all(force, slope.sum(dim=1).neg_())
        scale = 1 / (num_pairs > 0).sum().clamp(min=1).to(scores.dtype)
        if pair_weights is None:
            scale = scale / num_pairs.clamp(min=1)
        ctx.save_for_backward(force.mul_(scale.expand(len(scores))[:, None]))
        return (loss * scale).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[T, ""]) -> tuple[Float[T, "queries documents"] | None, ...]:
        (force,) = ctx.saved_tensors
        return gradient * force, None, None, None, None, None
