"""Too many clicks on one topic in a short time, and the user turns away from everything for a while."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.dynamics.recent_topics import clicked_topics, newest, topic_counts
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class BoredomTimeout(Dynamics):
    """`threshold` remembered clicks on a topic make it boring for `timeout` slates, during which preferences are zero.

    Remembered are the clicks of the last `memory_steps` slates, at most `most_remembered` of them. Deffayet et al.
    2024 (SARDINE), with the whole preference silenced by any boring topic, as in all of its presets. A new day
    finds nothing remembered and nothing boring.
    """

    threshold: int = 5
    timeout: int = 5
    memory_steps: int = 5
    most_remembered: int = 10

    def __post_init__(self) -> None:
        for name in ("threshold", "timeout", "memory_steps", "most_remembered"):
            if not 1 <= getattr(self, name) < 2**15:
                raise ValueError(f"{name} must be in [1, {2**15 - 1}], got {getattr(self, name)}")

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        num_rows = len(profile)
        return {
            "preference": world.population.latent[profile].copy(),
            "remembered_topics": np.full((num_rows, self.most_remembered), -1, np.int32),
            "remembered_age": np.zeros((num_rows, self.most_remembered), np.int16),
            "boring_slates": np.zeros((num_rows, world.catalogue.num_topics), np.int16),
        }

    def arrive(self, world: "World", state: State, rows: Int[A, " rows"], days: Int[A, " rows"], draws: Draws) -> None:
        rested = rows[days > 0]
        for name, values in self.initial(world, state["profile"][rested], draws).items():
            state[name][rested] = values

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        topics = self._remember(state, rows, clicked_topics(response, world.catalogue.topic))
        boring = np.maximum(state["boring_slates"][rows] - 1, 0)
        too_many = topic_counts(topics, world.catalogue.num_topics) >= self.threshold
        boring = np.where((boring == 0) & too_many, self.timeout, boring).astype(np.int16)
        state["boring_slates"][rows] = boring
        liked = world.population.latent[state["profile"][rows]]
        state["preference"][rows] = np.where(boring.any(axis=1, keepdims=True), np.float32(0), liked)

    def _remember(self, state: State, rows: Int[A, " rows"], fresh: Int[A, "rows slots"]) -> Int[A, "rows places"]:
        """Age the memory by one slate, add what was clicked on this one, and return the topics kept."""
        topics = np.concatenate([state["remembered_topics"][rows], fresh], axis=1)
        age = np.concatenate([state["remembered_age"][rows], np.zeros(fresh.shape, np.int16)], axis=1) + np.int16(1)
        kept = (topics >= 0) & (age <= self.memory_steps)
        order = newest(kept, self.most_remembered)
        kept = np.take_along_axis(kept, order, axis=1)
        topics = np.where(kept, np.take_along_axis(topics, order, axis=1), -1)
        state["remembered_topics"][rows] = topics
        state["remembered_age"][rows] = np.where(kept, np.take_along_axis(age, order, axis=1), 0)
        return topics
