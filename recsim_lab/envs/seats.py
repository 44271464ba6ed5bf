"""Fixed seats, each lived through by one user after another: what both environments put Gymnasium's coat on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Bool, Float, Int, UInt64

from recsim_lab.policy import NEVER, REQUEST_FIELDS, TICKS_PER_DAY
from recsim_lab.simulation.dynamics import Response, State
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.sessions import Sessions, draw_profiles, population_sessions, seat_sessions
from recsim_lab.simulation.utility import NUM_DEVICES
from recsim_lab.simulation.world import World

A = np.ndarray

MAX_TICK = 2**31 - 1
"""Upper bound of ticks in the observation space: four thousand years."""

RETURN_DAYS = 7
"""Who is back within so many days has returned."""
TOLD = frozenset(("seed", "user", "session", "step", "clicked", "clicked_tick", "shown", "profile", "tick", "device"))
"""The arrays of a session that are public or mere counters; all others are the hidden truth."""

REWARDS: dict[str, Callable[[State, A, Response, A], A]] = {
    "world": lambda state, rows, response, away: response.reward,
    "clicks": lambda state, rows, response, away: response.clicks.sum(axis=1),
    "dwell": lambda state, rows, response, away: response.dwell.sum(axis=1),
    "satisfaction": lambda state, rows, response, away: state["satisfaction"][rows],
    "return": lambda state, rows, response, away: away <= RETURN_DAYS * TICKS_PER_DAY,
}
"""What a step pays: the world's own reward (clicks, or the rating), clicks, minutes of dwell, the user's satisfaction
after the slate (hidden from policies, as a well-run survey would reveal it), or, at the slate that ends a visit, 1 if
the user is back within seven days. `away` is the ticks from this visit to the next, very many while it goes on."""


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
        recent_slates: how many of the user's last slates are observed, with what was clicked in them.
        hidden: names of the arrays of the user's hidden state that are observed too, or "all" of them.
        parameters: of the preset, if `world` is a name.
    """

    def __init__(
        self,
        world: World | str,
        num_slots: int | None,
        max_steps: int,
        reward: str,
        history: int,
        recent_slates: int,
        hidden: Sequence[str],
        parameters: dict[str, Any],
    ) -> None:
        if reward not in REWARDS:
            raise ValueError(f"reward must be one of {', '.join(REWARDS)}, got {reward!r}")
        if max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {max_steps}")
        if recent_slates < 0:
            raise ValueError(f"recent_slates must be at least 0, got {recent_slates}")
        self.world = cached_world(world, tuple(sorted(parameters.items()))) if isinstance(world, str) else world
        self.num_slots = self.world.num_slots if num_slots is None else num_slots
        self.max_steps = max_steps
        self.history = history
        self.recent_slates = recent_slates
        self.pay = REWARDS[reward]
        # Made once here so that a wrong parameter shows at construction.
        self.sit(np.zeros(1, np.uint64))
        if reward == "satisfaction" and "satisfaction" not in self.sessions.state:
            raise ValueError(f"reward 'satisfaction' needs a world with satisfaction, got {self.world.name!r}")
        there = tuple(name for name in self.sessions.state if name not in TOLD)
        self.hidden = there if hidden == "all" else tuple(hidden)
        if unknown := sorted(set(self.hidden) - set(there)):
            raise ValueError(f"hidden must be among {', '.join(there)} of world {self.world.name!r}, got {unknown}")

    def sit(self, seed: UInt64[A, " rows"]) -> None:
        """A fresh user, of life 0, on a seat for each seed."""
        self._seat(seat_sessions(self.world, seed, self.num_slots, self.history))

    def sit_all(self, seed: int) -> None:
        """Every user of the population on a seat, once; seat, user and profile are the same number."""
        self._seat(population_sessions(self.world, seed, self.num_slots, self.history))

    def _seat(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.rows = np.arange(len(sessions))
        self.steps = np.zeros(len(sessions), np.int64)
        shape = (len(sessions), self.recent_slates, self.num_slots)
        self.recent: State = {
            "recent_slates": np.full(shape, -1, np.int32),
            "recent_clicks": np.full(shape, -1, np.int8),
        }
        self.sessions.open(self.rows, self.sessions.first_visit(self.rows))

    def next_life(self, rows: Int[A, " rows"], seed: UInt64[A, " rows"] | None = None) -> None:
        """The next user on these seats; given a seed for each, the user of life 0 under it."""
        state = self.sessions.state
        user = state["user"][rows] + 1
        if seed is not None:
            state["seed"][rows], user = seed, np.zeros_like(user)
        self.sessions.reseat(rows, user, draw_profiles(self.world, state["seed"][rows], user))
        self.steps[rows] = 0
        for past in self.recent.values():
            past[rows] = -1
        self.sessions.open(rows, self.sessions.first_visit(rows))

    def step(self, rows: Int[A, " rows"], slate: Int[A, "rows slots"]) -> Outcome:
        """Show the slates; users who leave a session move on to their next visit."""
        state = self.sessions.state
        response = self.sessions.answer(rows, slate)
        due = np.full(len(rows), NEVER)
        leaving = response.left.nonzero()[0]
        if len(leaving):
            due[leaving] = self.sessions.close(rows[leaving])
        reward = self.pay(state, rows, response, due - state["tick"][rows]).astype(np.float64)
        terminated = response.left & (due == NEVER)
        coming = (due < NEVER).nonzero()[0]
        if len(coming):
            self.sessions.open(rows[coming], due[coming])
        if self.recent_slates:
            for past, now in zip(self.recent.values(), (slate, response.clicks), strict=True):
                past[rows] = np.concatenate([past[rows, 1:], now[:, None]], axis=1)
        steps = self.steps[rows] + 1
        self.steps[rows] = steps
        return Outcome(reward, terminated, steps >= self.max_steps, response)

    def observe(self, rows: Int[A, " rows"]) -> dict[str, A]:
        """The observation's fields, one row a seat; a number is an array of width 1."""
        fields = self.sessions.visible(rows)
        fields |= {name: fields[name][:, None] for name in REQUEST_FIELDS}
        if self.recent_slates:
            fields |= {name: past[rows] for name, past in self.recent.items()}
        for name in self.hidden:
            values = self.sessions.state[name].take(rows, axis=0)
            fields[f"hidden_{name}"] = values[:, None] if values.ndim == 1 else values
        return fields

    def state(self) -> dict[str, A]:
        """All that changes, as copies."""
        sessions = {f"sessions/{name}": values for name, values in self.sessions.state.items()}
        every = sessions | self.recent | {"steps": self.steps}
        return {name: values.copy() for name, values in every.items()}

    def restore(self, state: Mapping[str, A]) -> None:
        """Take over a `state` of as many seats in the same world."""
        self.sessions.state = {name: state[f"sessions/{name}"].copy() for name in self.sessions.state}
        self.recent = {name: state[name].copy() for name in self.recent}
        self.steps = state["steps"].copy()

    def observation_space(self) -> gymnasium.Space:
        """Of one seat: boxes that never change, finite but for hidden numbers."""
        fields = request_spaces(
            self.world.population.num_users, self.world.catalogue.num_items, self.history, self.sessions.shown_width
        )
        if self.recent_slates:
            shape = self.recent["recent_slates"].shape[1:]
            fields["recent_slates"] = Box(-1, self.world.catalogue.num_items - 1, shape, np.int32)
            fields["recent_clicks"] = Box(-1, 1, shape, np.int8)
        for name in self.hidden:
            values = self.sessions.state[name]
            low, high = (-np.inf, np.inf)
            if values.dtype.kind in "iu":
                low, high = np.iinfo(values.dtype).min, np.iinfo(values.dtype).max
            elif values.dtype.kind == "b":
                low, high = 0, 1
            fields[f"hidden_{name}"] = Box(low, high, values.shape[1:] or (1,), values.dtype.type)
        return gymnasium.spaces.Dict(fields)

    def action_space(self) -> gymnasium.spaces.MultiDiscrete:
        """Of one seat: an item for each slot."""
        return gymnasium.spaces.MultiDiscrete([self.world.catalogue.num_items] * self.num_slots)


def request_spaces(num_users: int, num_items: int, history: int, shown: int) -> dict[str, gymnasium.Space]:
    """The spaces of the fields of one request.

    Numbers are boxes of shape (1,), because Stable-Baselines3 flattens every field to a row of features and cannot
    flatten a scalar.
    """
    most = 2**31 - 1
    return {
        "user": Box(0, num_users - 1, (1,), np.int32),
        "session": Box(0, most, (1,), np.int32),
        "step": Box(0, most, (1,), np.int32),
        "tick": Box(0, MAX_TICK, (1,), np.int64),
        "device": Box(0, NUM_DEVICES - 1, (1,), np.int8),
        "clicked": Box(-1, num_items - 1, (history,), np.int32),
        "clicked_tick": Box(-1, MAX_TICK, (history,), np.int32),
        "shown": Box(-1, num_items - 1, (shown,), np.int32),
    }


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
