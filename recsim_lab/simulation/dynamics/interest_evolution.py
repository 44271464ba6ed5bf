"""Each consumed item makes a user's interests either a little more or a little less like it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class InterestEvolution(Dynamics):
    """A click on item f moves interests u in [-1, 1] by +D or -D, where D = rate (1 - |u|) f (f - u), elementwise.

    Ie et al. 2019 (RecSim, interest evolution): upward with probability sum_j f_j (u_j + 1) / 2, so that strong
    interests and strong dislikes entrench themselves. Interests are cut to [-1, 1].
    """

    rate: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate must be in [0, 1], got {self.rate}")

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        interests = world.population.latent[profile].copy()
        if np.abs(interests).max(initial=0) > 1:
            raise ValueError(f"interests must be in [-1, 1], got {interests.min()} to {interests.max()}")
        return {"preference": interests}

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        luck = draws.uniform(Purpose.INTEREST_DIRECTION, response.slate.shape[1])
        for slot in range(response.slate.shape[1]):  # several clicks of a slate count in the order of their slots
            clicked = np.flatnonzero(response.clicks[:, slot])
            features = world.catalogue.latent[response.slate[clicked, slot]]
            interests = state["preference"][rows[clicked]]
            state["preference"][rows[clicked]] = self._moved(interests, features, luck[clicked, slot])

    def _moved(
        self, interests: Float32[A, "rows dims"], features: Float32[A, "rows dims"], luck: Float32[A, " rows"]
    ) -> Float32[A, "rows dims"]:
        move = np.float32(self.rate) * (1 - np.abs(interests)) * features * (features - interests)
        upward = luck < (features * (interests + 1)).sum(axis=1) / 2
        return np.clip(np.where(upward[:, None], interests + move, interests - move), -1, 1)
