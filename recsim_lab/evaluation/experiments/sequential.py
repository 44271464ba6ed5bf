"""Intervals that hold at all looks at once, so that an experiment may be watched and stopped at any time.

The normal mixture: of Robbins (1970), as the mixture sequential probability ratio test of Johari, Koomen, Pekelis &
Walsh ("Peeking at A/B tests", KDD 2017), and as the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha,
Kennedy & Ramdas ("Time-uniform central limit theory and asymptotic confidence sequences", 2021), which are one:

    standard error · sqrt((1 + 1/v) (log(1 + v) - 2 log α)),    v = (mixing_sd / standard error)²

on either side of the estimate. It is asymptotic: the first look should have some hundred users. Looks may be at more
and more users, or at the same users again: where a user's days are exchangeable, the mean up to each day is an
efficient estimate, and successive efficient estimates vary together as those of a growing sample do (Scharfstein,
Tsiatis & Robins, JASA 1997).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.special import lambertw

from recsim_lab.evaluation.statistics import check_level

A = np.ndarray


@dataclass(frozen=True)
class AlwaysValid:
    """An interval for each look: with chance `level` at least, all of them hold the true value at once.

    `p_value` is the smallest α at which this look or one before it excludes zero.
    """

    low: Float64[A, "*runs looks"]
    high: Float64[A, "*runs looks"]
    p_value: Float64[A, "*runs looks"]

    @property
    def decided(self) -> Bool[A, "*runs looks"]:
        """Whether zero was excluded at this look or before."""
        return np.logical_or.accumulate((self.low > 0) | (self.high < 0), axis=-1)


def always_valid(
    estimate: Float[A, "*runs looks"],
    standard_error: Float[A, "*runs looks"],
    mixing_sd: float,
    level: float = 0.95,
) -> AlwaysValid:
    """The intervals of successive estimates of one effect, each with its standard error.

    `mixing_sd`, in the effect's unit, is chosen before the experiment, see `tuned`; any keeps the promise.
    """
    check_level(level)
    if not 0 < mixing_sd < np.inf:
        raise ValueError(f"mixing_sd must be above 0 and finite, got {mixing_sd}")
    estimate, error = estimate.astype(np.float64), standard_error.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        v = (mixing_sd / error) ** 2
        margin = error * np.sqrt((1 + 1 / v) * (np.log1p(v) - 2 * np.log1p(-level)))
        log_ratio = (estimate / error) ** 2 * v / (2 * (1 + v)) - np.log1p(v) / 2
    p_value = np.minimum.accumulate(np.fmin(np.exp(-np.fmax(log_ratio, 0)), 1.0), axis=-1)
    return AlwaysValid(estimate - margin, estimate + margin, p_value)


def tuned(standard_error: float, level: float = 0.95) -> float:
    """The `mixing_sd` under which the interval is narrowest when the standard error is this, such as the one that is
    planned for the last look. Then it is sqrt(1 + v) standard errors wide to either side: 3.03 at 95%."""
    check_level(level)
    if not 0 < standard_error < np.inf:
        raise ValueError(f"standard_error must be above 0 and finite, got {standard_error}")
    # Where the width's derivative is zero: v = log(1 + v) - 2 log α.
    v = -float(lambertw(-((1 - level) ** 2) / np.e, -1).real) - 1
    return standard_error * np.sqrt(v)
