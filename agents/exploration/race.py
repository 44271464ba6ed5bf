"""Drawing without replacement in proportion to weights, as a race of exponential clocks; how likely it ends so.

Items that arrive at the rate exp(logit) arrive first, second, ... as in the model of Luce (1959) and Plackett (1975).
Clocks have no memory, so the next to arrive is drawn in proportion to the rates of what is left.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int32

from recsim_lab.compile import compiled, kernel
from recsim_lab.policy import Observation
from recsim_lab.probabilities import Probabilities
from recsim_lab.streams import Draws

A = np.ndarray

_PAIRS_AT_ONCE = 2**19
"""Requests x items that are drawn in one piece, which bounds memory and keeps it in the cache."""
_COARSE, _FINE = 0, 1
_BLOCK = 64
"""Items whose total rate is looked at before their own."""
_FAINT = 1e-200
"""Total rates below this share of the highest are counted anew, against the highest of what is left."""


@dataclass(frozen=True)
class Race:
    """The clocks of each request's eligible items; the logit of others is minus infinity."""

    logits: Float64[A, "rows items"]

    @staticmethod
    def of(logits: Float[A, "#rows items"], eligible: Bool[A, "rows items"]) -> "Race":
        return Race(np.where(eligible, logits.astype(np.float64), -np.inf))

    def has(self, slates: Int[A, "rows slots"]) -> Bool[A, "rows slots"]:
        """Whether each item takes part."""
        return self._logit(slates) != -np.inf

    def draw(self, num_slots: int, draws: Draws) -> tuple[Int32[A, "rows slots"], Float64[A, "rows slots"]]:
        """The first items to arrive, in order, and how likely each was to be the next.

        Raises:
            ValueError: if logits contain NaN.
        """
        highest = self.logits.max(axis=1, keepdims=True)
        if (missing := np.isnan(highest)).any():
            raise ValueError(f"scores must not be NaN, got NaN for {int(missing.sum())} of {len(missing)} requests")
        items = np.empty((len(highest), num_slots), np.int32)
        chance = np.empty(items.shape)
        _draw(np.exp(self.logits - highest), self.logits, fine_uniform(draws, num_slots), items, chance)
        return items, chance

    def next_probability(
        self, slates: Int[A, "rows slots"], placed: Int[A, "rows slots"] | None = None
    ) -> Float[A, "rows slots"]:
        """The probability that the next to arrive is the item of each slot, once the slots before hold `placed`
        (None: the slates themselves)."""
        mine, placed = self._logit(slates), slates if placed is None else placed
        before = np.tril(slates[:, :, None] == placed[:, None, :], -1).any(axis=2)
        possible = (mine != -np.inf) & ~before
        with np.errstate(invalid="ignore"):
            return np.where(possible, np.exp(mine - self._left(placed)), 0.0)

    def _logit(self, slates: Int[A, "rows slots"]) -> Float[A, "rows slots"]:
        known = (slates >= 0) & (slates < self.logits.shape[1])
        logit = np.take_along_axis(self.logits, np.where(known, slates, 0).astype(np.int64), axis=1)
        return np.where(known, logit, -np.inf)

    def _left(self, placed: Int[A, "rows slots"]) -> Float[A, "rows slots"]:
        """The log of the total rate of all that the slots before do not hold.

        A sum of what is left, never a difference: where the first takes nearly all, that would leave nothing.
        """
        first = ~np.tril(placed[:, :, None] == placed[:, None, :], -1).any(axis=2)
        mine = np.where(first, self._logit(placed), -np.inf)
        row, slot = np.nonzero(mine != -np.inf)
        others = self.logits.copy()
        others[row, placed[row, slot]] = -np.inf
        highest = np.maximum(others.max(axis=1), np.finfo(np.float64).min)
        with np.errstate(divide="ignore"):
            rest = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
        backwards = np.concatenate([rest[:, None], mine[:, ::-1]], axis=1)
        return np.logaddexp.accumulate(backwards, axis=1)[:, :0:-1]


@kernel
def _draw(rates, logits, luck, items, chance):  # type: ignore[no-untyped-def]
    num_blocks = (rates.shape[1] + _BLOCK - 1) // _BLOCK
    for row in numba.prange(len(rates)):
        rate, totals = rates[row], np.empty(num_blocks)
        _add_up(rate, totals)
        for slot in range(luck.shape[1]):
            left = totals.sum()
            if left < _FAINT:
                _count_anew(rate, logits[row], items[row, :slot])
                _add_up(rate, totals)
                left = totals.sum()
            item = _arriving(rate, totals, luck[row, slot] * left)
            items[row, slot], chance[row, slot] = item, rate[item] / left
            rate[item] = 0.0
            # A sum of what is left, never a difference: where the first takes nearly all, that would leave nothing.
            block = item // _BLOCK
            totals[block] = rate[block * _BLOCK : (block + 1) * _BLOCK].sum()


@compiled
def _add_up(rate, totals):  # type: ignore[no-untyped-def]
    for block in range(len(totals)):
        totals[block] = rate[block * _BLOCK : (block + 1) * _BLOCK].sum()


@compiled
def _count_anew(rate, logits, gone):  # type: ignore[no-untyped-def]
    left = logits.copy()
    left[gone] = -np.inf
    rate[:] = np.exp(left - left.max())


@compiled
def _arriving(rate, totals, luck):  # type: ignore[no-untyped-def]
    """The item in whose part of the total rate `luck` falls; the last that is left where rounding put it beyond."""
    some, rest, item = 0, luck, 0
    for block in range(len(totals)):
        if totals[block] > 0.0:
            some, rest = block, luck
            if luck < totals[block]:
                break
            luck -= totals[block]
    for place in range(some * _BLOCK, min((some + 1) * _BLOCK, len(rate))):
        if rate[place] > 0.0:
            item = place
            if rest < rate[place]:
                break
            rest -= rate[place]
    return item


def fine_uniform(draws: Draws, num_lanes: int) -> Float64[A, "rows lanes"]:
    """Uniform on (0, 1) in steps of 2^-46, from two uniforms each: with steps of 2^-23, what has a chance of one in ten
    millions would never come."""
    coarse = draws.uniform(_COARSE, num_lanes).astype(np.float64)
    return coarse + (draws.uniform(_FINE, num_lanes) - np.float32(0.5)) * np.float32(2.0**-23)


def only_first(prefix: Float[A, "rows slots"]) -> Float[A, "rows slots"]:
    """The marginals that prefixes tell: those of the first slot."""
    marginal = np.full(prefix.shape, np.nan)
    marginal[:, :1] = prefix[:, :1]
    return marginal


def later_redrawn(
    prefix: Float[A, "rows slots"], redrawn: Probabilities, possible: Bool[A, "rows slots"]
) -> Probabilities:
    """Exact prefixes, and marginals that are exact in the first slot and redrawn in the others, 0 where an item is
    not possible."""
    marginal, error = (np.where(possible, values, np.float32(0)) for values in (redrawn.marginal, redrawn.error))
    marginal[:, :1], error[:, :1] = prefix[:, :1], 0.0
    return Probabilities(marginal, prefix, error, np.zeros_like(error))


def in_pieces(num_rows: int, num_items: int) -> list[slice]:
    """Pieces of a batch of requests, each small enough to be drawn at once; one at least."""
    size = max(1, _PAIRS_AT_ONCE // max(num_items, 1))
    return [slice(start, start + size) for start in range(0, max(num_rows, 1), size)]


def told_in_pieces(
    observation: Observation,
    slates: Int[A, "rows slots"],
    tell: Callable[[Observation, Int[A, "piece slots"], slice], Probabilities],
) -> Probabilities:
    """What `tell` says of some of the requests at a time, put together."""
    pieces = in_pieces(len(observation), observation.features.num_items)
    told = [tell(observation.take(rows), slates[rows], rows) for rows in pieces]
    names = ("marginal", "prefix", "error", "prefix_error")
    return Probabilities(*(np.concatenate([getattr(part, name) for part in told]) for name in names))
