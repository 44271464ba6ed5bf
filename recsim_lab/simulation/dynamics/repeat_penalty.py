"""Users like a topic less while it fills what they consumed last."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.dynamics.recent_topics import clicked_topics, newest, topic_counts
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class RepeatPenalty(Dynamics):
    """Utility falls by `penalty` where more than `threshold` of the last `memory` clicks were on the item's topic.

    Boredom of RecLab (Krauth et al. 2020, topics-dynamic), where every item shown is rated, so clicked. Time does
    not heal it, other topics do.
    """

    memory: int = 5
    threshold: int = 2
    penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1, got {self.memory}")
        if self.threshold < 0:
            raise ValueError(f"threshold must be at least 0, got {self.threshold}")

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        return {"recent_topics": np.full((len(profile), self.memory), -1, np.int32)}

    def utility(
        self, world: "World", state: State, rows: Int[A, " rows"], items: Int[A, "rows slots"]
    ) -> Float32[A, "rows slots"] | None:
        bored = topic_counts(state["recent_topics"][rows], world.catalogue.num_topics) > self.threshold
        harm = np.where(bored, np.float32(-self.penalty), np.float32(0))
        return np.take_along_axis(harm, world.catalogue.topic[items], axis=1)

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        fresh = clicked_topics(response, world.catalogue.topic)
        topics = np.concatenate([state["recent_topics"][rows], fresh], axis=1)
        state["recent_topics"][rows] = np.take_along_axis(topics, newest(topics >= 0, self.memory), axis=1)
