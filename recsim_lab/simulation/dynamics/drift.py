"""Preferences move toward what is consumed, and on their own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.kernels import pull
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class PreferenceDrift(Dynamics):
    """A click moves the preference by the share `rate` of the way to the item, keeping its length; each day adds noise.

    `daily` is the root mean square of a day's natural step relative to the length of the preference. A day's step
    is keyed by user and day, so it is the same whatever was shown; the steps of the days of absence are summed
    at the next arrival.
    """

    rate: float = 0.03
    daily: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate must be in [0, 1], got {self.rate}")
        if self.daily < 0:
            raise ValueError(f"daily must be at least 0, got {self.daily}")

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        return {
            "preference": world.population.latent[profile].copy(),
            "drift_day": np.zeros(len(profile), np.int32),
        }

    def arrive(self, world: "World", state: State, rows: Int[A, " rows"], days: Int[A, " rows"], draws: Draws) -> None:
        if self.daily == 0 or not len(rows):
            return
        today = (state["tick"][rows] // TICKS_PER_DAY).astype(np.int32)
        missed = today - state["drift_day"][rows]
        state["drift_day"][rows] = today
        late = np.flatnonzero(missed > 0)
        if not len(late):
            return
        missed = missed[late]
        start = np.cumsum(missed) - missed
        which = np.repeat(late, missed)
        day = np.arange(len(which)) - np.repeat(start, missed) + np.repeat(today[late] - missed + 1, missed)
        preference = state["preference"][rows[late]]
        length = np.sqrt(np.square(preference).sum(axis=1, keepdims=True))
        num_dims = preference.shape[1]
        steps = draws.take(which).on_day(day.astype(np.int32)).normal(Purpose.NATURAL_DRIFT, num_dims)
        total = np.add.reduceat(steps, start, axis=0)
        moved = preference + total * (length * np.float32(self.daily / np.sqrt(num_dims)))
        now = np.sqrt(np.square(moved).sum(axis=1, keepdims=True))
        state["preference"][rows[late]] = moved * (length / np.where(now > 0, now, np.float32(1)))

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        pull(
            rows,
            response.clicks,
            response.slate,
            state["preference"],
            world.catalogue.latent,
            np.float32(self.rate),
        )
