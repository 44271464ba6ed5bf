"""What a model is asked to foresee: which answer of a user makes a shown item relevant, and how much."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from recsim_lab.examination import MOST_SLOT_WEIGHT, Examination, by_propensities
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.propensities import MOST_WEIGHT, inverse_propensities

A = np.ndarray


class Target(ABC):
    """Turns what users did into gains of the items of a slate."""

    name: str

    @property
    @abstractmethod
    def said(self) -> str:
        """What counts as relevant, in words."""

    @abstractmethod
    def gains(self, log: InteractionLog) -> Float32[A, "rows slots"]:
        """How relevant each slot's item turned out: 0 is not at all, NaN says that the log can't tell yet."""


@dataclass(frozen=True)
class Click(Target):
    """A click."""

    name: str = "click"

    @property
    def said(self) -> str:
        return "clicked items are relevant"

    def gains(self, log: InteractionLog) -> Float32[A, "rows slots"]:
        return log.clicks.astype(np.float32)


@dataclass(frozen=True)
class Examined(Target):
    """A click, counted by how rarely its slot is looked at: 1 / examination (Joachims, Swaminathan & Schnabel, WSDM
    2017), at most `most_weight`.

    Examination over that of the best slot is known (`relative`, one number a slot), or told from the log
    (`recsim_lab.examination.by_propensities`), which a log without propensities can't.
    """

    relative: tuple[float, ...] = ()
    most_weight: float = MOST_SLOT_WEIGHT
    name: str = "examined"

    def __post_init__(self) -> None:
        if not all(0 < value <= 1 for value in self.relative):
            raise ValueError(f"relative must be in (0, 1], got {self.relative}")
        if not self.most_weight >= 1:
            raise ValueError(f"most_weight must be at least 1, got {self.most_weight}")

    @property
    def said(self) -> str:
        how = "as known" if self.relative else "as the log tells"
        return f"clicked items are relevant, each by how rarely its slot is looked at ({how})"

    def gains(self, log: InteractionLog) -> Float32[A, "rows slots"]:
        if self.relative and len(self.relative) != log.num_slots:
            raise ValueError(f"relative must have a number for each of {log.num_slots} slots, got {len(self.relative)}")
        if self.relative:
            examination = Examination(np.array(self.relative), np.zeros(len(self.relative)))
        elif _has_propensities(log):
            examination = by_propensities(log)
        else:
            return np.full(log.clicks.shape, np.nan, np.float32)
        return (log.clicks * examination.weights(self.most_weight)).astype(np.float32)


@dataclass(frozen=True)
class Unselected(Target):
    """A click, counted by how rarely its item was shown in its slot: 1 / propensity over what that is on average, at
    most `most_weight` (Schnabel et al., ICML 2016), as if slates had been random."""

    most_weight: float = MOST_WEIGHT
    name: str = "unselected"

    def __post_init__(self) -> None:
        if not self.most_weight >= 1:
            raise ValueError(f"most_weight must be at least 1, got {self.most_weight}")

    @property
    def said(self) -> str:
        return "clicked items are relevant, each by how rarely it was shown there"

    def gains(self, log: InteractionLog) -> Float32[A, "rows slots"]:
        if not _has_propensities(log):
            return np.full(log.clicks.shape, np.nan, np.float32)
        weights = inverse_propensities(log, whole=False, most_weight=self.most_weight)
        return (log.clicks * weights).astype(np.float32)


@dataclass(frozen=True)
class LongDwell(Target):
    """A click whose dwell is in the longest `share` of all clicks of the log."""

    share: float = 0.5
    name: str = "dwell"

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share must be in (0, 1), got {self.share}")

    @property
    def said(self) -> str:
        return f"items whose dwell was among the longest {self.share:.0%} are relevant"

    def gains(self, log: InteractionLog) -> Float32[A, "rows slots"]:
        if not log.clicks.any():
            return np.zeros(log.clicks.shape, np.float32)
        least = np.quantile(log.dwell[log.clicks], 1 - self.share)
        return (log.clicks & (log.dwell > least)).astype(np.float32)


@dataclass(frozen=True)
class Like(Target):
    """A like."""

    name: str = "like"

    @property
    def said(self) -> str:
        return "liked items are relevant"

    def gains(self, log: InteractionLog) -> Float32[A, "rows slots"]:
        return log.likes.astype(np.float32)


@dataclass(frozen=True)
class Return(Target):
    """A click after whose visit the user was back within `days` days; unknown where the log ends before that."""

    days: int = 7
    name: str = "return"

    def __post_init__(self) -> None:
        if self.days < 1:
            raise ValueError(f"days must be at least 1, got {self.days}")

    @property
    def said(self) -> str:
        return f"clicked items are relevant if the user came back within {self.days} days"

    def gains(self, log: InteractionLog) -> Float32[A, "rows slots"]:
        if not len(log):
            return np.zeros(log.clicks.shape, np.float32)
        visits, visit = np.unique(np.stack([log.user, log.session]), axis=1, return_inverse=True)
        follows = np.append(visits[0, 1:] == visits[0, :-1], False)
        tick = np.full(visits.shape[1], np.iinfo(np.int64).max)
        np.minimum.at(tick, visit.ravel(), log.tick)
        gap = np.where(follows, np.roll(tick, -1) - tick, np.inf)
        returned = (gap <= self.days * TICKS_PER_DAY).astype(np.float32)
        # Who is known to be back early is left out too: else late requests would all be returns.
        returned[tick + self.days * TICKS_PER_DAY > (log.day.max() + 1) * TICKS_PER_DAY] = np.nan
        known = returned[visit.ravel()][:, None]
        return np.where(np.isnan(known), np.float32(np.nan), log.clicks * known).astype(np.float32)


@dataclass(frozen=True)
class Composite(Target):
    """A weighted sum of others, such as a team agrees on: by default a click, with as much again for a long dwell and
    three times as much for a like."""

    parts: tuple[tuple[Target, float], ...] = ((Click(), 1.0), (LongDwell(), 1.0), (Like(), 3.0))
    name: str = "composite"

    def __post_init__(self) -> None:
        if not self.parts or any(weight <= 0 for _, weight in self.parts):
            raise ValueError(f"parts must hold at least one target, with weights above 0, got {self.parts}")

    @property
    def said(self) -> str:
        words = " + ".join(f"{weight:g} x {part.name}" for part, weight in self.parts)
        return f"an item's gain is {words}"

    def gains(self, log: InteractionLog) -> Float32[A, "rows slots"]:
        total = np.zeros(log.clicks.shape, np.float32)
        for part, weight in self.parts:
            total += np.float32(weight) * part.gains(log)
        return total


@dataclass(frozen=True)
class TrueChoice(Target):
    """The item that the user would have taken at this moment with every item that could be shown in sight: one drawn by
    the multinomial logit of true utility. Hidden from any real platform; the log's own clicks play no part.
    """

    name: str = "true"

    @property
    def said(self) -> str:
        return "relevant is the item that the user would have taken out of all that could be shown (hidden truth)"

    def gains(self, log: InteractionLog) -> Float32[A, "rows slots"]:
        raise ValueError("the true choice is not in a log: give the requests the truth of its moments")


def _has_propensities(log: InteractionLog) -> bool:
    return not np.isnan(log.propensity[log.slate >= 0]).any()
