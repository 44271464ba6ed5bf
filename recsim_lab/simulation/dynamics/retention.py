"""When users leave a session, when they come back, and when they never do."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int
from scipy.special import expit

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class Patience(Dynamics):
    """P(leave) = sigmoid(logit - satisfaction_weight S + idle_weight min(clickless run, longest_run) - patience)."""

    logit: float = -2.4
    satisfaction_weight: float = 0.4
    idle_weight: float = 0.25
    longest_run: int = 3

    @property
    def reads(self) -> tuple[str, ...]:
        return ("satisfaction",) if self.satisfaction_weight else ()

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        return {"clickless": np.zeros(len(profile), np.int32)}

    def arrive(self, world: "World", state: State, rows: Int[A, " rows"], days: Int[A, " rows"], draws: Draws) -> None:
        state["clickless"][rows] = 0

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        run = state["clickless"][rows] + 1
        run[response.clicked_row] = 0
        state["clickless"][rows] = run

    def leave_probability(
        self, world: "World", state: State, rows: Int[A, " rows"], response: Response
    ) -> Float64[A, " rows"] | None:
        run = np.minimum(state["clickless"][rows], self.longest_run)
        patience = world.population.patience[state["profile"][rows]]
        logit = self.logit + self.idle_weight * run - patience.astype(np.float64)
        if self.satisfaction_weight:
            logit = logit - self.satisfaction_weight * state["satisfaction"][rows]
        return expit(logit)


@dataclass(frozen=True)
class ReturnTime(Dynamics):
    """Daily hazard of return sigmoid(logit + satisfaction_weight S + activity); churn at a session's end
    with probability min(1, churn exp(-churn_weight S))."""

    logit: float = -0.5
    satisfaction_weight: float = 0.6
    churn: float = 0.01
    churn_weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.churn <= 1:
            raise ValueError(f"churn must be in [0, 1], got {self.churn}")

    @property
    def reads(self) -> tuple[str, ...]:
        return ("satisfaction",)

    def gap_days(self, world: "World", state: State, rows: Int[A, " rows"], draws: Draws) -> Int[A, " rows"] | None:
        satisfaction = state["satisfaction"][rows].astype(np.float64)
        activity = world.population.activity[state["profile"][rows]]
        hazard = expit(self.logit + self.satisfaction_weight * satisfaction + activity)
        luck = draws.uniform(Purpose.RETURN)[:, 0].astype(np.float64)
        # The geometric law by inversion: the first day on which a coin of this hazard comes up.
        gap = 1 + np.floor(np.log(luck) / np.log1p(-np.minimum(hazard, 1 - 1e-12)))
        gone = draws.uniform(Purpose.CHURN)[:, 0] < self.churn * np.exp(-self.churn_weight * satisfaction)
        return np.where(gone, -1, np.minimum(gap, 1_000)).astype(np.int64)
