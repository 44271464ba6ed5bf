"""Worlds to act in: one whose truth is known in closed form, and a small one with all that the lab's worlds have."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.interaction_log import InteractionLog, concatenate, record
from recsim_lab.policy import NEVER, TICKS_PER_DAY, FeatureTable, Observation, Policy, deterministic
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World
from recsim_lab.streams import draws_of

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


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """With several, sums may be taken in another order from run to run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


def _even(mood: A, slates: A, luck: np.random.Generator) -> Answer:
    """Even items are clicked."""
    clicks = slates % 2 == 0
    return Answer(clicks, clicks.sum(axis=1), mood, np.zeros(len(mood), bool))


def _first_three(mood: A, slates: A, luck: np.random.Generator) -> Answer:
    """Three items are always clicked, others never."""
    clicks = slates < 3
    return Answer(clicks, clicks.sum(axis=1), mood, np.zeros(len(mood), bool))


def _choice(mood: A, slates: A, luck: np.random.Generator) -> Answer:
    """Of a slate one item is chosen or nothing: item 0 has attraction 2 and pays 1, item 1 has .5 and pays 3."""
    weight = np.concatenate([np.array([2.0, 0.5])[slates], np.ones((len(mood), 1))], axis=1).cumsum(axis=1)
    chosen = (luck.random((len(mood), 1)) * weight[:, -1:] > weight).sum(axis=1)
    clicks = np.arange(slates.shape[1]) == chosen[:, None]
    return Answer(clicks, (clicks * np.array([1.0, 3.0])[slates]).sum(axis=1), mood, np.zeros(len(mood), bool))


def _chain(mood: A, slates: A, luck: np.random.Generator) -> Answer:
    """Item 0 changes the mood and pays 0 or 4, item 1 keeps it and pays 1; both are always clicked.

    Discounted by a half, the values of moods 0 and 1 are 8/3 and 16/3.
    """
    first = slates[:, 0] == 0
    reward = np.where(first, 4.0 * mood, 1.0)
    return Answer(np.ones(slates.shape, bool), reward, np.where(first, 1 - mood, mood), np.zeros(len(mood), bool))


def _mortal(mood: A, slates: A, luck: np.random.Generator) -> Answer:
    """All is clicked and pays 1; a fifth of the users leave for good after each slate."""
    return Answer(np.ones(slates.shape, bool), np.ones(len(mood)), mood, luck.random(len(mood)) < 0.2)


LAWS: dict[str, Law] = {
    "even": _even,
    "first three": _first_three,
    "choice": _choice,
    "chain": _chain,
    "mortal": _mortal,
}


@pytest.fixture
def toy() -> Callable[..., Toy]:
    """A toy of so many seats, items and slots under one of the `LAWS`."""

    def make(num_seats: int, num_items: int, num_slots: int, law: str) -> Toy:
        return Toy(num_seats, num_items, num_slots, LAWS[law])

    return make


@pytest.fixture
def earns() -> Callable[[Policy, Toy], float]:
    """What slates of a policy earn on average, in 20 visits of each seat."""

    def play(policy: Policy, env: Toy) -> float:
        fields, _ = env.reset(seed=99)
        earned = []
        for visit in range(20):
            observation = Observation.of(fields, env.features)
            draws = draws_of(5, np.arange(env.num_envs), session=visit)
            slates = policy.recommend(observation, env.single_action_space.shape[0], draws).items
            fields, reward, *_ = env.step(slates)
            earned.append(reward.mean())
        return float(np.mean(earned))

    return play


@pytest.fixture
def played() -> Callable[[Toy, int, A], InteractionLog]:
    """The log of slates of one slot that were drawn with these chances, in so many visits; seats are users."""

    def play(env: Toy, num_visits: int, chances: A) -> InteractionLog:
        generator = np.random.default_rng(7)
        fields, _ = env.reset(seed=3)
        parts = []
        for _ in range(num_visits):
            slates = generator.choice(len(chances), (env.num_envs, 1), p=chances).astype(np.int32)
            observation = replace(Observation.of(fields, env.features), user=np.arange(env.num_envs, dtype=np.int32))
            chance = chances[slates].astype(np.float32)
            answer = replace(deterministic(slates, "chances"), propensity=chance, prefix_propensity=chance)
            fields, reward, _, _, info = env.step(slates)
            clicks = info["clicks"]
            outcome = {"clicks": clicks, "dwell": clicks.astype(np.float32), "likes": clicks}
            outcome |= {"reward": reward.astype(np.float32), "left": np.ones(env.num_envs, bool)}
            parts.append(record(observation, answer, outcome))
        return concatenate(parts)

    return play
