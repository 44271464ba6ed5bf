"""A small everyday world, policies made for the purpose, and the comparison of logs, for the tests of the platform."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from recsim_lab.interaction_log import REQUEST_COLUMNS, SLOT_COLUMNS, InteractionLog
from recsim_lab.platform import Platform
from recsim_lab.policy import Agent, Observation, Policy, Probabilities, Recommendation, deterministic, top_items
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws

A = np.ndarray


@pytest.fixture(scope="session")
def world() -> World:
    everyday = make_world("everyday", num_users=60, num_items=80, num_slots=5, new_items_a_day=2, days=20)
    return replace(everyday, session_steps=5)


@dataclass(eq=False)
class Scripted(Policy):
    """Answers with whatever a function makes of the requests."""

    answer: Callable[[Observation, int], A]
    num_requests: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "scripted"

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        self.num_requests.append(len(observation))
        return deterministic(self.answer(observation, num_slots), self.name)

    def probabilities(self, observation: Observation, slates: A) -> Probabilities:
        raise NotImplementedError


@pytest.fixture
def scripted() -> Callable[..., Scripted]:
    return Scripted


@dataclass(eq=False)
class Diary(Agent):
    """Writes down each log it learns from; its name, the source of its slots, counts them."""

    lessons: list[InteractionLog] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"lessons-{len(self.lessons)}"

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        scores = draws.uniform(0, observation.features.num_items)
        return deterministic(top_items(scores, observation.eligible(), num_slots), self.name)

    def probabilities(self, observation: Observation, slates: A) -> Probabilities:
        raise NotImplementedError

    def learn(self, log: InteractionLog) -> None:
        self.lessons.append(log)

    def save(self, path: Path) -> None:
        path.write_text(str(len(self.lessons)))

    def load(self, path: Path) -> None:
        self.lessons = [None] * int(path.read_text())  # type: ignore[list-item]


@pytest.fixture
def diary() -> Callable[[], Diary]:
    return Diary


@pytest.fixture(scope="session")
def assert_same_log() -> Callable[[InteractionLog, InteractionLog], None]:
    def check(first: InteractionLog, second: InteractionLog) -> None:
        assert len(first) == len(second)
        for name in (*REQUEST_COLUMNS, *SLOT_COLUMNS):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
        assert first.sources == second.sources

    return check


@pytest.fixture(scope="session")
def assert_same_state() -> Callable[[Platform, Platform], None]:
    """All that a platform is, apart from its policies."""

    def check(first: Platform, second: Platform) -> None:
        mine, theirs = first.service, second.service
        assert set(mine.sessions.state) == set(theirs.sessions.state)
        for name, values in mine.sessions.state.items():
            np.testing.assert_array_equal(values, theirs.sessions.state[name], err_msg=name)
            assert values.dtype == theirs.sessions.state[name].dtype
        np.testing.assert_array_equal(mine.due, theirs.due)
        assert mine.day == theirs.day

    return check
