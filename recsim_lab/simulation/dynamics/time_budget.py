"""Users come with a budget of time; good items win some of it back, and when it is used up they leave for good."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class TimeBudget(Dynamics):
    """The time left falls by w (1 - refund q) when w minutes are spent on an item of quality q, else by `idle_minutes`.

    Ie et al. 2019 (RecSim, interest evolution), where refund = .9 / 3.4: the best items cost little time. At zero
    or below the session ends and the user does not return.
    """

    minutes: float = 200.0
    idle_minutes: float = 0.5
    refund: float = 0.9 / 3.4

    def __post_init__(self) -> None:
        for name in ("minutes", "idle_minutes"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        return {"time_left": np.full(len(profile), self.minutes, np.float32)}

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        cost = 1 - np.float32(self.refund) * world.catalogue.quality[response.slate]
        spent = np.where(response.clicks, response.dwell * cost, np.float32(0)).sum(axis=1)
        idle = ~response.clicks.any(axis=1)
        state["time_left"][rows] -= np.where(idle, np.float32(self.idle_minutes), spent)

    def leave_probability(
        self, world: "World", state: State, rows: Int[A, " rows"], response: Response
    ) -> Float64[A, " rows"] | None:
        return (state["time_left"][rows] <= 0).astype(np.float64)

    def gap_days(self, world: "World", state: State, rows: Int[A, " rows"], draws: Draws) -> Int[A, " rows"] | None:
        return np.where(state["time_left"][rows] <= 0, -1, 1)
