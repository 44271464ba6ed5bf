"""How likely each item of a race arrives k-th: an integral over the time at which it does.

An item of rate r arrives at t with density r exp(-r t). It is the k-th if k others have arrived before, each by itself,
the j-th with probability 1 - exp(-r_j t): their number has a Poisson-binomial distribution, which a recursion over the
items gives up to k. Over the logarithm of time the integrand is smooth and dies out at both ends, so the plain
trapezoidal rule converges exponentially (Trefethen & Weideman, SIAM Review 2014). Where all rates are alike, its
relative error in the k-th place is twice |Gamma(k + 2 pi i / step)| / Gamma(k): below 3e-9 in the tenth.
"""

import numba
import numpy as np
from jaxtyping import Float, Int

from recsim_lab.compile import compiled, kernel

A = np.ndarray

_STEP = 0.25
"""Up to ten slots; with more slots, whose arrivals are more sharply timed, smaller by the root of their number."""
_EARLY, _LATE = 21.0, 4.0
"""The integral begins where exp(-21) arrivals are to be expected, and ends where the last rate that can still fill a
slot has had exp(4) times its mean waiting time."""
_NEVER = 1e-18
"""Mean waiting times below which nothing has arrived, and nothing slower either."""
_GAP = 40.0
"""Items whose rate is smaller by exp(40) arrive after all others: a race of its own for the slots that are left."""


def arrival_probability(logits: Float[A, "rows items"], slates: Int[A, "rows slots"]) -> Float[A, "rows slots"]:
    """The probability that the item of each slot is the one that arrives in that place.

    `logits` are the logarithms of rates, minus infinity for what takes no part; -1 in slates is no item.

    Raises:
        ValueError: if logits contain NaN.
    """
    if np.isnan(logits).any():
        raise ValueError(f"scores must not be NaN, got {int(np.isnan(logits).sum())} NaN")
    order = np.argsort(-logits, axis=1)
    falling = np.take_along_axis(logits, order, axis=1)
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(logits.shape[1]), order.shape), axis=1)
    known = (slates >= 0) & (slates < logits.shape[1])
    places = np.where(known, np.take_along_axis(place, np.where(known, slates, 0).astype(np.int64), axis=1), -1)
    found = np.zeros(slates.shape)
    _fill(found, falling, places)
    return found


@kernel
def _fill(found, falling, places):  # type: ignore[no-untyped-def]
    num_slots = places.shape[1]
    for row in numba.prange(found.shape[0]):
        num_items = 0
        while num_items < falling.shape[1] and falling[row, num_items] != -np.inf:
            num_items += 1
        start = 0
        while start < min(num_items, num_slots):
            end = start + 1
            while end < num_items and falling[row, end - 1] - falling[row, end] <= _GAP:
                end += 1
            _integrate(found[row], falling[row, start:end] - falling[row, start], places[row], start)
            start = end


@compiled
def _integrate(found, logits, places, start):  # type: ignore[no-untyped-def]
    """Fill in the slots whose items are among these, which race for the slots from `start` on."""
    num_items, num_ranks = len(logits), min(len(places) - start, len(logits))
    asked = np.zeros(num_items, np.bool_)
    for slot in range(start, len(places)):
        if start <= places[slot] < start + num_items:
            asked[places[slot] - start] = True
    some = np.flatnonzero(asked)
    if len(some) == 0:
        return
    first = -np.log(np.exp(logits).sum()) - _EARLY
    last = _LATE - logits[num_ranks - 1]
    before, others = np.empty(num_ranks), np.empty(num_ranks)
    step = _STEP / max(1.0, np.sqrt(num_ranks / 10))
    due, growth = np.exp(logits + first), np.exp(step)
    for _ in range(int(np.ceil((last - first) / step)) + 1):
        before[:] = 0.0
        before[0] = 1.0
        for item in range(num_items):
            if due[item] < _NEVER:
                break
            if not asked[item]:
                _one_more(before, due[item])
        for racer in some:
            density = step * due[racer] * np.exp(-due[racer])
            if density == 0.0:
                continue
            others[:] = before
            for other in some:
                if other != racer:
                    _one_more(others, due[other])
            for rank in range(num_ranks):
                if places[start + rank] == start + racer:
                    found[start + rank] += density * others[rank]
        due *= growth


@compiled
def _one_more(chance, due):  # type: ignore[no-untyped-def]
    """The chances of 0, 1, ... arrivals once an item takes part that is `due` mean waiting times by now."""
    there = -np.expm1(-due)
    for count in range(len(chance) - 1, 0, -1):
        chance[count] += there * (chance[count - 1] - chance[count])
    chance[0] *= 1 - there
