"""Drawing without replacement in proportion to weights, as a race of exponential clocks; how likely it ends so.

Items that arrive at the rate exp(logit) arrive first, second, ... as in the model of Luce (1959) and Plackett (1975).
Their order is that of logit + Gumbel noise (Kool, van Hoof & Welling, ICML 2019, "Stochastic beams and where to find
them").
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.policy import Observation, top_items
from recsim_lab.probabilities import Probabilities
from recsim_lab.streams import Draws

A = np.ndarray

_PAIRS_AT_ONCE = 2**19
"""Requests x items that are drawn in one piece, which bounds memory and keeps it in the cache."""
_COARSE, _FINE = 0, 1


@dataclass(frozen=True)
class Race:
    """The clocks of each request's eligible items; the logit of others is minus infinity."""

    logits: Float[A, "rows items"]

    @staticmethod
    def of(logits: Float[A, "#rows items"], eligible: Bool[A, "rows items"]) -> "Race":
        return Race(np.where(eligible, logits, -np.inf))

    def has(self, slates: Int[A, "rows slots"]) -> Bool[A, "rows slots"]:
        """Whether each item takes part."""
        return self._logit(slates) != -np.inf

    def draw(self, num_slots: int, draws: Draws) -> Int[A, "rows slots"]:
        """The first items to arrive, in order."""
        eligible = self.logits != -np.inf  # also where it is NaN, which is an error
        return top_items(self.logits + gumbels(draws, self.logits.shape[1]), eligible, num_slots)

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


def gumbels(draws: Draws, num_items: int) -> Float[A, "rows items"]:
    """Standard Gumbel noise, from two uniforms each.

    One uniform has steps of 2^-23. Of 10,000 items of equal logit the first two to arrive would share a step once in
    a thousand requests, of 1,000,000 once in ten, and the lower id win; and no Gumbel could be above 16.6, so that
    rare items were rarer than told. A second uniform says where in its step the first one is: then steps are
    2^-46, the highest Gumbel is 32.6, and of 1,000,000 items two share a step once in 10^8 requests.
    """
    arrival = draws.uniform(_COARSE, num_items).astype(np.float64)
    arrival += (draws.uniform(_FINE, num_items) - np.float32(0.5)) * np.float32(2.0**-23)
    # In place: an exponential clock, earliest where the uniform is smallest and so finest, then minus its log.
    np.negative(np.log1p(np.negative(arrival, out=arrival), out=arrival), out=arrival)
    return np.negative(np.log(arrival, out=arrival), out=arrival)


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
