"""The seam between the lab and recommenders: what a policy sees, what it answers, and what an agent learns from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.probabilities import (
    NUM_REDRAWS,
    PairProbabilities,
    Probabilities,
    certain,
    check_pairs,
    pairs_of_slates,
    redraw,
)
from recsim_lab.selection import select_best
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.interaction_log import InteractionLog

A = np.ndarray
TICKS_PER_DAY = 1440
"""Time is counted in ticks of one minute."""
SCORES_AT_ONCE = 2**22
"""Scores of the whole catalogue that a scorer holds while it fills slates: 16 MiB."""
NEVER = np.int64(2**62)
"""The tick of what does not happen: an item that is not withdrawn, a user who does not return."""
REQUEST_FIELDS = ("user", "session", "step", "tick", "device")
"""The fields of an observation that hold one number a request."""
HISTORY_FIELDS = ("clicked", "clicked_tick", "shown")
"""Those that hold a row of items or ticks a request."""


@dataclass(frozen=True)
class Field:
    """One public feature: `categorical` (codes below `cardinality`), `numeric`, or `multi` (a row of booleans)."""

    name: str
    kind: Literal["categorical", "numeric", "multi"]
    cardinality: int = 0


@dataclass(frozen=True)
class FeatureTable:
    """The public features of users and items, and when each item is on offer.

    Columns are arrays with a leading axis of users or items: integer codes for categorical fields, float32 for
    numeric ones, booleans `[items, cardinality]` for multi-valued ones. `release` and `withdrawal` are ticks: an
    item is on offer at ticks `release <= tick < withdrawal`.
    """

    user_fields: tuple[Field, ...]
    item_fields: tuple[Field, ...]
    users: Mapping[str, A]
    items: Mapping[str, A]
    release: Int[A, " items"]
    withdrawal: Int[A, " items"]
    titles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for side, fields, columns in (
            ("user", self.user_fields, self.users),
            ("item", self.item_fields, self.items),
        ):
            if {f.name for f in fields} != set(columns):
                raise ValueError(
                    f"{side} columns must be those of the declared fields {sorted(f.name for f in fields)}, "
                    f"got {sorted(columns)}"
                )

    @property
    def num_items(self) -> int:
        return len(self.release)

    @cached_property
    def releases(self) -> Int[A, " items"]:
        """The ticks at which items come, ascending."""
        return np.sort(self.release)

    @cached_property
    def removals(self) -> Int[A, " items"]:
        """The ticks at which items are gone, ascending; one that is withdrawn before it is released never comes."""
        return np.sort(np.maximum(self.release, self.withdrawal))

    @cached_property
    def changes(self) -> Int[A, " changes"]:
        """The ticks at which what is on offer changes, ascending."""
        return np.unique(np.concatenate([self.release, self.withdrawal]))

    def on_offer(self, tick: Int[A, " rows"]) -> Bool[A, "rows items"]:
        """Whether each item can be shown at each tick. Requests share one row of memory where nothing changes between
        them."""
        _, first, same = np.unique(self.changes.searchsorted(tick, "right"), return_index=True, return_inverse=True)
        moments = tick[first, None]
        offered = (self.release <= moments) & (moments < self.withdrawal)
        if len(offered) == len(tick) == 1:
            return offered
        return np.broadcast_to(offered, (len(tick), self.num_items)) if len(offered) == 1 else offered[same]

    def num_on_offer(self, tick: Int[A, " rows"]) -> Int[A, " rows"]:
        """How many items are on offer at each tick."""
        return np.searchsorted(self.releases, tick, side="right") - np.searchsorted(self.removals, tick, side="right")


@dataclass(frozen=True)
class Observation:
    """All that a recommender may see of a batch of requests, one row per request.

    `user` is the row of the user in the feature table; `session` counts the user's visits, `step` the slates
    shown before in this visit; `tick` is in minutes. `clicked` holds the items clicked before, newest last,
    padded with -1 on the left, `clicked_tick` when; `shown` the items shown before in this session, in order,
    padded with -1 on the right (in very long sessions the oldest slates drop out). `blocked` lists items that
    business rules forbid for the request, padded with -1.
    """

    user: Int[A, " rows"]
    session: Int[A, " rows"]
    step: Int[A, " rows"]
    tick: Int[A, " rows"]
    device: Int[A, " rows"]
    clicked: Int[A, "rows history"]
    clicked_tick: Int[A, "rows history"]
    shown: Int[A, "rows shown"]
    features: FeatureTable
    blocked: Int[A, "rows blocked"]

    def __len__(self) -> int:
        return len(self.user)

    @staticmethod
    def of(fields: Mapping[str, A], features: FeatureTable) -> "Observation":
        """The requests that an environment's observation tells, of one user or of a batch; it may tell more.

        Raises:
            ValueError: if it lacks a field.
        """
        if missing := [name for name in (*REQUEST_FIELDS, *HISTORY_FIELDS) if name not in fields]:
            raise ValueError(f"fields must hold those of an Observation, missing {', '.join(missing)}")
        rows = np.size(fields["user"])
        arrays: dict[str, Any] = {name: np.reshape(fields[name], rows) for name in REQUEST_FIELDS}
        arrays |= {name: np.reshape(fields[name], (rows, np.shape(fields[name])[-1])) for name in HISTORY_FIELDS}
        return Observation(**arrays, features=features, blocked=np.zeros((rows, 0), np.int32))

    @property
    def hour(self) -> Int[A, " rows"]:
        """Hour of the day, 0 to 23."""
        return (self.tick % TICKS_PER_DAY) // 60

    def eligible(self) -> Bool[A, "rows items"]:
        """Whether each item may be shown: on offer at the tick, and not blocked by a rule."""
        allowed = self.features.on_offer(self.tick)
        if self.blocked.shape[1] == 0:
            return allowed
        allowed = allowed if allowed.flags.writeable else allowed.copy()
        row, place = np.nonzero(self.blocked >= 0)
        allowed[row, self.blocked[row, place]] = False
        return allowed

    def block(self, items: Int[A, "rows more"]) -> "Observation":
        """The same requests with more items forbidden (-1 forbids nothing)."""
        return replace(self, blocked=np.concatenate([self.blocked, items.astype(np.int32)], axis=1))

    def take(self, rows: Int[A, " taken"] | slice) -> "Observation":
        """Some of the requests."""
        columns = (name for name, value in vars(self).items() if isinstance(value, np.ndarray))
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in columns}
        return replace(self, **arrays)


@dataclass(frozen=True)
class Recommendation:
    """The slates a policy answers with, and how likely it was to answer so.

    `propensity[r, k]` is the marginal probability that this item stands in slot k; `prefix_propensity[r, k]` the
    probability that slots 0 to k hold exactly these items. Both are 1 for a deterministic policy and NaN where
    they cannot be had. `propensity_error` is the standard error of Monte Carlo estimates (0: exact). `source`
    says which of the policies named in `sources` supplied the slot.
    """

    items: Int[A, "rows slots"]
    propensity: Float[A, "rows slots"]
    prefix_propensity: Float[A, "rows slots"]
    propensity_error: Float[A, "rows slots"]
    source: Int[A, "rows slots"]
    sources: tuple[str, ...]


class Policy(ABC):
    """Answers requests with slates of distinct eligible items."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What the log calls this policy as the source of a slot."""

    @property
    def ranker(self) -> "Scorer | None":
        """The scorer by whose order this policy goes where it does not explore, which offline metrics judge.

        None: it has no order, and offline metrics take it as indifferent between all items, as random is.
        """
        return None

    @abstractmethod
    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        """A slate for each request; `draws` is the only source of randomness.

        Raises:
            ValueError: if a request has fewer than `num_slots` eligible items.
        """

    @abstractmethod
    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        """How likely this policy is to answer the requests with `slates`: exact, or a Monte Carlo estimate."""

    def pair_probabilities(
        self,
        observation: Observation,
        candidates: Int[A, "rows candidates"],
        num_slots: int,
        num_redraws: int = NUM_REDRAWS,
    ) -> PairProbabilities:
        """How likely each two of at most 50 distinct candidates are to stand in each two slots of the answer.

        Exact for a policy that is certain of its slate, else estimated from `num_redraws` answers.

        Raises:
            ValueError: if there are more candidates, or one of them twice.
        """
        check_pairs(candidates)
        first = self.recommend(observation, num_slots, redraw(observation, 0))
        if (first.prefix_propensity == 1).all():
            return pairs_of_slates(first.items[None], candidates)
        redraws = (redraw(observation, number) for number in range(num_redraws))
        slates = [self.recommend(observation, num_slots, draws).items for draws in redraws]
        return pairs_of_slates(np.stack(slates), candidates)


class Scorer(Policy):
    """A deterministic policy that shows the items of highest score."""

    @property
    def ranker(self) -> "Scorer":
        return self

    @abstractmethod
    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float[A, "rows candidates"]:
        """A finite score for each request and each of its candidates (None: the whole catalogue), higher is
        better."""

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        return deterministic(self._best(observation, num_slots), self.name)

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        return certain(self._best(observation, slates.shape[1]), slates)

    def _best(self, observation: Observation, num_slots: int) -> Int[A, "rows slots"]:
        """The slates, of some requests at a time: scores of all would leave the processor's caches, or its memory."""
        num_rows = max(1, SCORES_AT_ONCE // max(observation.features.num_items, 1))
        best = np.empty((len(observation), num_slots), np.int32)
        for start in range(0, len(observation), num_rows):
            rows = slice(start, start + num_rows)
            some = observation.take(rows) if num_rows < len(observation) else observation
            best[rows] = top_items(self.scores(some), some.eligible(), num_slots)
        return best


class Agent(Policy):
    """A policy that learns from a log, and whose state can be kept."""

    @abstractmethod
    def learn(self, log: "InteractionLog") -> None:
        """Learn from the log; called again with a newer log, go on from what is known or start anew."""

    @abstractmethod
    def save(self, path: Path | str) -> None:
        """Write all that `load` needs to go on exactly from here, as one file that appears whole."""

    @abstractmethod
    def load(self, path: Path | str) -> None:
        """Take over a saved state; the agent must have been made with the same parameters."""


def top_items(scores: Float[A, "rows items"], eligible: Bool[A, "rows items"], num_slots: int) -> Int[A, "rows slots"]:
    """The eligible items of highest score, best first; equal scores in order of the item.

    Raises:
        ValueError: if scores contain NaN, or a request has fewer than `num_slots` eligible items.
    """
    best = np.empty((len(scores), num_slots), np.int32)
    num_found = np.empty(len(scores), np.int32)
    # In one layout and one of two types, so that only these versions of the kernel are compiled.
    scores = np.require(scores, np.result_type(scores, np.float32), ["C", "W"])
    shared = len(eligible) > 1 and eligible.strides[0] == 0
    select_best(scores, np.require(eligible[:1] if shared else eligible, None, ["C", "W"]), best, num_found)
    if (num_found < num_slots).any():
        check_slots(eligible, num_slots)
        row, item = np.argwhere(np.isnan(scores) & eligible)[0]
        raise ValueError(f"scores must not be NaN, got NaN for row {row}, item {item}")
    return best


def gather(scores: Float[A, "rows items"], items: Int[A, "rows candidates"] | None) -> Float[A, "rows candidates"]:
    """The scores of the candidates out of those of the whole catalogue."""
    return scores if items is None else np.take_along_axis(scores, items.astype(np.int64), axis=1)


def check_slots(eligible: Bool[A, "rows items"], num_slots: int) -> None:
    """Raise ValueError where a request has fewer eligible items than slots."""
    if len(eligible) and (fewest := int(eligible.sum(axis=1).min())) < num_slots:
        raise ValueError(
            f"num_slots must be at most the number of eligible items: asked for {num_slots}, "
            f"a request has {fewest} of {eligible.shape[1]}"
        )


def deterministic(items: Int[A, "rows slots"], name: str) -> Recommendation:
    """The recommendation of a policy that could have shown nothing else."""
    ones = np.ones(items.shape, np.float32)
    return Recommendation(
        items.astype(np.int32), ones, ones, np.zeros_like(ones), np.zeros(items.shape, np.int16), (name,)
    )


def answered(
    items: Int[A, "rows slots"],
    told: Probabilities,
    source: Int[A, "rows slots"],
    sources: tuple[str, ...],
    known: Bool[A, " rows"] | None = None,
) -> Recommendation:
    """The recommendation of slates whose probabilities are `told`, in rows where they are `known` (None: in all)."""
    marginal, prefix = told.marginal, told.prefix
    if known is not None:
        marginal, prefix = (
            np.where(known[:, None], values, np.nan).astype(values.dtype) for values in (marginal, prefix)
        )
    return Recommendation(items.astype(np.int32), marginal, prefix, told.error, source.astype(np.int16), sources)


def check_slates(items: Int[A, "rows slots"], observation: Observation, name: str) -> None:
    """Raise ValueError where a policy repeats an item in a slate, or names one that is unknown or not on offer."""
    table = observation.features
    if len(items) != len(observation):
        raise ValueError(f"policy {name!r} must give a slate for each of {len(observation)} requests, got {len(items)}")
    if items.size and (items.min() < 0 or items.max() >= table.num_items):
        raise ValueError(
            f"items of policy {name!r} must be in [0, {table.num_items}), got {items.min()} to {items.max()}"
        )
    ordered = np.sort(items, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if repeated.any():
        row = int(np.argmax(repeated))
        raise ValueError(f"items of a slate must be distinct, policy {name!r} gave {items[row].tolist()}")
    tick = observation.tick[:, None]
    absent = (table.release[items] > tick) | (table.withdrawal[items] <= tick)
    if absent.any():
        row, slot = np.argwhere(absent)[0]
        raise ValueError(f"items must be on offer, policy {name!r} gave item {items[row, slot]} at tick {tick[row, 0]}")
