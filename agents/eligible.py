"""Drawing slates at random: the eligible items of each request, numbered, so that a slot costs one random number."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.policy import FeatureTable, Observation, check_slots

A = np.ndarray


@dataclass(frozen=True)
class EligibleItems:
    """The eligible items of each request in order of their id, numbered from 0 to `num - 1`."""

    pairs: Int[A, " pairs"]
    """`row * num_items + item` of all eligible items, ascending."""
    start: Int[A, " rows"]
    num: Int[A, " rows"]
    num_items: int

    def item(self, number: Int[A, "rows slots"]) -> Int[A, "rows slots"]:
        """The item of each number."""
        return (self.pairs[self.start[:, None] + number] % self.num_items).astype(np.int32)

    def number(self, items: Int[A, "rows slots"]) -> Int[A, "rows slots"]:
        """The number of each item; -1 for those that are not eligible."""
        pairs = np.arange(len(items))[:, None] * self.num_items + items
        place = np.searchsorted(self.pairs, pairs)
        found = np.append(self.pairs, -1)[place] == pairs
        known = found & (items >= 0) & (items < self.num_items)
        return np.where(known, place - self.start[:, None], -1)


def eligible_items(observation: Observation, num_slots: int) -> EligibleItems:
    """The eligible items of each request.

    Raises:
        ValueError: if a request has fewer than `num_slots` of them.
    """
    eligible = observation.eligible()
    check_slots(eligible, num_slots)
    num = eligible.sum(axis=1)
    return EligibleItems(np.flatnonzero(eligible), np.cumsum(num) - num, num, eligible.shape[1])


def num_eligible(observation: Observation, up_to: int) -> Int[A, " rows"]:
    """How many eligible items each request has, counted up to `up_to`; fast where there are more."""
    # Blocked items may repeat or not be on offer, so this is a lower bound, and mostly enough.
    num = num_on_offer(observation.features, observation.tick) - (observation.blocked >= 0).sum(axis=1)
    few = np.flatnonzero(num < up_to)
    if len(few):
        num[few] = observation.take(few).eligible().sum(axis=1)
    return np.minimum(num, up_to)


def num_on_offer(features: FeatureTable, tick: Int[A, " rows"]) -> Int[A, " rows"]:
    """How many items are on offer at each tick."""
    num_released = np.searchsorted(np.sort(features.release), tick, side="right")
    # An item that is withdrawn before it is released never is.
    num_gone = np.searchsorted(np.sort(np.maximum(features.release, features.withdrawal)), tick, side="right")
    return num_released - num_gone


def may_be_shown(observation: Observation, items: Int[A, "rows candidates"]) -> Bool[A, "rows candidates"]:
    """Whether each of the given items is eligible, without asking about all others; what is no item is not."""
    table = observation.features
    known = (items >= 0) & (items < table.num_items)
    item, tick = np.where(known, items, 0), observation.tick[:, None]
    shown = known & (table.release[item] <= tick) & (tick < table.withdrawal[item])
    if (observation.blocked >= 0).any():
        first = (np.arange(len(observation)) * (table.num_items + 1))[:, None]
        # Ascending within a row, and so throughout; the padding comes first.
        blocked = (first + 1 + np.sort(observation.blocked, axis=1)).ravel()
        pairs = first + 1 + item
        place = np.searchsorted(blocked, pairs)
        shown &= np.append(blocked, -1)[place] != pairs
    return shown


def draw_unplaced(uniform: Float[A, " rows"], num: Int[A, " rows"], placed: Int[A, "rows placed"]) -> Int[A, " rows"]:
    """A uniformly random number below `num` that is not among the distinct numbers `placed`.

    One uniform in steps of 2^-23 chooses it, so its probability is 1/(num - placed) up to one part in 2^23/num.
    """
    num_placed = placed.shape[1]
    # In float64: a float32 product could round up to the bound itself.
    number = (uniform.astype(np.float64) * (num - num_placed)).astype(np.int64)
    # The i-th smallest placed number p has p - i free numbers below it; all with p - i <= number come before.
    gaps = np.sort(placed, axis=1) - np.arange(num_placed)
    return number + (gaps <= number[:, None]).sum(axis=1)


def can_stand(numbers: Int[A, "rows slots"]) -> Bool[A, "rows slots"]:
    """Whether each slot can hold its item: it is eligible (number not -1) and stands in no earlier slot."""
    same = numbers[:, :, None] == numbers[:, None, :]
    return (numbers >= 0) & ~np.tril(same, -1).any(axis=2)
