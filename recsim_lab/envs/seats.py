"""Fixed seats, each lived through by one user after another: what both environments put Gymnasium's coat on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from recsim_lab.policy import NEVER, REQUEST_FIELDS
from recsim_lab.simulation.dynamics import Response, State
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.sessions import draw_profiles, seat_sessions
from recsim_lab.simulation.utility import NUM_DEVICES
from recsim_lab.simulation.world import World

A = np.ndarray

MAX_TICK = 2**31 - 1
"""Upper bound of ticks in the observation space: four thousand years."""

REWARDS: dict[str, Callable[[State, A, Response], A]] = {
    "world": lambda state, rows, response: response.reward,
    "clicks": lambda state, rows, response: response.clicks.sum(axis=1),
    "dwell": lambda state, rows, response: response.dwell.sum(axis=1),
    "satisfaction": lambda state, rows, response: state["satisfaction"][rows],
}
"""What a step pays: the world's own reward (clicks, or the rating), clicks, minutes of dwell, or the user's
satisfaction after the slate (hidden from policies, as a well-run survey would reveal it)."""


@dataclass
class Outcome:
    """One step of some seats."""

    reward: Float[A, " rows"]
    terminated: Bool[A, " rows"]
    truncated: Bool[A, " rows"]
    response: Response


class Seats:
    """The sessions of an environment's seats. Seat i under seed s is the only seat under seed s + i.

    Args:
        world: a `World`, or the name of a preset.
        num_slots: length of the slates; None: the world's own.
        max_steps: slates of a user's life after which the episode is truncated.
        reward: a key of `REWARDS`.
        history: width of the observed click history.
        parameters: of the preset, if `world` is a name.
    """

    def __init__(
        self,
        world: World | str,
        num_slots: int | None,
        max_steps: int,
        reward: str,
        history: int,
        parameters: dict[str, Any],
    ) -> None:
        if reward not in REWARDS:
            raise ValueError(f"reward must be one of {', '.join(REWARDS)}, got {reward!r}")
        if max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {max_steps}")
        self.world = cached_world(world, tuple(sorted(parameters.items()))) if isinstance(world, str) else world
        self.num_slots = self.world.num_slots if num_slots is None else num_slots
        self.max_steps = max_steps
        self.history = history
        self.pay = REWARDS[reward]
        # Made once here so that a wrong parameter shows at construction.
        self.sit(np.zeros(1, np.uint64))
        if reward == "satisfaction" and "satisfaction" not in self.sessions.state:
            raise ValueError(f"reward 'satisfaction' needs a world with satisfaction, got {self.world.name!r}")

    def sit(self, seed: UInt64[A, " rows"]) -> None:
        """A fresh user, of life 0, on a seat for each seed."""
        self.sessions = seat_sessions(self.world, seed, self.num_slots, self.history)
        self.rows = np.arange(len(seed))
        self.steps = np.zeros(len(seed), np.int64)
        self.sessions.open(self.rows, self.sessions.first_visit(self.rows))

    def next_life(self, rows: Int[A, " rows"], seed: UInt64[A, " rows"] | None = None) -> None:
        """The next user on these seats; given a seed for each, the user of life 0 under it."""
        state = self.sessions.state
        user = state["user"][rows] + 1
        if seed is not None:
            state["seed"][rows], user = seed, np.zeros_like(user)
        self.sessions.reseat(rows, user, draw_profiles(self.world, state["seed"][rows], user))
        self.steps[rows] = 0
        self.sessions.open(rows, self.sessions.first_visit(rows))

    def step(self, rows: Int[A, " rows"], slate: Int[A, "rows slots"]) -> Outcome:
        """Show the slates; users who leave a session move on to their next visit."""
        response = self.sessions.answer(rows, slate)
        reward = self.pay(self.sessions.state, rows, response).astype(np.float64)
        terminated = np.zeros(len(rows), bool)
        leaving = response.left.nonzero()[0]
        if len(leaving):
            due = self.sessions.close(rows[leaving])
            gone = due == NEVER
            terminated[leaving] = gone
            self.sessions.open(rows[leaving[~gone]], due[~gone])
        steps = self.steps[rows] + 1
        self.steps[rows] = steps
        return Outcome(reward, terminated, steps >= self.max_steps, response)

    def observe(self, rows: Int[A, " rows"]) -> dict[str, A]:
        """The observation's fields, one row a seat; a number is an array of width 1."""
        fields = self.sessions.visible(rows)
        return fields | {name: fields[name][:, None] for name in REQUEST_FIELDS}

    def state(self) -> dict[str, A]:
        """All that changes, as copies."""
        sessions = {f"sessions/{name}": values.copy() for name, values in self.sessions.state.items()}
        return sessions | {"steps": self.steps.copy()}

    def restore(self, state: Mapping[str, A]) -> None:
        """Take over a `state` of as many seats in the same world."""
        self.sessions.state = {name: state[f"sessions/{name}"].copy() for name in self.sessions.state}
        self.steps = state["steps"].copy()

    def observation_space(self) -> gymnasium.Space:
        """Of one seat: finite integer boxes that never change.

        Numbers are boxes of shape (1,), because Stable-Baselines3 flattens every field to a row of features and
        cannot flatten a scalar.
        """
        most, num_items = 2**31 - 1, self.world.catalogue.num_items

        def box(high: int, low: int = 0, width: int = 1, dtype: Any = np.int32) -> gymnasium.spaces.Box:
            return gymnasium.spaces.Box(low, high, (width,), dtype)

        return gymnasium.spaces.Dict(
            {
                "user": box(self.world.population.num_users - 1),
                "session": box(most),
                "step": box(most),
                "tick": box(MAX_TICK, dtype=np.int64),
                "device": box(NUM_DEVICES - 1, dtype=np.int8),
                "clicked": box(num_items - 1, -1, self.history),
                "clicked_tick": box(MAX_TICK, -1, self.history),
                "shown": box(num_items - 1, -1, self.sessions.shown_width),
            }
        )

    def action_space(self) -> gymnasium.spaces.MultiDiscrete:
        """Of one seat: an item for each slot."""
        return gymnasium.spaces.MultiDiscrete([self.world.catalogue.num_items] * self.num_slots)


def as_slates(actions: Any, shape: tuple[int, ...]) -> A:
    """The actions as an array of items.

    Raises:
        ValueError: if they are not integers in an array of this shape.
    """
    slates = np.asarray(actions)
    if slates.shape != shape:
        raise ValueError(f"actions must have shape {shape}, got {slates.shape}")
    if slates.dtype.kind not in "iu":
        raise ValueError(f"actions must be integers, got {slates.dtype}")
    return slates


def event_info(response: Response) -> dict[str, A]:
    """What happened, for `info`: one row a seat."""
    return {
        "clicks": response.clicks,
        "dwell": response.dwell,
        "likes": response.likes,
        "left": response.left,
        "num_void": response.num_void,
    }


@lru_cache(maxsize=8)
def cached_world(name: str, parameters: tuple[tuple[str, Any], ...]) -> World:
    """Worlds never change, so environments of the same preset share one."""
    return make_world(name, **dict(parameters))
