"""How likely a slot that is looked at is clicked, given its utility."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy.special import expit

A = np.ndarray


class Attraction(ABC):
    """A non-decreasing map from utility to a probability; a void slot (minus infinity) has probability 0."""

    @abstractmethod
    def probability(self, utility: Float32[A, "rows slots"]) -> Float64[A, "rows slots"]:
        """Probability of a click on each slot, were it the only one and looked at."""


@dataclass(frozen=True)
class Logistic(Attraction):
    """1 / (1 + exp(-utility))."""

    def probability(self, utility: Float32[A, "rows slots"]) -> Float64[A, "rows slots"]:
        return expit(utility.astype(np.float64))


@dataclass(frozen=True)
class Clipped(Attraction):
    """The utility is the probability itself, cut to [0, 1]."""

    def probability(self, utility: Float32[A, "rows slots"]) -> Float64[A, "rows slots"]:
        return np.clip(utility.astype(np.float64), 0.0, 1.0)


@dataclass(frozen=True)
class Exponential(Attraction):
    """scale * exp(utility), where this exceeds 1 it counts as 1; RecSim refuses such utilities (Ie et al. 2019)."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < np.inf:
            raise ValueError(f"scale must be positive and finite, got {self.scale}")

    def probability(self, utility: Float32[A, "rows slots"]) -> Float64[A, "rows slots"]:
        return np.exp(np.minimum(utility + np.log(self.scale), 0.0))
