"""Retrievers that go by one list for everybody: the items clicked most, and the items released last."""

from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Float32, Int

from agents.base import as_text, check_catalogue, named_with
from agents.baselines import Popularity
from agents.eligible import may_be_shown
from agents.two_stage.retriever import Retrieved, Retriever, sampled_items, standardised
from recsim_lab.policy import TICKS_PER_DAY, FeatureTable, Observation

A = np.ndarray

_OLD_DAYS = 10.0
"""Days in which a new item's score falls by a factor of e."""


@final
@dataclass(eq=False)
class Popular(Retriever):
    """Finds the items that are most popular; before anything was learned, in order of their id."""

    policy: Popularity = field(default_factory=Popularity)
    _listed: "tuple[A, A] | None" = field(init=False, repr=False, default=None)

    @property
    def name(self) -> str:
        return self.policy.name

    def order(self, features: FeatureTable) -> Int[A, " items"]:
        """All items, the most popular first."""
        popularity = self.policy.popularity
        if not len(popularity):
            return np.arange(features.num_items, dtype=np.int32)
        if self._listed is None or self._listed[0] is not popularity:
            self._listed = popularity, np.argsort(-popularity, kind="stable").astype(np.int32)
        return self._listed[1]

    def retrieve(self, observation: Observation, num: int) -> Retrieved:
        if len(self.policy.popularity):
            check_catalogue(len(self.policy.popularity), observation.features)
        items = first_eligible(self.order(observation.features), np.zeros(len(observation), np.int64), observation, num)
        scores = self.policy.scores(observation, np.maximum(items, 0))
        return Retrieved(items, np.where(items >= 0, scores, np.nan).astype(np.float32))

    def judge(self, observation: Observation, items: Int[A, "rows candidates"]) -> Float32[A, "rows candidates"]:
        sampled = sampled_items(observation.features)
        sampled = np.broadcast_to(sampled, (len(items), len(sampled)))
        # Popularity is heavy-tailed.
        told, sample = (np.log1p(self.policy.scores(observation, some)) for some in (items, sampled))
        return standardised(told, sample)


@final
@dataclass(eq=False)
class Fresh(Retriever):
    """Finds the items released last: of those released after the start, and at most `days` days ago (None: ever).

    The score of an item is exp(-age / 10 days).
    """

    days: float | int | None = None

    def __post_init__(self) -> None:
        if self.days is not None and not self.days > 0:
            raise ValueError(f"days must be above 0 or None, got {self.days}")

    @property
    def name(self) -> str:
        return named_with("fresh", {} if self.days is None else {"days": as_text(self.days)})

    def retrieve(self, observation: Observation, num: int) -> Retrieved:
        release = observation.features.release
        new = np.flatnonzero(release > 0)
        order = new[np.argsort(-release[new], kind="stable")].astype(np.int32)
        oldest = 0 if self.days is None else observation.tick - self.days * TICKS_PER_DAY
        # What is not out yet stands first in the list, what is too old last.
        first = np.searchsorted(-release[order], -observation.tick)
        items = first_eligible(order, first, observation, num)
        too_old = release[np.maximum(items, 0)] < np.asarray(oldest).reshape(-1, 1)
        items = np.where(too_old, -1, items).astype(np.int32)
        return Retrieved(items, np.where(items >= 0, self._score(observation, items), np.nan).astype(np.float32))

    def judge(self, observation: Observation, items: Int[A, "rows candidates"]) -> Float32[A, "rows candidates"]:
        return self._score(observation, items)

    def _score(self, observation: Observation, items: Int[A, "rows found"]) -> Float32[A, "rows found"]:
        release = observation.features.release[items]
        age = np.maximum(observation.tick[:, None] - release, 0) / TICKS_PER_DAY
        counts = (release > 0) & (True if self.days is None else age <= self.days)
        return np.where(counts, np.exp(-age / _OLD_DAYS), 0.0).astype(np.float32)


def first_eligible(
    order: Int[A, " listed"], start: Int[A, " rows"], observation: Observation, num: int
) -> Int[A, "rows found"]:
    """The first `num` eligible items of a list, from each request's `start` on; -1 pads on the right."""
    items = np.full((len(observation), num), -1, np.int32)
    if not len(order) or not num:
        return items
    left, width = np.arange(len(observation)), num + min(observation.blocked.shape[1], num)
    while len(left):
        width = min(width, len(order))
        place = start[left, None] + np.arange(width)
        listed = np.where(place < len(order), order[np.minimum(place, len(order) - 1)], -1)
        eligible = may_be_shown(observation.take(left), listed)
        rank = np.cumsum(eligible, axis=1)
        row, column = np.nonzero(eligible & (rank <= num))
        items[left[row], rank[row, column] - 1] = listed[row, column]
        # Requests that the first stretch of the list did not fill need a longer one.
        short = (rank[:, -1] < num) & (start[left] + width < len(order))
        left, width = left[short], 4 * width
    return items
