"""Worlds to act in: one whose truth is known in closed form, and a small one with all that the lab's worlds have."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.policy import NEVER, TICKS_PER_DAY, FeatureTable
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class Answer:
    """What users do with slates: clicks, reward, the mood they are in next, and who leaves for good."""

    clicks: A
    reward: A
    mood: A
    ended: A


Law = Callable[[A, A, np.random.Generator], Answer]
"""What follows from moods, slates and luck."""


class Toy(VectorEnv):
    """Users in a mood, 0 or 1, which the hour of their visit tells: midnight or noon. A visit is a slate, one a day."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, num_seats: int, num_items: int, num_slots: int, law: Law) -> None:
        self.num_envs, self.law = num_seats, law
        never = np.full(num_items, NEVER)
        self.features = FeatureTable((), (), {}, {}, np.zeros_like(never), never)
        self.single_action_space = MultiDiscrete([num_items] * num_slots)
        shapes = {**dict.fromkeys(("user", "session", "step", "tick", "device"), 1), "clicked": 2, "clicked_tick": 2}
        shapes["shown"] = num_slots
        self.single_observation_space = Dict({n: Box(-1, 2**31 - 1, (w,), np.int32) for n, w in shapes.items()})
        self.observation_space = batch_space(self.single_observation_space, num_seats)
        self.action_space = batch_space(self.single_action_space, num_seats)
        self.visit, self.mood = np.zeros(num_seats, np.int32), np.zeros(num_seats, np.int32)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[dict[str, A], dict[str, Any]]:
        if seed is not None:
            self.luck = np.random.default_rng(seed)
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        self.visit[mask] = self.mood[mask] = 0
        return self._fields(), {}

    def step(self, actions: A) -> tuple[dict[str, A], A, A, A, dict[str, Any]]:
        answer = self.law(self.mood, actions, self.luck)
        self.visit, self.mood = self.visit + 1, answer.mood.astype(np.int32)
        cut = np.zeros(self.num_envs, bool)
        return self._fields(), answer.reward.astype(float), answer.ended, cut, {"clicks": answer.clicks}

    def _fields(self) -> dict[str, A]:
        shapes = {name: space.shape for name, space in self.observation_space.items()}
        fields = {name: np.full(shape, -1, np.int32) for name, shape in shapes.items()}
        zeros = np.zeros((self.num_envs, 1), np.int32)
        tick = TICKS_PER_DAY * self.visit + TICKS_PER_DAY // 2 * self.mood
        return (
            fields
            | {"user": zeros, "session": self.visit[:, None], "step": zeros, "device": zeros.astype(np.int8)}
            | {"tick": tick[:, None].astype(np.int64)}
        )


@pytest.fixture(scope="session")
def everyday() -> World:
    """Items come and go, users have features and long lives."""
    return make_world("everyday", num_users=40, num_items=50, num_slots=3, new_items_a_day=2, days=6)


@pytest.fixture
def seats(everyday: World) -> Callable[..., SlateVectorEnv]:
    """Seats of that world, as agents learn in."""

    def make(num_seats: int = 8, max_steps: int = 9, **told: Any) -> SlateVectorEnv:
        return SlateVectorEnv(num_seats, everyday, max_steps=max_steps, **{"autoreset_mode": "Disabled"} | told)

    return make
