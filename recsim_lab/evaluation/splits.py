"""Which part of a log to learn from, and which requests to be tested on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from recsim_lab.interaction_log import InteractionLog

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
        return ~late, late


@dataclass(frozen=True)
class LeaveLastOut(Split):
    """Test on each user's last slate with a click, learn from what came before it and from all that other users
    did: their futures leak, the user's own does not."""

    name: str = "last-out"

    def parts(self, log: InteractionLog) -> tuple[Bool[A, " rows"], Bool[A, " rows"]]:
        clicked = np.flatnonzero(log.clicks.any(axis=1))
        time = _visit_time(log)
        order = clicked[np.lexsort((time[clicked], log.user[clicked]))]
        last = np.append(log.user[order][1:] != log.user[order][:-1], True) if len(order) else np.zeros(0, bool)
        tested = order[last]
        test = np.zeros(len(log), bool)
        test[tested] = True
        # A user's slates after the one that is tested are neither learned from nor tested.
        end = np.full(int(log.user.max(initial=-1)) + 1, np.iinfo(np.int64).max)
        end[log.user[tested]] = time[tested]
        return time < end[log.user], test


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


def _visit_time(log: InteractionLog) -> Int[A, " rows"]:
    """Sessions and steps as one number that grows along each user's life."""
    return log.session.astype(np.int64) * 2**16 + log.step
