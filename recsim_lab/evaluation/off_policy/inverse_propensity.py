"""Rewards weighted by how much likelier the target is to show what earned them: replay, IPS, and its changes."""

from dataclasses import dataclass
from typing import final

import numpy as np

from recsim_lab.evaluation.off_policy.change import Change, Plain, weighted
from recsim_lab.evaluation.off_policy.estimate import Estimator, Terms
from recsim_lab.evaluation.off_policy.logged import LoggedSlates
from recsim_lab.evaluation.off_policy.weighting import Independent, Weighting, WholeSlate
from recsim_lab.evaluation.statistics import Interval

A = np.ndarray


@final
@dataclass(frozen=True)
class InversePropensity(Estimator):
    """IPS: the mean of weight x reward, summed over slots (Horvitz & Thompson 1952).

    Unbiased with plain weights, where the weighting's assumption holds. With `Independent` weights it is IIPS, with
    `Cascade` RIPS, with `Additive` PI, with `Grouped` MIPS; with `Clip` clipped IPS.
    """

    weighting: Weighting = Independent()
    change: Change = Plain()

    @property
    def name(self) -> str:
        return labelled("ips", self.change, self.weighting)

    def missing(self, logged: LoggedSlates) -> str:
        return self.weighting.missing(logged)

    def unsupported(self, logged: LoggedSlates) -> tuple[Interval, bool]:
        return self.weighting.unsupported(logged)

    def terms(self, logged: LoggedSlates) -> Terms:
        return weighted(0.0, logged.reward, self.weighting.weights(logged), self.change, logged)


@final
@dataclass(frozen=True)
class SelfNormalised(Estimator):
    """SNIPS: in each slot the sum of weight x reward over the sum of weights (Swaminathan & Joachims, NeurIPS 2015).

    Consistent, with a bias of the order of one over the rows. The standard error is that of a ratio to first order.
    """

    weighting: Weighting = Independent()

    @property
    def name(self) -> str:
        return f"snips:{self.weighting.name}"

    def missing(self, logged: LoggedSlates) -> str:
        return self.weighting.missing(logged)

    def unsupported(self, logged: LoggedSlates) -> tuple[Interval, bool]:
        return self.weighting.unsupported(logged)

    def terms(self, logged: LoggedSlates) -> Terms:
        weights = self.weighting.weights(logged)
        return _ratio_terms(weights.value, logged.reward.astype(np.float64), weights.error)


@final
@dataclass(frozen=True)
class Replay(Estimator):
    """The mean reward of the logged slates that the target would show too (Li et al., WSDM 2011).

    Right under uniform logging only. A slate counts with its probability under the target, 0 or 1 where that is
    deterministic; with `by_slot` each slot counts by itself, with the marginal probability of its item.
    """

    by_slot: bool = False

    @property
    def name(self) -> str:
        return "replay:slot" if self.by_slot else "replay"

    @property
    def _weighting(self) -> Weighting:
        return Independent() if self.by_slot else WholeSlate()

    def missing(self, logged: LoggedSlates) -> str:
        return self._weighting.missing(logged)

    def unsupported(self, logged: LoggedSlates) -> tuple[Interval, bool]:
        return self._weighting.unsupported(logged)

    def terms(self, logged: LoggedSlates) -> Terms:
        target, shape = logged.target, logged.reward.shape
        if self.by_slot:
            matched, error = target.marginal, target.error
        else:
            matched, error = (np.broadcast_to(array[:, -1:], shape) for array in (target.prefix, target.prefix_error))
        return _ratio_terms(
            matched.astype(np.float64), logged.reward.astype(np.float64), error if error.any() else None
        )


def labelled(family: str, change: Change, weighting: Weighting) -> str:
    """Such as `ips-clip:cascade`."""
    return f"{family}-{change.name}:{weighting.name}" if change.name else f"{family}:{weighting.name}"


def _ratio_terms(weight: A, reward: A, error: A | None) -> Terms:
    """The terms of sum(weight x reward) / sum(weight), slot by slot, whose spread is the ratio's to first order."""
    mean = weight.mean(axis=0)
    if not (mean > 0).all():
        return Terms(np.full(len(weight), np.nan), weight)
    ratio = np.einsum("rs,rs->s", weight, reward) / len(weight) / mean
    apart = reward - ratio
    value = ratio.sum() + np.einsum("rs,rs,s->r", weight, apart, 1 / mean)
    return Terms(value, weight, None if error is None else np.einsum("rs,rs,s->r", error, np.abs(apart), 1 / mean))
