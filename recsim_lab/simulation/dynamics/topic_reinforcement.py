"""Consuming a topic raises the preference for it at the expense of all others."""

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
class TopicReinforcement(Dynamics):
    """A click on topic t adds `change` to preference t and takes change / (K - 1) from each of the K - 1 others.

    Krauth et al. 2020 (RecLab, topics-dynamic). Nothing moves once preference t exceeds `ceiling`. The others fall
    without end, as published; `floor` stops them. Preferences are one a topic, in the items' topic codes.
    """

    change: float = 0.1
    ceiling: float = 5.0
    floor: float = -np.inf

    def __post_init__(self) -> None:
        if not 0 <= self.change < np.inf:
            raise ValueError(f"change must be at least 0 and finite, got {self.change}")
        if not self.floor <= self.ceiling:
            raise ValueError(f"floor must be at most ceiling {self.ceiling}, got {self.floor}")

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        preference = world.population.latent[profile].copy()
        if preference.shape[1] != world.catalogue.num_topics:
            raise ValueError(
                f"preferences must have one entry for each of {world.catalogue.num_topics} topics, "
                f"got {preference.shape[1]}"
            )
        return {"preference": preference}

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        for slot in range(response.slate.shape[1]):  # several clicks of a slate count in the order of their slots
            clicked = np.flatnonzero(response.clicks[:, slot])
            topic = world.catalogue.topic[response.slate[clicked, slot]]
            moving = state["preference"][rows[clicked], topic] <= self.ceiling
            self._reinforce(state["preference"], rows[clicked[moving]], topic[moving])

    def _reinforce(self, preference: A, rows: Int[A, " rows"], topic: Int[A, " rows"]) -> None:
        num_others = max(preference.shape[1] - 1, 1)
        raised = preference[rows, topic] + np.float32(self.change)
        lowered = preference[rows] - np.float32(self.change / num_others)
        # The floor holds what falls; a preference that starts below it is not lifted.
        preference[rows] = np.maximum(lowered, np.minimum(preference[rows], np.float32(self.floor)))
        preference[rows, topic] = raised
