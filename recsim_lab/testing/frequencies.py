"""Whether what was counted fits the probabilities that were told."""

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy import stats

from recsim_lab.testing.law import law

A = np.ndarray

_SURPRISE = 4.3
"""Standard deviations beyond which a statistic refutes a law: one-sided chance 9e-6."""


def check_counts(observed: Int[A, " cells"], expected: Float[A, " cells"], what: str) -> None:
    """Chi-square test of counts; cells expected fewer than 5 times are counted together."""
    _check(observed, expected, expected, what)


def check_frequencies(
    observed: Int[A, " cells"],
    probability: Float[A, " cells"],
    error: Float[A, " cells"],
    num_draws: int,
    what: str,
) -> None:
    """Chi-square test of counts against probabilities that are known up to a standard error.

    Cells of unknown probability (NaN), and all that is not among the cells, are counted together. An estimate from R
    draws makes the counts vary by 1 + n/R as much; its error tells R.
    """
    known = np.isfinite(probability)
    chance, error = probability[known].astype(np.float64), error[known].astype(np.float64)
    expected = num_draws * chance
    spread = expected + (num_draws * error) ** 2 / np.maximum(1 - chance, 1e-9)
    rest = max(num_draws - expected.sum(), 0.0)
    # What the known ones are too high, the rest is too low.
    rest_spread = rest + (num_draws**2 * error**2).sum()
    _check(
        np.append(observed[known], num_draws - observed[known].sum()),
        np.append(expected, rest),
        np.append(spread, rest_spread),
        what,
    )


def _check(observed: A, expected: A, spread: A, what: str) -> None:
    """The statistic is turned into a standard normal by its cube root (Wilson & Hilferty, PNAS 1931)."""
    law(
        not ((expected == 0) & (spread == 0) & (observed > 0)).any(),
        f"{what}: what has probability 0 does not happen",
        observed,
    )
    small = expected < 5
    observed, expected, spread = (
        np.append(values[~small], values[small].sum()).astype(np.float64) for values in (observed, expected, spread)
    )
    if expected[-1] < 5:
        # Too few to test by themselves: with the smallest of the others, or nothing is left to test.
        if len(expected) == 1:
            return
        smallest = np.argmin(expected[:-1])
        for values in (observed, expected, spread):
            values[smallest] += values[-1]
        observed, expected, spread = observed[:-1], expected[:-1], spread[:-1]
    freedom = len(expected) - 1
    if freedom == 0:
        return
    statistic = ((observed - expected) ** 2 / spread).sum()
    variance = 2 / (9 * freedom)
    surprise = (np.cbrt(statistic / freedom) - (1 - variance)) / np.sqrt(variance)
    law(
        bool(surprise < _SURPRISE),
        f"{what}: counts fit the probabilities (chi-square {statistic:.1f} with {freedom} degrees of freedom)",
        np.stack([observed, expected]),
    )


def two_sided_chance(counts: Int[A, " slots"], num_draws: int, probability: Float64[A, " slots"]) -> Float[A, " slots"]:
    """The chance of counts as far out as these, by the binomial distribution; it may exceed 1 in the middle."""
    probability = np.clip(probability, 0.0, 1.0)
    below = stats.binom.cdf(counts, num_draws, probability)
    above = stats.binom.sf(counts - 1, num_draws, probability)
    return 2.0 * np.minimum(below, above)
