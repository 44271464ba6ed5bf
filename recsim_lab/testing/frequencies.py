"""Whether what was counted fits the probabilities that were told."""

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy import stats

from recsim_lab.testing.law import law

A = np.ndarray

_SURPRISE = 4.3
"""Standard deviations beyond which a statistic refutes a law: one-sided chance 9e-6."""


def check_counts(observed: Int[A, " cells"], expected: Float[A, " cells"], what: str) -> None:
    """Chi-square test of counts; cells expected fewer than 5 times are counted together.

    The statistic is turned into a standard normal by its cube root (Wilson & Hilferty, PNAS 1931).
    """
    law(not ((expected == 0) & (observed > 0)).any(), f"{what}: what has probability 0 does not happen", observed)
    small = expected < 5
    observed = np.append(observed[~small], observed[small].sum()).astype(np.float64)
    expected = np.append(expected[~small], expected[small].sum())
    if expected[-1] < 5:
        # Too few to test by themselves: with the smallest of the others, or nothing is left to test.
        if len(expected) == 1:
            return
        smallest = np.argmin(expected[:-1])
        observed[smallest] += observed[-1]
        expected[smallest] += expected[-1]
        observed, expected = observed[:-1], expected[:-1]
    freedom = len(expected) - 1
    if freedom == 0:
        return
    statistic = ((observed - expected) ** 2 / expected).sum()
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
