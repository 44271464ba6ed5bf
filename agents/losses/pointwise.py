"""Pointwise losses: each document's score against its own label, whatever else stands in the list."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch.nn.functional import logsigmoid, softplus

from agents.losses.base import Loss, mean_where

T = torch.Tensor


@final
@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """(s - l)^2."""

    kind: ClassVar[Literal["pointwise"]] = "pointwise"

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        return mean_where(weights * (scores - labels) ** 2, mask)


@final
@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """-l log(p) - (1 - l) log(1 - p), where the score is the log-odds of p. Labels may be chances, or exceed 1."""

    kind: ClassVar[Literal["pointwise"]] = "pointwise"

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        return mean_where(weights * (softplus(scores) - labels * scores), mask)


@final
@dataclass(frozen=True)
class GeneralisedBinaryCrossEntropy(Loss):
    """Binary cross-entropy in which the chance of a positive is raised to a power, against overconfidence.

    Few sampled negatives in place of the whole catalogue teach a model chances that are far too high. With the power
    beta(t) = alpha (t (1 - 1/alpha) + 1/alpha) = 1 - t (1 - alpha), t = 0 leaves binary cross-entropy as it is, and
    t = 1 gives the chances that the whole catalogue would have given. As log(p^beta) = beta log(p), no power is ever
    taken. Documents of label 1 are positive, those of label 0 sampled negatives.

    Source: Petrov & Macdonald, gSASRec (RecSys 2023), equations for beta(t) and L_gBCE.
    """

    sampling_rate: float
    """alpha: negatives per positive, over the items of the catalogue less one."""
    calibration: float = 0.75
    """t, in [0, 1]."""

    kind: ClassVar[Literal["pointwise"]] = "pointwise"

    def __post_init__(self) -> None:
        if not 0 < self.sampling_rate <= 1:
            raise ValueError(f"sampling_rate must be in (0, 1], got {self.sampling_rate}")
        if not 0 <= self.calibration <= 1:
            raise ValueError(f"calibration must be in [0, 1], got {self.calibration}")

    @property
    def power(self) -> float:
        """beta."""
        return 1 - self.calibration * (1 - self.sampling_rate)

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        terms = -self.power * labels * logsigmoid(scores) + (1 - labels) * softplus(scores)
        return mean_where(weights * terms, mask)
