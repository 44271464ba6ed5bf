"""Policies made of policies: they learn, save and load what they are made of."""

import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.base import read_arrays, write_arrays
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Agent, Policy, Scorer

A = np.ndarray

_INSIDE, _PART, _OWN = "inside", "part/", "own/"


@dataclass(eq=False)
class Wrapper(Agent):
    """Passes what an agent must do on to the policy inside; where that does not learn, nothing happens and no file
    is written."""

    policy: Policy

    @property
    def ranker(self) -> Scorer | None:
        return self.policy.ranker

    def learn(self, log: InteractionLog) -> None:
        if isinstance(self.policy, Agent):
            self.policy.learn(log)

    def save(self, path: Path | str) -> None:
        if isinstance(self.policy, Agent):
            self.policy.save(path)

    def load(self, path: Path | str) -> None:
        if isinstance(self.policy, Agent):
            self.policy.load(path)


@dataclass(eq=False)
class LearningWrapper(Wrapper):
    """Learns something of its own besides, after the policy inside; one file holds both."""

    @abstractmethod
    def learn_besides(self, log: InteractionLog) -> None:
        """Learn anew from this log, from which the policy inside has just learned."""

    @abstractmethod
    def own_state(self) -> dict[str, A]:
        """All that was learned besides, as named arrays."""

    @abstractmethod
    def restore_own(self, state: Mapping[str, A]) -> None:
        """Take over what `own_state` gave."""

    def learn(self, log: InteractionLog) -> None:
        super().learn(log)
        self.learn_besides(log)

    def save(self, path: Path | str) -> None:
        arrays = {_OWN + name: value for name, value in self.own_state().items()}
        inner = _file_of(self.policy) if isinstance(self.policy, Agent) else None
        write_arrays(path, arrays if inner is None else arrays | {_INSIDE: inner}, self.name)

    def load(self, path: Path | str) -> None:
        """Take over what `save` wrote.

        Raises:
            ValueError: if the file holds a policy of another name.
        """
        arrays, description = read_arrays(path)
        if description != self.name:
            raise ValueError(f"{path} must hold the policy {self.name}, got {description or 'no policy'}")
        if isinstance(self.policy, Agent) and _INSIDE in arrays:
            _load_file(self.policy, arrays[_INSIDE])
        self.restore_own({name.removeprefix(_OWN): value for name, value in arrays.items() if name.startswith(_OWN)})


class Combination(Agent):
    """Passes what an agent must do on to several policies; one that is several of its parts learns once.

    Parts that are not the same must not share an agent inside, which each of them would teach: whoever makes a
    combination calls `check_parts`. The file of a combination holds those of its parts, and what it has learned
    besides.
    """

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Policy]:
        """The policies inside by a name that is each one's own."""

    def check_parts(self) -> None:
        """Raise ValueError where an agent is inside two parts, and would learn twice from the same log."""
        taught: dict[int, Agent] = {}
        for part in self._learners().values():
            inside = _learning_inside(part)
            if twice := [one for one in inside if one in taught]:
                raise ValueError(
                    "parts must not share an agent, which would learn from each log twice, got "
                    f"{inside[twice[0]].name!r} inside both {taught[twice[0]].name!r} and {part.name!r}: give each a "
                    "copy of its own"
                )
            taught |= dict.fromkeys(inside, part)

    def own_state(self) -> dict[str, A]:
        """What was learned beside the parts, as named arrays."""
        return {}

    def restore_own(self, state: Mapping[str, A]) -> None:
        """Take over what `own_state` gave."""

    def learn(self, log: InteractionLog) -> None:
        for agent in self._learners().values():
            agent.learn(log)

    def save(self, path: Path | str) -> None:
        files = {_PART + name: _file_of(agent) for name, agent in self._learners().items()}
        own = {_OWN + name: array for name, array in self.own_state().items()}
        write_arrays(path, own | {name: file for name, file in files.items() if file is not None}, self.name)

    def load(self, path: Path | str) -> None:
        """Take over what `save` wrote.

        Raises:
            ValueError: if the file holds a policy of another name, or parts of other agents.
        """
        arrays, description = read_arrays(path)
        learners = self._learners()
        files, own = (
            {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}
            for kind in (_PART, _OWN)
        )
        if description != self.name or not set(files) <= set(learners) or set(own) != set(self.own_state()):
            raise ValueError(f"{path} must hold the policy {self.name}, got {description or 'no policy'}")
        for name, content in files.items():
            _load_file(learners[name], content)
        self.restore_own(own)

    def _learners(self) -> dict[str, Agent]:
        """The parts that learn, each under the first of its names."""
        found: dict[int, tuple[str, Agent]] = {}
        for name, part in self.parts.items():
            if isinstance(part, Agent):
                found.setdefault(id(part), (name, part))
        return dict(found.values())


def _learning_inside(policy: Policy) -> dict[int, Agent]:
    """All that learns in a policy, itself included, by identity."""
    if not isinstance(policy, Agent):
        return {}
    found: dict[int, Agent] = {}
    if isinstance(policy, LearningWrapper) or not isinstance(policy, Wrapper):
        found[id(policy)] = policy
    if isinstance(policy, Wrapper):
        found |= _learning_inside(policy.policy)
    elif isinstance(policy, Combination):
        for part in policy.parts.values():
            found |= _learning_inside(part)
    return found


def _file_of(agent: Agent) -> A | None:
    """The bytes that an agent saves; a wrapper around what does not learn saves none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part"
        agent.save(file)
        return np.fromfile(file, np.uint8) if file.exists() else None


def _load_file(agent: Agent, content: A) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part"
        content.tofile(file)
        agent.load(file)
