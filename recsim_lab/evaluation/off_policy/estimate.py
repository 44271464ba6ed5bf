"""What an estimator says of a target policy: a value with its standard error, or the reason why it says none."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import stats

from recsim_lab.evaluation.off_policy.logged import LoggedSlates
from recsim_lab.evaluation.statistics import Interval

A = np.ndarray

MOST_UNSUPPORTED = 0.01
"""The largest share of the target's mass that logging may never show."""
UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Estimate:
    """The expected reward per slate of a target policy.

    `effective_sample_size` is (sum of weights)^2 / sum of squared weights of the slot where it is smallest;
    `largest_weight` the largest in size. `unsupported` is the share of the target's mass that logging never shows, as
    far as it is known. `constant` is that of an estimator with changed weights, as given or as chosen, and `moved` how
    far the change moved the value from that of plain weights: a hint at its bias, of which the standard error says
    nothing. A refusal has a `reason`, and NaN for what it does not say.
    """

    estimator: str
    value: float
    standard_error: float
    effective_sample_size: float
    largest_weight: float
    num_rows: int
    num_clusters: int
    unsupported: Interval = UNKNOWN
    constant: float = float("nan")
    moved: float = float("nan")
    reason: str = ""

    @property
    def refused(self) -> bool:
        return bool(self.reason)

    def interval(self, level: float = 0.95) -> Interval:
        """Student's t interval, with a degree of freedom less than there are independent clusters of rows."""
        if not 0 < level < 1:
            raise ValueError(f"level must be in (0, 1), got {level}")
        if self.num_clusters < 2:
            return Interval(self.value, np.nan, np.nan)
        margin = quantile(self.num_clusters, level) * self.standard_error
        return Interval(self.value, self.value - margin, self.value + margin)

    def row(self, level: float = 0.95) -> dict[str, float | int | str]:
        """One row of a table."""
        interval = self.interval(level)
        return {
            "estimator": self.estimator,
            "value": self.value,
            "low": interval.low,
            "high": interval.high,
            "standard_error": self.standard_error,
            "effective_sample_size": self.effective_sample_size,
            "largest_weight": self.largest_weight,
            "unsupported_low": self.unsupported.low,
            "unsupported_high": self.unsupported.high,
            "constant": self.constant,
            "moved": self.moved,
            "num_rows": self.num_rows,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Terms:
    """What each row adds: the estimate is the mean of `value`, and its spread that of the estimate.

    `weight` is what rewards were multiplied with, `error` the standard error of `value` from probabilities that were
    estimated themselves (None: they are exact).
    """

    value: Float[A, " rows"]
    weight: Float[A, "rows slots"]
    error: Float[A, " rows"] | None = None
    constant: float = float("nan")
    moved: float = float("nan")


class Estimator(ABC):
    """Estimates what a target policy earns from what another policy's slates earned; it refuses and never raises."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The estimator and what it assumes, such as `snips:cascade`."""

    @abstractmethod
    def missing(self, logged: LoggedSlates) -> str:
        """What the estimator needs and does not have, in words; empty if nothing is missing."""

    @abstractmethod
    def unsupported(self, logged: LoggedSlates) -> tuple[Interval, bool]:
        """The share of the target's mass that logging never shows, and whether it is known rather than bounded."""

    @abstractmethod
    def terms(self, logged: LoggedSlates) -> Terms:
        """The terms whose mean is the estimate, of rows in which nothing is missing."""

    @final
    def estimate(self, logged: LoggedSlates) -> Estimate:
        """The estimate, or a refusal with its reason."""
        if not len(logged):
            return self._refuse(logged, "there are no rows")
        if reason := self.missing(logged):
            return self._refuse(logged, reason)
        if (logged.logging.prefix[:, -1] == 1).all():
            return self._refuse(logged, "the logging policy is deterministic: all its propensities are 1")
        share, known = self.unsupported(logged)
        # What is known must be small; of what is bounded by the mean weight it must not be sure that it is large.
        if (share.high if known else share.low) > MOST_UNSUPPORTED:
            kind = "" if known else ", bounded by the mean weight"
            text = f"logging never shows {share.low:.1%} to {share.high:.1%} of the target's mass{kind}"
            return self._refuse(logged, f"{text}; at most {MOST_UNSUPPORTED:.0%} may be missing", share)
        terms = self.terms(logged)
        value, spread = mean_and_error(terms.value, logged)
        if not np.isfinite(value):
            return self._refuse(logged, "all weights are 0", share)
        if not terms.value.any():
            # Zero without spread would look like certainty.
            return self._refuse(logged, "nothing was earned where the target would have shown the same", share)
        unsure = 0.0 if terms.error is None else float(np.sqrt(terms.error @ terms.error)) / len(logged)
        size, largest = effective_size(terms.weight)
        return Estimate(
            self.name,
            value,
            float(np.hypot(spread, unsure)),
            size,
            largest,
            len(logged),
            logged.num_clusters,
            share,
            terms.constant,
            terms.moved,
        )

    def _refuse(self, logged: LoggedSlates, reason: str, share: Interval = UNKNOWN) -> Estimate:
        nothing = (float("nan"),) * 4
        return Estimate(self.name, *nothing, len(logged), logged.num_clusters, share, reason=reason)


def mean_and_error(values: Float[A, " rows"], logged: LoggedSlates) -> tuple[float, float]:
    """The mean, and its standard error where the rows of a cluster may depend on each other.

    NaN for the error with fewer than two clusters.
    """
    mean = float(values.mean())
    if logged.num_clusters < 2:
        return mean, float("nan")
    deviation = values - mean
    if logged.cluster is not None:
        deviation = np.bincount(logged.cluster, deviation).astype(np.float64)
    correction = logged.num_clusters / (logged.num_clusters - 1)
    return mean, float(np.sqrt(correction * (deviation @ deviation))) / len(values)


def quantile(num_clusters: int, level: float = 0.95) -> float:
    """How many standard errors an interval reaches to either side."""
    return float(stats.t.ppf((1 + level) / 2, num_clusters - 1))


def effective_size(weight: Float[A, "rows slots"]) -> tuple[float, float]:
    """The smallest effective sample size of a slot, and the weight that is largest in size."""
    total, squares = weight.sum(axis=0), np.einsum("rs,rs->s", weight, weight)
    size = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    return float(size.min()), float(max(weight.max(), -weight.min()))
