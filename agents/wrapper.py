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

_DESCRIPTION = "parts of a policy"


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

    def save(self, path: Path) -> None:
        if isinstance(self.policy, Agent):
            self.policy.save(path)

    def load(self, path: Path) -> None:
        if isinstance(self.policy, Agent):
            self.policy.load(path)


class Combination(Agent):
    """Passes what an agent must do on to several policies; one that stands in several places learns once.

    The file of a combination holds those of its parts.
    """

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Policy]:
        """The policies inside by a name that is each one's own."""

    def learn(self, log: InteractionLog) -> None:
        for agent in self._learners().values():
            agent.learn(log)

    def save(self, path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            files = {}
            for name, agent in self._learners().items():
                file = Path(folder) / "part"
                agent.save(file)
                if file.exists():  # a wrapper around what does not learn writes none
                    files[name] = np.fromfile(file, np.uint8)
                    file.unlink()
        write_arrays(path, files, _DESCRIPTION)

    def load(self, path: Path) -> None:
        """Take over what `save` wrote.

        Raises:
            ValueError: if the file holds no such parts, or parts of other agents.
        """
        files, description = read_arrays(path)
        learners = self._learners()
        if description != _DESCRIPTION or not set(files) <= set(learners):
            raise ValueError(f"{path} must hold the parts {sorted(learners)}, got {sorted(files) or description}")
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                file = Path(folder) / name.replace("/", "_")
                content.tofile(file)
                learners[name].load(file)

    def _learners(self) -> dict[str, Agent]:
        """The parts that learn, each under the first of its names."""
        found: dict[int, tuple[str, Agent]] = {}
        for name, part in self.parts.items():
            if isinstance(part, Agent):
                found.setdefault(id(part), (name, part))
        return dict(found.values())
