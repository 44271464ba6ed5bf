"""How likely a policy was to show a slate: known exactly, or estimated from its answers under other luck."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.streams import Draws, draws_of

if TYPE_CHECKING:
    from recsim_lab.policy import Observation, Recommendation

A = np.ndarray

NUM_REDRAWS = 1000
"""Answers under other luck from which a probability is estimated, unless another number is asked for."""
MOST_RELATIVE_ERROR = 0.1
"""An estimate whose standard error is a larger share of it is no estimate: NaN."""
MOST_PAIRED_ITEMS = 50


@dataclass(frozen=True)
class Probabilities:
    """How likely a policy is to show given slates.

    `marginal[r, k]` is the probability that this item stands in slot k, `prefix[r, k]` that slots 0 to k hold exactly
    these items. `error` and `prefix_error` are the standard errors of estimates: 0 where the value is exact. What
    cannot be had, or only with an error above a tenth of it, is NaN.
    """

    marginal: Float[A, "rows slots"]
    prefix: Float[A, "rows slots"]
    error: Float[A, "rows slots"]
    prefix_error: Float[A, "rows slots"]

    @property
    def exact(self) -> Bool[A, "rows slots"]:
        """Whether both values of the slot are known and exact."""
        known = ~np.isnan(self.marginal) & ~np.isnan(self.prefix)
        return known & (self.error == 0) & (self.prefix_error == 0)


def exactly(marginal: Float[A, "rows slots"], prefix: Float[A, "rows slots"]) -> Probabilities:
    """Probabilities without error, NaN where they are NaN."""
    nothing = np.zeros(marginal.shape, np.float32)
    return Probabilities(marginal.astype(np.float32), prefix.astype(np.float64), nothing, nothing)


def certain(chosen: Int[A, "rows slots"], slates: Int[A, "rows slots"]) -> Probabilities:
    """Probabilities of `slates` under a policy that shows `chosen` with certainty."""
    same = chosen == slates
    return exactly(same.astype(np.float32), np.logical_and.accumulate(same, axis=1).astype(np.float64))


def mixture(parts: list[Probabilities], weights: Float[A, "rows parts"]) -> Probabilities:
    """Those of a policy that answers a request with one of several, each with its weight in the request's row.

    A part of weight 0 counts for nothing, even where it is NaN. Errors add up as if they were all of one sign, since
    parts that are redrawn with the same luck err together.
    """

    def total(name: str) -> Float[A, "rows slots"]:
        values = np.stack([getattr(part, name) for part in parts], axis=1).astype(np.float64)
        by_part = weights[:, :, None].astype(np.float64)
        with np.errstate(invalid="ignore"):
            return np.where(by_part > 0, by_part * values, 0.0).sum(axis=1)

    return Probabilities(
        total("marginal").astype(np.float32),
        total("prefix"),
        total("error").astype(np.float32),
        total("prefix_error").astype(np.float32),
    )


def redraw(observation: "Observation", number: int) -> Draws:
    """The luck of a request's `number`-th redraw, which no request is ever served with."""
    draws = draws_of(number, observation.user)
    return Draws(draws.seed, draws.user, observation.session, observation.step).fork("redraw")


def over_redraws(
    given: Callable[[Draws], Probabilities], observation: "Observation", num_redraws: int = NUM_REDRAWS
) -> Probabilities:
    """The mean of `given(draws)` over redraws: exact probabilities given the part of the luck that `draws` decides.

    The less that part decides, the smaller the error (Rao & Blackwell). Where all redraws agree on a value between 0
    and 1 it is exact; where all say 1, the error is one redraw's share.

    Raises:
        ValueError: if `num_redraws` is below 2.
    """
    if num_redraws < 2:
        raise ValueError(f"num_redraws must be at least 2, got {num_redraws}")
    marginal, prefix = _Mean(), _Mean()
    for number in range(num_redraws):
        told = given(redraw(observation, number))
        marginal.add(told.marginal)
        prefix.add(told.prefix)
    return Probabilities(
        *(told.astype(kind) for told, kind in ((marginal.value(), np.float32), (prefix.value(), np.float64))),
        *(told.astype(np.float32) for told in (marginal.error(), prefix.error())),
    )


def given_answers(
    answer: Callable[[Draws], "Recommendation"],
    given: Callable[["Recommendation"], Probabilities],
    observation: "Observation",
    num_redraws: int = NUM_REDRAWS,
) -> Probabilities:
    """Those of a policy that makes its slate of another one's `answer`: what `given` one answer is known exactly.

    Exact in rows whose answer is certain, else the mean over redraws of it.
    """
    first = answer(redraw(observation, 0))
    sure = is_certain(first)
    if sure.all():
        return given(first)
    return exact_where(sure, given(first), over_redraws(lambda draws: given(answer(draws)), observation, num_redraws))


def exact_where(sure: Bool[A, " rows"], exact: Probabilities, redrawn: Probabilities) -> Probabilities:
    """In each row what is exact, where that is sure, else what was redrawn, whatever other rows are."""
    names = ("marginal", "prefix", "error", "prefix_error")
    pairs = ((getattr(exact, name), getattr(redrawn, name)) for name in names)
    return Probabilities(*(np.where(sure[:, None], one, other).astype(other.dtype) for one, other in pairs))


def is_certain(answer: "Recommendation") -> Bool[A, " rows"]:
    """Whether nothing else could have been answered."""
    return (answer.prefix_propensity == 1).all(axis=1)


class _Mean:
    """The mean of what was added, and its standard error (Welford's recurrence)."""

    def __init__(self) -> None:
        self.num = 0

    def add(self, values: A) -> None:
        values = values.astype(np.float64)
        if self.num == 0:
            self.mean, self.squares = np.zeros_like(values), np.zeros_like(values)
        self.num += 1
        change = values - self.mean
        self.mean += change / self.num
        self.squares += change * (values - self.mean)

    def _spread(self) -> A:
        spread = np.sqrt(self.squares / (self.num - 1) / self.num)
        # Rounding leaves a trace where all values are equal.
        spread = np.where(spread > 1e-9 * self.mean, spread, 0.0)
        return np.where((spread == 0) & (self.mean == 1), 1 / self.num, spread)

    def _unsure(self) -> A:
        """What was never possible may still be so, and is not known either."""
        return (self._spread() > MOST_RELATIVE_ERROR * self.mean) | (self.mean == 0)

    def value(self) -> A:
        return np.where(self._unsure(), np.nan, self.mean)

    def error(self) -> A:
        return np.where(self._unsure(), np.nan, self._spread())


@dataclass(frozen=True)
class PairProbabilities:
    """How likely two slots hold two items at once.

    `value[r, k * candidates + a, l * candidates + b]` is the probability that slot k holds `candidates[r, a]` and
    slot l holds `candidates[r, b]`; its diagonal are the marginals. `error` is its standard error, 0 where exact.
    Estimators sum over the whole matrix, so what is rare stays with its error here and is not NaN.
    """

    candidates: Int[A, "rows candidates"]
    value: Float[A, "rows cells cells"]
    error: Float[A, "rows cells cells"]


def pairs_of_slates(slates: Int[A, "redraws rows slots"], candidates: Int[A, "rows candidates"]) -> PairProbabilities:
    """As often as they stood together in equally likely slates; a single slate is certain.

    What none of several slates held has the error of what one of them did, unless it is impossible: two items in one
    slot, or one item in two.
    """
    shown = slates.transpose(1, 0, 2)[:, :, :, None] == candidates[:, None, None, :]
    cells = shown.reshape(*shown.shape[:2], slates.shape[2] * candidates.shape[1]).astype(np.float32)
    num = len(slates)
    value = cells.transpose(0, 2, 1) @ cells / np.float32(num)
    if num == 1:
        return PairProbabilities(candidates, value, np.zeros_like(value))
    slot, place = np.divmod(np.arange(cells.shape[2]), candidates.shape[1])
    possible = (slot[:, None] == slot) == (place[:, None] == place)
    least = np.clip(value, 1 / num, 1 - 1 / num)
    error = possible * np.sqrt(least * (1 - least) / (num - 1))
    return PairProbabilities(candidates, value, error.astype(np.float32))


def check_pairs(candidates: Int[A, "rows candidates"]) -> None:
    """Raise ValueError where there are too many candidates for a matrix of pairs, or one is there twice."""
    if candidates.shape[1] > MOST_PAIRED_ITEMS:
        raise ValueError(f"candidates must be at most {MOST_PAIRED_ITEMS}, got {candidates.shape[1]}")
    ordered = np.sort(candidates, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise ValueError("candidates of a request must be distinct")
