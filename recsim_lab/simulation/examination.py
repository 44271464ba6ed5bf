"""How likely a user looks at each slot, from the first to the last."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Float64

from recsim_lab.simulation.population import HABITS

A = np.ndarray


class Examination(ABC):
    """A curve over slots; each user raises it to the power of their position habit."""

    @abstractmethod
    def curve(self, num_slots: int) -> Float64[A, " slots"]:
        """Probability (or weight) in (0, 1] of looking at each slot, for a user of average habit."""


@dataclass(frozen=True)
class Flat(Examination):
    """Every slot is seen."""

    def curve(self, num_slots: int) -> Float64[A, " slots"]:
        return np.ones(num_slots)


@dataclass(frozen=True)
class PowerLaw(Examination):
    """(k + 1)^-exponent at slot k = 0, 1, ...; exponent at least 0."""

    exponent: float

    def __post_init__(self) -> None:
        if not 0 <= self.exponent < np.inf:
            raise ValueError(f"exponent must be at least 0 and finite, got {self.exponent}")

    def curve(self, num_slots: int) -> Float64[A, " slots"]:
        return np.arange(1, num_slots + 1, dtype=np.float64) ** -self.exponent


@dataclass(frozen=True)
class Geometric(Examination):
    """ratio^k at slot k = 0, 1, ...; ratio in (0, 1]. Deffayet et al. 2024 use .85."""

    ratio: float

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must be in (0, 1], got {self.ratio}")

    def curve(self, num_slots: int) -> Float64[A, " slots"]:
        return self.ratio ** np.arange(num_slots, dtype=np.float64)


@dataclass(frozen=True)
class MixedReaders(Examination):
    """Some readers start at the top, the others at the bottom: the mean of a `Geometric` curve and its mirror image.

    (1 - b) ratio^k + b ratio^(n - 1 - k) at slot k of n, where b, in [0, 1], is the share who start at the bottom.
    Deffayet et al. 2024 use halves.
    """

    ratio: float
    bottom_up_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must be in (0, 1], got {self.ratio}")
        if not 0 <= self.bottom_up_share <= 1:
            raise ValueError(f"bottom_up_share must be in [0, 1], got {self.bottom_up_share}")

    def curve(self, num_slots: int) -> Float64[A, " slots"]:
        top_down = Geometric(self.ratio).curve(num_slots)
        return (1.0 - self.bottom_up_share) * top_down + self.bottom_up_share * top_down[::-1]


@lru_cache(maxsize=64)
def examination_table(examination: Examination, num_slots: int) -> Float32[A, "habits slots"]:
    """The curve of every position habit, one row per entry of `HABITS`."""
    table = (examination.curve(num_slots)[None, :] ** HABITS[:, None]).astype(np.float32)
    table.setflags(write=False)
    return table
