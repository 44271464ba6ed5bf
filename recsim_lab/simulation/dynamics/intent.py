"""A short-lived intent that moves with what was just consumed, and items that continue one another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.kernels import add_intent
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class SessionIntent(Dynamics):
    """Users want one topic now, and the next part of the series they are in.

    Adds `topic_weight` to items of the intended topic and `series_weight` to the item that continues the one
    consumed last. After a click the intent is the clicked topic with probability `stay_probability`, the next
    topic with `next_probability`, else drawn from the user's own taste; without a click it is redrawn with
    `redraw_probability`; at a new visit it is kept with `carry_probability`.
    """

    topic_weight: float = 2.0
    series_weight: float = 2.0
    stay_probability: float = 0.7
    next_probability: float = 0.2
    redraw_probability: float = 0.25
    carry_probability: float = 0.7

    def __post_init__(self) -> None:
        for name in ("stay_probability", "next_probability", "redraw_probability", "carry_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if self.stay_probability + self.next_probability > 1:
            raise ValueError(
                "stay_probability + next_probability must be at most 1, "
                f"got {self.stay_probability} + {self.next_probability}"
            )

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        own = _own_taste(world, profile, draws.uniform(Purpose.INTENT_START)[:, 0])
        return {"intent": own, "last_item": np.full(len(profile), -1, np.int32)}

    def utility(
        self, world: "World", state: State, rows: Int[A, " rows"], items: Int[A, "rows slots"]
    ) -> Float32[A, "rows slots"] | None:
        out = np.zeros(items.shape, np.float32)
        topic, continues = world.catalogue.topic, world.catalogue.continues
        weights = np.float32(self.topic_weight), np.float32(self.series_weight)
        add_intent(items, rows, state["intent"], state["last_item"], topic, continues, *weights, out)
        return out

    def arrive(self, world: "World", state: State, rows: Int[A, " rows"], days: Int[A, " rows"], draws: Draws) -> None:
        luck = draws.uniform(Purpose.INTENT_CARRY, 2)
        lost = (luck[:, 0] >= self.carry_probability) & (days > 0)
        self._redraw(world, state, rows[lost], luck[lost, 1])

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        luck = draws.uniform(Purpose.INTENT_MOVE, 2)
        moved = np.zeros(len(rows), bool)
        moved[response.clicked_row] = True
        redrawn = ~moved & (luck[:, 0] < self.redraw_probability)

        # Of several clicks the last one counts: later entries overwrite earlier ones.
        topic = state["intent"][rows]
        topic[response.clicked_row] = world.catalogue.topic[response.clicked_item]
        state["last_item"][rows[response.clicked_row]] = response.clicked_item
        to_next = moved & (luck[:, 0] >= self.stay_probability)
        topic[to_next] = (topic[to_next] + 1) % world.catalogue.num_topics
        state["intent"][rows] = topic
        redrawn |= moved & (luck[:, 0] >= self.stay_probability + self.next_probability)
        self._redraw(world, state, rows[redrawn], luck[redrawn, 1])

    def _redraw(self, world: "World", state: State, rows: Int[A, " rows"], luck: Float32[A, " rows"]) -> None:
        if len(rows):
            state["intent"][rows] = _own_taste(world, state["profile"][rows], luck)


def _own_taste(world: "World", profile: Int[A, " rows"], luck: Float32[A, " rows"]) -> Int[A, " rows"]:
    """A topic drawn from each user's own taste."""
    cumulative = world.cumulative_taste[profile]
    topic = (cumulative <= luck[:, None] * cumulative[:, -1:]).sum(axis=1)
    return np.minimum(topic, cumulative.shape[1] - 1).astype(np.int32)
