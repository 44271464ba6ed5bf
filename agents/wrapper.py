"""A policy made of a policy: it learns, saves and loads what it wraps."""

from dataclasses import dataclass
from pathlib import Path

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Agent, Policy, Scorer


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
