"""Which part of a log to learn from, and which requests to be tested on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import TICKS_PER_DAY

A = np.ndarray


class Split(ABC):
    """Marks rows for training and rows for testing; a row may be neither."""

    name: str

    @abstractmethod
    def parts(self, log: InteractionLog) -> tuple[Bool[A, " rows"], Bool[A, " rows"]]:
        """Masks of the training rows and of the test rows."""


@dataclass(frozen=True)
class TemporalSplit(Split):
    """Learn from what happened before the last `test_days` days of the log, test on these: nothing leaks."""

    test_days: int = 8
    name: str = "temporal"

    def __post_init__(self) -> None:
        if self.test_days < 1:
            raise ValueError(f"test_days must be at least 1, got {self.test_days}")

    def parts(self, log: InteractionLog) -> tuple[Bool[A, " rows"], Bool[A, " rows"]]:
        if not len(log):
            return np.zeros(0, bool), np.zeros(0, bool)
        late = log.day > log.day.max() - self.test_days
        return ~late, late & (log.tick < (log.day.max() + 1) * TICKS_PER_DAY)


@dataclass(frozen=True)
class LeaveLastOut(Split):
    """Test on each user's last slate with a click, learn from all the rest: other users' futures leak."""

    name: str = "last-out"

    def parts(self, log: InteractionLog) -> tuple[Bool[A, " rows"], Bool[A, " rows"]]:
        clicked = np.flatnonzero(log.clicks.any(axis=1))
        order = clicked[np.lexsort((log.step[clicked], log.session[clicked], log.user[clicked]))]
        last = np.append(log.user[order][1:] != log.user[order][:-1], True) if len(order) else np.zeros(0, bool)
        test = np.zeros(len(log), bool)
        test[order[last]] = True
        return ~test, test


@dataclass(frozen=True)
class RandomSplit(Split):
    """Test on a random share of the slates, learn from the others: the past is told with the future in hand."""

    test_share: float = 0.2
    seed: int = 0
    name: str = "random"

    def __post_init__(self) -> None:
        if not 0 < self.test_share < 1:
            raise ValueError(f"test_share must be in (0, 1), got {self.test_share}")

    def parts(self, log: InteractionLog) -> tuple[Bool[A, " rows"], Bool[A, " rows"]]:
        test = np.random.default_rng(self.seed).random(len(log)) < self.test_share
        return ~test, test
