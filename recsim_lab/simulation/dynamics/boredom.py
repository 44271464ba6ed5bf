"""Users tire of topics they consume, and recover while they do not."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.kernels import add_pairs, decay_and_count
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class TopicBoredom(Dynamics):
    """Utility falls by `weight` times the boredom with the topic: a count of clicks, decaying by slate and by day."""

    weight: float = 0.2
    slate_decay: float = 0.95
    day_decay: float = 0.85

    def __post_init__(self) -> None:
        for name in ("slate_decay", "day_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        return {"boredom": np.zeros((len(profile), world.catalogue.num_topics), np.float32)}

    def utility(
        self, world: "World", state: State, rows: Int[A, " rows"], items: Int[A, "rows slots"]
    ) -> Float32[A, "rows slots"] | None:
        out = np.zeros(items.shape, np.float32)
        add_pairs(items, rows, state["boredom"], world.catalogue.topic, np.float32(-self.weight), out)
        return out

    def arrive(self, world: "World", state: State, rows: Int[A, " rows"], days: Int[A, " rows"], draws: Draws) -> None:
        state["boredom"][rows] *= (np.float32(self.day_decay) ** days.astype(np.float32))[:, None]

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        decay_and_count(
            rows,
            response.clicks,
            response.slate,
            state["boredom"],
            world.catalogue.topic,
            np.float32(self.slate_decay),
        )
