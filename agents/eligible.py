"""Drawing slates at random: the eligible items of each request, numbered, so that a slot costs one random number."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.policy import Observation, check_slots

A = np.ndarray


@dataclass(frozen=True)
class EligibleItems:
    """The eligible items of each request in order of their id, numbered from 0 to `num - 1`.

    Requests share the lists of what is on offer, and each has its blocked places in its list: nothing is listed for
    every request and item.
    """

    listed: Int[A, " listed"]
    """`list * num_items + item` of all items of each list, ascending."""
    place: Int[A, " pairs"]
    """Where `list * num_items + item` is listed, and -1 where it is not, in the end for no item."""
    of_list: Int[A, " rows"]
    start: Int[A, " rows"]
    """Where each request's list begins."""
    blocked: Int[A, "rows blocked"]
    """Distinct places of each request's list, ascending, then `num_items`."""
    num: Int[A, " rows"]
    num_items: int

    def item(self, number: Int[A, "rows slots"]) -> Int[A, "rows slots"]:
        """The item of each number."""
        # The i-th blocked place p has p - i eligible ones before it; all with p - i <= number come before.
        there = self.blocked < self.num_items
        gaps = np.where(there, self.blocked - np.arange(self.blocked.shape[1]), self.num_items)
        place = number + self._num_below(gaps, number + 1)
        return (self.listed[self.start[:, None] + place] % self.num_items).astype(np.int32)

    def number(self, items: Int[A, "rows slots"]) -> Int[A, "rows slots"]:
        """The number of each item; -1 for those that are not eligible."""
        found = _places(self.place, self.of_list, items, self.num_items)
        known = found >= 0
        place = np.where(known, found - self.start[:, None], 0)
        before, up_to = self._num_below(self.blocked, place), self._num_below(self.blocked, place + 1)
        return np.where(known & (before == up_to), place - before, -1)

    def _num_below(self, ascending: Int[A, "rows blocked"], bound: Int[A, "rows slots"]) -> Int[A, "rows slots"]:
        """How many numbers of the row are below each bound, all of them from 0 to `num_items`."""
        num_blocked = ascending.shape[1]
        rows = np.arange(len(ascending))[:, None]
        first = rows * (self.num_items + 1)
        return np.searchsorted((first + ascending).ravel(), first + bound) - rows * num_blocked


def eligible_items(observation: Observation, num_slots: int) -> EligibleItems:
    """The eligible items of each request.

    Raises:
        ValueError: if a request has fewer than `num_slots` of them.
    """
    table, num_items = observation.features, observation.features.num_items
    # What is on offer is the same between one change of the catalogue and the next.
    _, first, of_list = np.unique(
        np.searchsorted(table.changes, observation.tick, side="right"), return_index=True, return_inverse=True
    )
    on_offer = table.on_offer(observation.tick[first])
    listed = np.flatnonzero(on_offer)
    num_listed = on_offer.sum(axis=1)
    start = (np.cumsum(num_listed) - num_listed)[of_list]

    place = np.full(on_offer.size + 1, -1, np.int64)
    place[listed] = np.arange(len(listed))
    found = _places(place, of_list, observation.blocked, num_items)
    blocked = np.sort(np.where(found >= 0, found - start[:, None], num_items), axis=1)
    blocked[:, 1:][blocked[:, 1:] == blocked[:, :-1]] = num_items
    blocked.sort(axis=1)
    num = num_listed[of_list] - (blocked < num_items).sum(axis=1)
    if len(num) and num.min() < num_slots:
        check_slots(observation.take(slice(row := int(num.argmin()), row + 1)).eligible(), num_slots)
    return EligibleItems(listed, place, of_list, start, blocked, num, num_items)


def _places(
    place: Int[A, " pairs"], of_list: Int[A, " rows"], items: Int[A, "rows columns"], num_items: int
) -> Int[A, "rows columns"]:
    """The place of each item in its row's list, -1 for what is not listed there or is no item."""
    pairs = of_list[:, None] * num_items + items
    return place[np.where((items >= 0) & (items < num_items), pairs, -1)]


def num_eligible(observation: Observation, up_to: int) -> Int[A, " rows"]:
    """How many eligible items each request has, counted up to `up_to`; fast where there are more."""
    # Blocked items may repeat or not be on offer, so this is a lower bound, and mostly enough.
    num = observation.features.num_on_offer(observation.tick) - (observation.blocked >= 0).sum(axis=1)
    few = np.flatnonzero(num < up_to)
    if len(few):
        num[few] = observation.take(few).eligible().sum(axis=1)
    return np.minimum(num, up_to)


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
