"""Satisfaction: a slow average of what clicks were worth, which decides patience and return."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class Satisfaction(Dynamics):
    """S moves by `rate` (v - S) at a click of value v, and by `idle_rate` (idle_level - S) at a slate without one."""

    rate: float = 0.15
    idle_rate: float = 0.045
    idle_level: float = -0.5

    def __post_init__(self) -> None:
        for name in ("rate", "idle_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        return {"satisfaction": np.zeros(len(profile), np.float32)}

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        before = state["satisfaction"][rows]
        after = before + np.float32(self.idle_rate) * (np.float32(self.idle_level) - before)
        clicked = response.clicked_row
        if len(clicked):
            # The mean value of a slate's clicks; sums run in slot order, row by row.
            num_clicks = np.bincount(clicked, minlength=len(rows))
            total = np.bincount(clicked, weights=response.value, minlength=len(rows))
            some = num_clicks > 0
            mean = (total[some] / num_clicks[some]).astype(np.float32)
            after[some] = before[some] + np.float32(self.rate) * (mean - before[some])
        state["satisfaction"][rows] = after
