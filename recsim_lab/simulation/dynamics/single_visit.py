"""A life is one visit: whoever leaves does not return."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from recsim_lab.simulation.dynamics.base import Dynamics, State
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class SingleVisit(Dynamics):
    """Nobody comes a second time; how long the visit lasts is up to the world and its other dynamics."""

    def gap_days(self, world: "World", state: State, rows: Int[A, " rows"], draws: Draws) -> Int[A, " rows"] | None:
        return np.full(len(rows), -1, np.int64)
