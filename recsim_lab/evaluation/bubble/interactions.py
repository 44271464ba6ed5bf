"""Who met which items, be it shown or clicked, and how often."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

A = np.ndarray

BLOCK = 1 << 21
"""So many slots are looked at together: memory stays small however many were shown."""


@dataclass(frozen=True)
class Interactions:
    """Rows of a user and the items in the slots of what they met; a slot of -1 holds nothing."""

    user: Int[A, " rows"]
    item: Int[A, "rows slots"]

    def __post_init__(self) -> None:
        if self.user.size and self.user.min() < 0:
            raise ValueError(f"user must be at least 0, got {self.user.min()}")
        if self.item.size and self.item.min() < -1:
            raise ValueError(f"item must be at least -1, got {self.item.min()}")

    def row_blocks(self, per_slot: int = 1) -> Iterator[slice]:
        """The rows in order, as many at a time as have `BLOCK` numbers, `per_slot` for each slot."""
        step = max(BLOCK // max(self.item.shape[1] * per_slot, 1), 1)
        return (slice(start, start + step) for start in range(0, len(self.user), step))

    def blocks(self) -> Iterator[tuple[Int[A, " meetings"], Int[A, " meetings"]]]:
        """User and item of every slot that holds an item, some rows at a time."""
        for rows in self.row_blocks():
            item = self.item[rows].ravel()
            user = np.repeat(self.user[rows], self.item.shape[1])
            there = item >= 0
            yield (user, item) if there.all() else (user[there], item[there])

    def of(self, users: Bool[A, " users"]) -> "Interactions":
        """The rows of some users."""
        rows = users[self.user]
        return Interactions(self.user[rows], self.item[rows])


def clicks_of(user: Int[A, " clicks"], item: Int[A, " clicks"]) -> Interactions:
    """A row per click."""
    return Interactions(user, item[:, None])


def joined(*parts: Interactions) -> Interactions:
    """The rows of all parts, which may differ in their number of slots, as clicks one per row."""
    flat = [block for part in parts for block in part.blocks()]
    user = np.concatenate([np.zeros(0, np.int64), *(user for user, _ in flat)])
    item = np.concatenate([np.zeros(0, np.int64), *(item for _, item in flat)])
    return clicks_of(user.astype(np.int64, copy=False), item.astype(np.int64, copy=False))


@dataclass(frozen=True)
class Window:
    """What was shown and clicked in some days: a row per slate; a slot of -1 shows nothing."""

    user: Int[A, " slates"]
    slate: Int[A, "slates slots"]
    clicks: Bool[A, "slates slots"]

    def __post_init__(self) -> None:
        if (self.clicks & (self.slate < 0)).any():
            raise ValueError(f"clicks must be on items, got {(self.clicks & (self.slate < 0)).sum()} on slots without")

    @property
    def shown(self) -> Interactions:
        return Interactions(self.user, self.slate)

    @property
    def clicked(self) -> Interactions:
        row, slot = np.nonzero(self.clicks)
        return clicks_of(self.user[row], self.slate[row, slot])


def item_counts(met: Interactions, num_items: int) -> Int64[A, " items"]:
    """How often each item was met."""
    counts = np.zeros(num_items, np.int64)
    for _, item in met.blocks():
        counts += np.bincount(item, minlength=num_items)
    return counts


def topic_counts(
    met: Interactions, topic: Int[A, " items"], num_users: int, num_topics: int
) -> Int64[A, "users topics"]:
    """How often each user met each topic."""
    counts = np.zeros(num_users * num_topics, np.int64)
    for user, item in met.blocks():
        counts += np.bincount(user.astype(np.int64) * num_topics + topic[item], minlength=len(counts))
    return counts.reshape(num_users, num_topics)


def user_means(met: Interactions, values: Float64[A, " items"], num_users: int) -> Float64[A, " users"]:
    """The mean value of the items that each user met; NaN for users who met none."""
    total, count = np.zeros(num_users), np.zeros(num_users)
    for user, item in met.blocks():
        total += np.bincount(user, values[item], num_users)
        count += np.bincount(user, minlength=num_users)
    return np.divide(total, count, out=np.full(num_users, np.nan), where=count > 0)


def row_means(user: Int[A, " rows"], values: Float64[A, " rows"], num_users: int) -> Float64[A, " users"]:
    """The mean of each user's rows, NaN left out; NaN for users without any other."""
    known = ~np.isnan(values)
    count = np.bincount(user[known], minlength=num_users)
    total = np.bincount(user[known], values[known], num_users)
    return np.divide(total, count, out=np.full(num_users, np.nan), where=count > 0)


def mean_known(values: Float64[A, " users"]) -> float:
    """The mean of those that are not NaN; NaN where all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
