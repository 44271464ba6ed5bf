"""How likely each slot is to be looked at, over the best one, from the clicks of a log.

In the position-based model, P(click) = examination of the slot x relevance of the item to the user, click rates of
slots tell examination only where the same items stand in all of them. Three ways to get there: slates that were random
(`by_rates`), slates whose randomness is known (`by_propensities`), and items that happened to stand in several slots
(`by_repeats`).
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.propensities import MOST_WEIGHT, inverse_propensities

A = np.ndarray

MOST_SLOT_WEIGHT = 10.0
"""No click counts more than this many times one in the best slot, unless another bound is given."""
_MOST_ITERATIONS, _TOLERANCE = 5000, 1e-9


@final
@dataclass(frozen=True)
class Examination:
    """The chance that each slot is looked at, over that of the best slot: the one of the highest estimate, which has 1.

    `error` is the standard error of the log of `relative`, in which users are the independent units: 0 for the best
    slot, NaN where the log cannot tell.
    """

    relative: Float[A, " slots"]
    error: Float[A, " slots"]

    def interval(self, level: float = 0.95) -> tuple[Float[A, " slots"], Float[A, " slots"]]:
        """The ends of confidence intervals of `relative`, normal on the log scale, given which slot is the best."""
        if not 0 < level < 1:
            raise ValueError(f"level must be in (0, 1), got {level}")
        margin = NormalDist().inv_cdf((1 + level) / 2) * self.error
        return self.relative * np.exp(-margin), self.relative * np.exp(margin)

    def weights(self, most_weight: float = MOST_SLOT_WEIGHT) -> Float[A, " slots"]:
        """How much a click counts in each slot, so that all slots are as one: 1 / `relative`, at most `most_weight`."""
        return 1 / np.maximum(self.relative, 1 / most_weight)


def by_rates(log: InteractionLog) -> Examination:
    """Click rates of slots over that of the best, which is right where slates were random.

    Where a policy puts its best items first, their quality is taken for examination.
    """
    return _of_rates(log, np.ones(log.slate.shape))


def by_propensities(log: InteractionLog, most_weight: float = MOST_WEIGHT) -> Examination:
    """Click rates of slots in which each impression counts 1 / propensity, bounded as in `inverse_propensities`.

    Right for any policy that may show each item in each slot, as far as the bound is not met. Random slates count
    alike, which gives `by_rates`.

    Raises:
        ValueError: if a propensity is not known.
    """
    return _of_rates(log, inverse_propensities(log, whole=False, most_weight=most_weight))


def by_repeats(log: InteractionLog, of: Literal["pairs", "items"] = "pairs") -> Examination:
    """Clicks of the same user on the same item in one slot against another (`of="items"`: of all users on the item).

    Needs no propensities and no random slates, only that the same pair met in several slots for reasons that have
    nothing to do with how much the user liked the item *then*: rankers that alternate, that are retrained on other
    users' clicks, that explore. It errs where items rise because the user has just clicked them. With `of="items"`,
    which needs less repetition, all users must be alike to the ranker too.

    Harvests these interventions as Agarwal et al. (WSDM 2019), by another likelihood: with clicks of pair g in slot k
    expected to be n_gk relevance_g examination_k, a Poisson regression with a free relevance for each pair, conditional
    on the pair's clicks (Wooldridge, Journal of Econometrics 1999: right whatever the distribution, if these means
    are). No model of relevance is needed, and none can be wrong. Solved by the iteration of Hunter (Annals of
    Statistics 2004), which never lowers the likelihood.

    Raises:
        ValueError: if some slots hold no clicked pair (item) that others hold too.
    """
    if of not in ("pairs", "items"):
        raise ValueError(f"of must be 'pairs' or 'items', got {of!r}")
    if not log.clicks.any():
        return _unknown(log.num_slots)
    item = log.slate.astype(np.int64)
    key = item if of == "items" else log.user[:, None] * np.int64(log.features.num_items) + item
    groups, group = np.unique(key, return_inverse=True)
    cell = group.reshape(item.shape) * log.num_slots + np.arange(log.num_slots)
    there = item >= 0  # not hidden
    shape = (len(groups), log.num_slots)
    shown = np.bincount(cell[there], minlength=len(groups) * log.num_slots).reshape(shape).astype(np.float64)
    clicks = np.bincount(cell[log.clicks], minlength=len(groups) * log.num_slots).reshape(shape).astype(np.float64)
    tells = clicks.any(axis=1) & ((shown > 0).sum(axis=1) > 1)
    shown, clicks = shown[tells], clicks[tells]
    _check_linked(shown > 0, of)
    strength = _fitted(shown, clicks)
    unit = groups[tells] if of == "items" else groups[tells] // log.features.num_items
    return _with_errors(shown, clicks, strength, unit)


def examine(
    log: InteractionLog, by: Literal["rates", "propensities", "repeats"], most_weight: float = MOST_WEIGHT
) -> Examination:
    """The estimate by one of the three ways; `most_weight` bounds inverse propensities where they are used."""
    if by == "propensities":
        return by_propensities(log, most_weight)
    return by_rates(log) if by == "rates" else by_repeats(log)


def _of_rates(log: InteractionLog, weights: Float[A, "rows slots"]) -> Examination:
    weights = weights * (log.slate >= 0)  # hidden slots tell nothing
    clicked, shown = (weights * log.clicks).sum(axis=0), weights.sum(axis=0)
    if not clicked.any():
        return _unknown(log.num_slots)
    rate = clicked / np.maximum(shown, np.finfo(np.float64).tiny)
    best = int(rate.argmax())
    # How much each impression moves the log of its slot's rate.
    influence = weights * (log.clicks - rate) / np.where(clicked > 0, clicked, np.nan)
    error = np.sqrt((_sums(influence - influence[:, [best]], log.user) ** 2).sum(axis=0))
    return Examination(rate / rate[best], error)


def _fitted(shown: Float[A, "groups slots"], clicks: Float[A, "groups slots"]) -> Float[A, " slots"]:
    """The examination of slots, up to a factor, that makes the clicks of each group likeliest given their number."""
    total, of_slot = clicks.sum(axis=1), clicks.sum(axis=0)
    strength = np.where(of_slot > 0, 1.0, 0.0)
    for _ in range(_MOST_ITERATIONS):
        new = of_slot / (shown.T @ (total / (shown @ strength)))
        new /= new.max()
        change = np.abs(new - strength).max()
        strength = new
        if change < _TOLERANCE:
            break
    return strength


def _with_errors(
    shown: Float[A, "groups slots"],
    clicks: Float[A, "groups slots"],
    strength: Float[A, " slots"],
    unit: Int[A, " groups"],
) -> Examination:
    """Standard errors that hold however clicks of one unit depend on each other."""
    total, share = clicks.sum(axis=1), shown * strength
    share /= share.sum(axis=1, keepdims=True)
    information = np.diag(total @ share) - (share * total[:, None]).T @ share
    forces = _sums(clicks - total[:, None] * share, unit)
    # Only ratios are told: the common factor has no information, and no force.
    spread = np.linalg.pinv(information, hermitian=True) @ forces.T
    best = int(strength.argmax())
    error = np.sqrt(((spread - spread[best]) ** 2).sum(axis=1))
    return Examination(strength, np.where(strength > 0, error, np.nan))


def _sums(values: Float[A, "rows slots"], unit: Int[A, " rows"]) -> Float[A, "units slots"]:
    """The sum of the rows of each unit."""
    units, place = np.unique(unit, return_inverse=True)
    total = np.zeros((len(units), values.shape[1]))
    np.add.at(total, place, values)
    return total


def _check_linked(stood: Bool[A, "groups slots"], of: str) -> None:
    """Raise ValueError where the slots fall into parts that no group links."""
    num_slots = stood.shape[1]
    together = (stood.T.astype(np.float64) @ stood.astype(np.float64)) > 0
    reached = np.arange(num_slots) == 0
    for _ in range(num_slots):
        reached = reached | together[reached].any(axis=0)
    if not reached.all():
        raise ValueError(
            f"slots must be linked by clicked {of} that stood in several of them, got none between slots "
            f"{np.flatnonzero(reached).tolist()} and {np.flatnonzero(~reached).tolist()}"
        )


def _unknown(num_slots: int) -> Examination:
    """What a log without clicks tells: nothing, so that all slots count alike."""
    return Examination(np.ones(num_slots), np.full(num_slots, np.nan))
