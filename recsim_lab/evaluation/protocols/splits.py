"""Which part of a log to learn from, and which requests to be tested on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int

from recsim_lab.interaction_log import InteractionLog

A = np.ndarray


@dataclass(frozen=True)
class Fold:
    """Masks of the rows to learn from and of those to be tested on; a row may be neither."""

    train: Bool[A, " rows"]
    test: Bool[A, " rows"]


class Split(ABC):
    """One or more folds of a log; metrics are means over the requests of all folds."""

    name: str

    @property
    @abstractmethod
    def said(self) -> str:
        """The split in words, as a sentence of a report."""

    @abstractmethod
    def folds(self, log: InteractionLog) -> tuple[Fold, ...]:
        """Every fold has the masks of one training."""

    def slots(self, log: InteractionLog) -> Bool[A, "rows slots"]:
        """The slots of tested slates whose answers count."""
        return log.slate >= 0


@dataclass(frozen=True)
class TemporalSplit(Split):
    """Learn from what happened before the last `test_days` days of the log, test on these: nothing leaks."""

    test_days: int = 8
    name: str = "temporal"

    def __post_init__(self) -> None:
        _check_days(self.test_days)

    @property
    def said(self) -> str:
        return f"learns from all but the last {self.test_days} days of the log and is tested on these"

    def folds(self, log: InteractionLog) -> tuple[Fold, ...]:
        late = _last_days(log, self.test_days)
        return (Fold(~late, late),)


@dataclass(frozen=True)
class RollingOrigin(Split):
    """The last `test_days` days in `num_folds` stretches, each told from all that came before it, newest first."""

    test_days: int = 8
    num_folds: int = 2
    name: str = "rolling"

    def __post_init__(self) -> None:
        _check_days(self.test_days)
        if not 2 <= self.num_folds <= self.test_days:
            raise ValueError(f"num_folds must be in [2, test_days], got {self.num_folds} of {self.test_days}")

    @property
    def said(self) -> str:
        return (
            f"cuts the last {self.test_days} days of the log into {self.num_folds} stretches, learns before each from "
            "all that came before and is tested on it"
        )

    def folds(self, log: InteractionLog) -> tuple[Fold, ...]:
        ends = [_last_days(log, self.test_days * fold // self.num_folds) for fold in range(self.num_folds + 1)]
        return tuple(Fold(~since, since & ~after) for after, since in pairwise(ends))


@dataclass(frozen=True)
class LeaveLastOut(Split):
    """Test on each user's last slate with a click, learn from what came before it and from all that other users
    did: their futures leak, the user's own does not."""

    name: str = "last-out"

    @property
    def said(self) -> str:
        return (
            "is tested on each user's last slate with a click and learns from what came before it and from all that "
            "other users did (their futures leak)"
        )

    def folds(self, log: InteractionLog) -> tuple[Fold, ...]:
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
        return (Fold(time < end[log.user], test),)


@dataclass(frozen=True)
class RandomSplit(Split):
    """Test on a random share of the slates, learn from the others: the past is told with the future in hand."""

    test_share: float = 0.2
    seed: int = 0
    name: str = "random"

    def __post_init__(self) -> None:
        _check_share(self.test_share)

    @property
    def said(self) -> str:
        return (
            f"is tested on a random {self.test_share:.0%} of the slates and learns from all others (the future leaks)"
        )

    def folds(self, log: InteractionLog) -> tuple[Fold, ...]:
        test = np.random.default_rng(self.seed).random(len(log)) < self.test_share
        return (Fold(~test, test),)


@dataclass(frozen=True)
class PopularityBalanced(Split):
    """Of the random split's test slates, those with clicks are kept in inverse proportion to the popularity of what was
    clicked, so that every item is tested about as often (Bellogín, Castells & Cantador, Information Retrieval 2017).

    Learns from what the random split learns from.
    """

    test_share: float = 0.2
    seed: int = 0
    name: str = "balanced"

    def __post_init__(self) -> None:
        _check_share(self.test_share)

    @property
    def said(self) -> str:
        return (
            "is tested on slates of the random split that are kept in inverse proportion to how often the clicked item "
            "was clicked, so that every item counts about alike"
        )

    def folds(self, log: InteractionLog) -> tuple[Fold, ...]:
        (fold,) = RandomSplit(self.test_share, self.seed).folds(log)
        row, slot = np.nonzero(log.clicks & fold.test[:, None])
        item = log.slate[row, slot]
        clicks = np.bincount(item, minlength=log.features.num_items)
        rarest = np.full(len(log), np.inf)
        np.minimum.at(rarest, row, clicks[item])
        # With a median item's clicks or fewer a slate is kept for sure, so that about half of the items are exact.
        common = np.median(clicks[clicks > 0]) if len(item) else 1.0
        kept = np.random.default_rng(self.seed + 1).random(len(log)) < common / rarest
        return (Fold(fold.train, fold.test & np.isfinite(rarest) & kept),)


@dataclass(frozen=True)
class RandomisedOnly(Split):
    """The temporal split, tested on the clicks of randomised slots alone: those of sources that show items by chance,
    whatever a model thinks of them.

    `sources` are the names of these sources; a log without any has no test.
    """

    test_days: int = 8
    sources: tuple[str, ...] = ("random",)
    name: str = "randomised"

    def __post_init__(self) -> None:
        _check_days(self.test_days)

    @property
    def said(self) -> str:
        return (
            f"learns from all but the last {self.test_days} days and is tested on slates of these in which a slot that "
            "was filled by chance was clicked"
        )

    def folds(self, log: InteractionLog) -> tuple[Fold, ...]:
        late = _last_days(log, self.test_days)
        return (Fold(~late, late & (log.clicks & self.slots(log)).any(axis=1)),)

    def slots(self, log: InteractionLog) -> Bool[A, "rows slots"]:
        """The slots that were filled by chance."""
        by_chance = np.array([name.rpartition("/")[2] in self.sources for name in log.sources], bool)
        return by_chance[log.source] if len(by_chance) else np.zeros(log.source.shape, bool)


def _last_days(log: InteractionLog, days: int) -> Bool[A, " rows"]:
    return log.day > log.day.max(initial=-1) - days


def _visit_time(log: InteractionLog) -> Int[A, " rows"]:
    """Sessions and steps as one number that grows along each user's life."""
    return log.session.astype(np.int64) * 2**16 + log.step


def _check_days(test_days: int) -> None:
    if test_days < 1:
        raise ValueError(f"test_days must be at least 1, got {test_days}")


def _check_share(test_share: float) -> None:
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must be in (0, 1), got {test_share}")
