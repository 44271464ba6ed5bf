"""What does not change while a loop runs: what items are, who users were, and which of them are compared."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from recsim_lab.evaluation.bubble.interactions import Interactions

A = np.ndarray

HEAD_SHARE = 0.8
"""The head holds this share of the clicks made before the loop; the tail is the rest."""


@dataclass(frozen=True)
class Ground:
    """What windows of a loop are measured against; all arms of a comparison share one.

    `latent` holds the items' vectors, `creator` who made them (from 0). `audience` counts the clicks that each item
    had before the loop began: popularity, head and tail are fixed by it, so that they do not move with what is
    measured. `preference` holds the users' vectors when the loop began. `mainstream` marks the users whose taste is
    nearer to the mean taste; the others are niche.
    """

    topic: Int[A, " items"]
    num_topics: int
    latent: Float[A, "items dims"]
    creator: Int[A, " items"]
    audience: Int[A, " items"]
    preference: Float[A, "users dims"]
    mainstream: Bool[A, " users"]

    def __post_init__(self) -> None:
        if not self.num_items or not self.num_users:
            raise ValueError(f"there must be items and users, got {self.num_items} and {self.num_users}")
        if self.topic.min() < 0 or self.topic.max() >= self.num_topics:
            raise ValueError(f"topic must be in [0, {self.num_topics}), got {self.topic.min()} to {self.topic.max()}")
        for name in ("creator", "audience"):
            if getattr(self, name).min() < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name).min()}")
        for name in ("latent", "preference"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} must be finite, got NaN or infinity")

    @property
    def num_items(self) -> int:
        return len(self.topic)

    @property
    def num_users(self) -> int:
        return len(self.preference)

    @cached_property
    def popularity(self) -> Float64[A, " items"]:
        """Clicks before the loop, as a multiple of the mean item's; NaN where there were none at all."""
        total = self.audience.sum()
        return self.audience * (self.num_items / total) if total else np.full(self.num_items, np.nan)

    @cached_property
    def self_information(self) -> Float64[A, " items"]:
        """-log2 p in bits, with p the item's share of the clicks before the loop (Vargas & Castells 2011).

        One click is added to each item, so that items without any are novel and not infinitely so.
        """
        return -np.log2((self.audience + 1) / (self.audience.sum() + self.num_items))

    @cached_property
    def tail(self) -> Bool[A, " items"]:
        """Items outside the head: the most clicked that together hold `HEAD_SHARE` of the clicks before the loop.

        Items clicked as often as the last of the head belong to it too, so their order does not matter. Items that
        came later are in the tail. Nothing is, if nothing was clicked.
        """
        order = np.sort(self.audience)[::-1]
        held = np.cumsum(order)
        last = int(np.searchsorted(held, HEAD_SHARE * held[-1]))
        return self.audience < order[last]

    def check(self, met: Interactions) -> None:
        """Raise ValueError if a user or an item is none of these."""
        for name, values, number in (("user", met.user, self.num_users), ("item", met.item, self.num_items)):
            if values.size and values.max() >= number:
                raise ValueError(f"{name} must be below {number}, got {values.max()}")


def unit_vectors(vectors: Float[A, "rows dims"]) -> Float64[A, "rows dims"]:
    """The vectors at length 1; those of length 0 stay as they are, so their cosine with any other is 0."""
    units = vectors.astype(np.float64)
    length = np.sqrt(np.vecdot(units, units))[:, None]
    units /= np.where(length > 0, length, 1.0)
    return units


def mainstream_users(preference: Float[A, "users dims"]) -> Bool[A, " users"]:
    """Users whose mean cosine with all users is at or above its median: half of them, where none are alike."""
    units = unit_vectors(preference)
    likeness = units @ units.mean(axis=0)
    return likeness >= np.median(likeness)
