"""What users consume adds up to an exposure that fades, and how satisfied they are follows from it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int
from scipy.special import expit

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class LongTermSatisfaction(Dynamics):
    """Satisfaction is sigmoid(sensitivity e); after each slate e becomes memory_discount e + v + N(0, innovation^2).

    e is the net positive exposure, v the summed value of the slate's clicks. Ie et al. 2019 (RecSim, long-term
    satisfaction), where an item of clickbait c has the value -2 (c - 1/2). At the start e is uniform within
    1 / (2 (1 - memory_discount)) of zero: half as far as the values -1 and 1 would lead in the end.
    """

    sensitivity: float = 0.01
    memory_discount: float = 0.7
    innovation: float = 0.05

    def __post_init__(self) -> None:
        for name in ("sensitivity", "innovation"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {getattr(self, name)}")
        if not 0 <= self.memory_discount < 1:
            raise ValueError(f"memory_discount must be in [0, 1), got {self.memory_discount}")

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        luck = draws.uniform(Purpose.EXPOSURE_START)[:, 0]
        exposure = (luck - np.float32(0.5)) / np.float32(1 - self.memory_discount)
        return {"net_exposure": exposure, "satisfaction": self._satisfaction(exposure)}

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        consumed = np.bincount(response.clicked_row, response.value, len(rows)).astype(np.float32)
        noise = np.float32(self.innovation) * draws.normal(Purpose.EXPOSURE_CHANGE)[:, 0]
        exposure = np.float32(self.memory_discount) * state["net_exposure"][rows] + consumed + noise
        state["net_exposure"][rows] = exposure
        state["satisfaction"][rows] = self._satisfaction(exposure)

    def _satisfaction(self, exposure: Float32[A, " rows"]) -> Float32[A, " rows"]:
        return expit(np.float32(self.sensitivity) * exposure)
