"""How much likelier the target is to show what was logged: of a slot alone, with the slots above, or the whole slate.

Each weighting is right under an assumption on how clicks depend on the slate. `Independent`: a click on a slot depends
on its item alone (IIPS; Li et al., KDD 2018). `Cascade`: on its item and those above (RIPS; McInerney et al., KDD
2020). `WholeSlate`: on anything in the slate. `Additive`: the reward of the slate is a sum over slots of what each item
is worth there (PI; Swaminathan et al., NeurIPS 2017). `Grouped`: on the groups of items rather than on the items
(MIPS; Saito & Joachims, ICML 2022). The less is assumed, the larger the weights.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float

from recsim_lab.evaluation.off_policy.estimate import mean_and_error, quantile
from recsim_lab.evaluation.off_policy.logged import LoggedSlates, Support
from recsim_lab.evaluation.statistics import Interval
from recsim_lab.probabilities import Probabilities

A = np.ndarray


@dataclass(frozen=True)
class Weights:
    """The weight of each slot, and its standard error (None: exact)."""

    value: Float[A, "rows slots"]
    error: Float[A, "rows slots"] | None = None


class Weighting(ABC):
    """Weights of logged slots under one assumption on users."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The assumption, in a word."""

    @abstractmethod
    def missing(self, logged: LoggedSlates) -> str:
        """What the weights need and do not have, in words; empty if nothing is missing."""

    @abstractmethod
    def weights(self, logged: LoggedSlates) -> Weights:
        """The weights, whose mean over logged rows is 1 where logging shows all that the target may."""

    @abstractmethod
    def known_support(self, logged: LoggedSlates) -> Interval | None:
        """What is known of the target's mass that logging never shows."""

    @final
    def unsupported(self, logged: LoggedSlates) -> tuple[Interval, bool]:
        """What is known of it and true, or what the mean weight says of it and false.

        The mean weight is 1 less that share in expectation; the interval is one of 99.9%, so that luck alone seldom
        looks like a lack of support.
        """
        known = self.known_support(logged)
        return (self._bound(logged), False) if known is None else (known, True)

    def _bound(self, logged: LoggedSlates) -> Interval:
        missing, error = mean_and_error(1 - self.weights(logged).value.mean(axis=1), logged)
        margin = quantile(logged.num_clusters, 0.999) * error if logged.num_clusters > 1 else np.inf
        low, high = (float(np.clip(missing + sign * margin, 0, 1)) for sign in (-1, 1))
        return Interval(float(np.clip(missing, 0, 1)), low, high)


Side = Literal["marginal", "prefix"]


def _missing(logging: Probabilities, target: Probabilities, side: Side, last: bool = False) -> str:
    slots = slice(-1, None) if last else slice(None)
    for whose, told in (("the logging policy's", logging), ("the target's", target)):
        values = getattr(told, side)[:, slots]
        if np.isnan(values.sum()) and (unknown := np.isnan(values).any(axis=1)).any():
            return f"{whose} {side} probabilities are not known in {unknown.sum()} of {len(unknown)} rows"
    if (impossible := (getattr(logging, side)[:, slots] <= 0).any(axis=1)).any():
        return f"the logging policy calls {impossible.sum()} of {len(impossible)} logged slates impossible"
    return ""


def _ratio(logging: Probabilities, target: Probabilities, side: Side, last: bool = False) -> Weights:
    slots = slice(-1, None) if last else slice(None)
    given = getattr(logging, side)[:, slots].astype(np.float64)
    value = getattr(target, side)[:, slots] / given
    name = "error" if side == "marginal" else "prefix_error"
    mine, theirs = (getattr(told, name)[:, slots] for told in (target, logging))
    if not (mine.any() or theirs.any()):
        return Weights(value)
    # To first order, of two estimates that err independently.
    return Weights(value, np.hypot(mine / given, value * (theirs / given)))


def _of_slates(support: Support | None, side: Side) -> Interval | None:
    return None if support is None else getattr(support, side)


@final
@dataclass(frozen=True)
class Independent(Weighting):
    """The marginal probability that a slot holds its item, under the target over that under logging."""

    @property
    def name(self) -> str:
        return "independent"

    def missing(self, logged: LoggedSlates) -> str:
        return _missing(logged.logging, logged.target, "marginal")

    def weights(self, logged: LoggedSlates) -> Weights:
        return _ratio(logged.logging, logged.target, "marginal")

    def known_support(self, logged: LoggedSlates) -> Interval | None:
        return _of_slates(logged.support, "marginal")


@final
@dataclass(frozen=True)
class Cascade(Weighting):
    """The probability of the slate down to the slot, under the target over that under logging."""

    @property
    def name(self) -> str:
        return "cascade"

    def missing(self, logged: LoggedSlates) -> str:
        return _missing(logged.logging, logged.target, "prefix")

    def weights(self, logged: LoggedSlates) -> Weights:
        return _ratio(logged.logging, logged.target, "prefix")

    def known_support(self, logged: LoggedSlates) -> Interval | None:
        return _of_slates(logged.support, "prefix")


@final
@dataclass(frozen=True)
class WholeSlate(Weighting):
    """The probability of the whole slate, under the target over that under logging: the same for every slot."""

    @property
    def name(self) -> str:
        return "slate"

    def missing(self, logged: LoggedSlates) -> str:
        return _missing(logged.logging, logged.target, "prefix", last=True)

    def weights(self, logged: LoggedSlates) -> Weights:
        weights = _ratio(logged.logging, logged.target, "prefix", last=True)
        return _for_all_slots(weights.value, weights.error, logged)

    def known_support(self, logged: LoggedSlates) -> Interval | None:
        return _of_slates(logged.support, "prefix")


@final
@dataclass(frozen=True)
class Additive(Weighting):
    """The pseudo-inverse weight of the slate (`pseudo_inverse.py`): the same for every slot."""

    @property
    def name(self) -> str:
        return "additive"

    def missing(self, logged: LoggedSlates) -> str:
        if logged.additive is None:
            return logged.without("additive")
        unknown = np.isnan(logged.additive.value)
        return f"weights are not known in {unknown.sum()} of {len(unknown)} rows" if unknown.any() else ""

    def weights(self, logged: LoggedSlates) -> Weights:
        assert logged.additive is not None
        value, error = (array[:, None] for array in (logged.additive.value, logged.additive.error))
        return _for_all_slots(value, error if error.any() else None, logged)

    def known_support(self, logged: LoggedSlates) -> Interval | None:
        known = _of_slates(logged.support, "marginal")
        outside = float(logged.additive.outside.mean()) if logged.additive is not None else 0.0
        if known is None:
            # The mean weight cannot tell: what lies outside has weight 0 whatever is shown.
            return Interval(outside, outside, outside)
        return Interval(*(max(share, outside) for share in (known.estimate, known.low, known.high)))


@final
@dataclass(frozen=True)
class Grouped(Weighting):
    """As `Independent` (or `Cascade`, with `cascade`), but of the group of the item in place of the item."""

    cascade: bool = False

    @property
    def name(self) -> str:
        return "grouped-cascade" if self.cascade else "grouped"

    @property
    def _side(self) -> Side:
        return "prefix" if self.cascade else "marginal"

    def missing(self, logged: LoggedSlates) -> str:
        if logged.groups is None:
            return logged.without("groups")
        return _missing(logged.groups.logging, logged.groups.target, self._side)

    def weights(self, logged: LoggedSlates) -> Weights:
        assert logged.groups is not None
        return _ratio(logged.groups.logging, logged.groups.target, self._side)

    def known_support(self, logged: LoggedSlates) -> Interval | None:
        return _of_slates(logged.groups.support if logged.groups else None, self._side)


def _for_all_slots(value: Float[A, "rows 1"], error: Float[A, "rows 1"] | None, logged: LoggedSlates) -> Weights:
    shape = (len(logged), logged.num_slots)
    return Weights(np.broadcast_to(value, shape), None if error is None else np.broadcast_to(error, shape))
