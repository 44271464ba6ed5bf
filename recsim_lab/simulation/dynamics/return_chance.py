"""Users come back with the same chance every day, whatever they were shown."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from recsim_lab.simulation.dynamics.base import Dynamics, State
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class ReturnChance(Dynamics):
    """The days until the next visit are geometric: `probability`, in (0, 1], each day, at least one day."""

    probability: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability must be in (0, 1], got {self.probability}")

    def gap_days(self, world: "World", state: State, rows: Int[A, " rows"], draws: Draws) -> Int[A, " rows"] | None:
        luck = draws.uniform(Purpose.RETURN_CHANCE)[:, 0].astype(np.float64)
        # Inversion: the first day by which a coin has come up with chance above 1 - luck.
        with np.errstate(divide="ignore"):  # at probability 1 everybody returns the next day
            days = 1 + np.floor(np.log(luck) / np.log1p(-self.probability))
        return np.minimum(days, 1_000).astype(np.int64)
