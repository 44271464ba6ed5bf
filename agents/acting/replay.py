"""Agents that learn from a memory of slates, by a target network that follows the one that learns."""

import copy
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from agents.acting.base import ActingAgent
from agents.acting.diary import Diary
from agents.acting.experience import Experience, Memory, experience_of
from agents.acting.live_users import LiveUsers
from agents.training import seeded
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import FeatureTable

A = np.ndarray

_STEPS_TOLD_TOGETHER = 20
_TARGET = "target/"


@dataclass(eq=False)
class ReplayAgent(ActingAgent):
    """After each step it learns from `updates` batches of the last `memory` slates (Mnih et al. 2015); from a log, in
    `epochs` passes over its slates."""

    updates: int = 1
    batch_size: int = 512
    memory: int = 50_000
    epochs: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("updates", "batch_size", "memory", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @abstractmethod
    def act(self, users: LiveUsers, progress: float) -> Experience:
        """One slate for each user, when this share of the steps is done."""

    @abstractmethod
    def update(self, batch: Experience, target: Any, features: FeatureTable) -> dict[str, float]:
        """Learn from a batch, by what the target network says of what follows; returns losses. The networks have a
        buffer `unit`."""

    @abstractmethod
    def renew(self, target: nn.Module, num_updates: int) -> None:
        """Let the target network follow, after so many updates in all."""

    def train(self, env: Any, num_steps: int, diary: Diary | None = None) -> None:
        users, diary = LiveUsers(env), diary or Diary()
        first, own = self.resume(users, diary)
        memory, target = Memory(self.memory), self._target(own)
        memory.restore(own)
        told: list[dict[str, float]] = []
        for step in range(first, num_steps):
            with seeded(self.seed, step):
                new = self.act(users, step / num_steps)
                memory.add(new)
                figures = {"reward": float(new.reward.mean())}
                for number in range(self.updates):
                    rows = torch.randint(len(memory), (self.batch_size,)).numpy()
                    figures |= self.learn_from(memory.take(rows), target, users.features)
                    self.renew(target, step * self.updates + number + 1)
            told.append(figures)
            if (step + 1) % _STEPS_TOLD_TOGETHER == 0 or step + 1 == num_steps:
                means = {name: float(np.mean([one[name] for one in told])) for name in figures}
                self.keep(users, diary, step + 1, num_steps, means, lambda: memory.arrays() | _arrays(target))
                told = []

    def learn(self, log: InteractionLog) -> None:
        experience, _ = experience_of(log, self.newest)
        experience = experience.take(np.flatnonzero((experience.slate >= 0).any(axis=1)))
        if not len(experience):
            return
        self.begin(log.features, log.num_slots)
        target, num_updates = self._target({}), 0
        for epoch in range(self.epochs):
            with seeded(self.seed, len(log), epoch):
                for rows in torch.randperm(len(experience)).split(self.batch_size):
                    self.learn_from(experience.take(rows.numpy()), target, log.features)
                    num_updates += 1
                    self.renew(target, num_updates)

    def learn_from(self, batch: Experience, target: Any, features: FeatureTable) -> dict[str, float]:
        """`update`, before which the first batch tells what a life is worth, in which values count."""
        network: Any = self.network
        if not network.unit:
            network.unit += (float(np.sqrt(np.square(batch.reward).mean())) or 1.0) / (1 - self.discount)
            target.unit.copy_(network.unit)
        return self.update(batch, target, features)

    def _target(self, kept: Mapping[str, A]) -> nn.Module:
        """A copy of the network, or the one that was kept."""
        assert self.network is not None
        target = copy.deepcopy(self.network)
        weights = {name.removeprefix(_TARGET): value for name, value in kept.items() if name.startswith(_TARGET)}
        if weights:
            target.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
        return target


def _arrays(target: nn.Module) -> dict[str, A]:
    return {_TARGET + name: value.cpu().numpy().copy() for name, value in target.state_dict().items()}
