"""Small honest statistics: how sure a mean, a difference or a correlation is, given few seeds."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special, stats

A = np.ndarray


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval; the ends are NaN where the data can't tell."""

    estimate: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        return bool(self.low <= value <= self.high)


def mean_interval(values: Float[A, " seeds"], level: float = 0.95) -> Interval:
    """Student's t interval for the mean of independent values, usually one per seed.

    One value gives an estimate without ends; a NaN among the values makes all three NaN, since a run that
    failed is seldom a run like the others.
    """
    check_level(level)
    if values.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    mean = float(np.mean(values))
    if values.size < 2:
        return Interval(mean, np.nan, np.nan)
    standard_error = float(np.std(values, ddof=1) / np.sqrt(values.size))
    margin = float(stats.t.ppf((1 + level) / 2, values.size - 1)) * standard_error
    return Interval(mean, mean - margin, mean + margin)


def paired_interval(a: Float[A, " seeds"], b: Float[A, " seeds"], level: float = 0.95) -> Interval:
    """Student's t interval for the mean of a - b, where a[i] and b[i] met the same users and the same luck."""
    if a.shape != b.shape:
        raise ValueError(f"a and b must be paired, got {a.size} and {b.size} values")
    return mean_interval(a - b, level)


def holm(p_values: Float[A, " tests"]) -> Float[A, " tests"]:
    """Adjusted p-values (Holm 1979): rejecting those below alpha errs once or more with chance alpha at most.

    NaN stays NaN and does not count as a test.
    """
    made = ~np.isnan(p_values)
    p_made = p_values[made].astype(np.float64)
    if ((p_made < 0) | (p_made > 1)).any():
        raise ValueError(f"p_values must be in [0, 1], got {p_made.min()} to {p_made.max()}")
    order = np.argsort(p_made, kind="stable")
    stepped = np.maximum.accumulate(p_made[order] * np.arange(p_made.size, 0, -1))
    adjusted = np.full(p_values.shape, np.nan)
    adjusted[np.flatnonzero(made)[order]] = np.minimum(stepped, 1.0)
    return adjusted


def pearson(a: Float[A, " values"], b: Float[A, " values"]) -> float:
    """Linear correlation; NaN for a constant, fewer than two values or a value that is not finite."""
    if not _can_correlate(a, b):
        return float("nan")
    # Deviations scaled to 1 at most, so that neither huge nor tiny values leave the range of a float.
    a, b = (x.astype(np.float64) / np.abs(x).max() for x in (a, b))
    a, b = a - a.mean(), b - b.mean()
    a, b = (x / np.abs(x).max() for x in (a, b))
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def spearman(a: Float[A, " values"], b: Float[A, " values"]) -> float:
    """Correlation of the mid-ranks; NaN as for `pearson`."""
    return pearson(stats.rankdata(a), stats.rankdata(b)) if _can_correlate(a, b) else float("nan")


def separated_pairs(values: Float[A, "agents seeds"], level: float = 0.95, *, holm_corrected: bool = False) -> float:
    """Share of the pairs of agents whose means differ by a paired t test over seeds.

    Uncorrected (the default), each pair is tested by itself: of pairs that are truly equal, a share of
    1 - `level` is called separated. With `holm_corrected`, even one such mistake among all pairs has at most that
    chance, and far fewer pairs pass. A pair that differs by the same amount in every seed is separated. NaN
    with fewer than two agents or two seeds; agents with a NaN are left out.
    """
    check_level(level)
    values = values[~np.isnan(values).any(axis=1)].astype(np.float64)
    num_agents, num_seeds = values.shape
    if num_agents < 2 or num_seeds < 2:
        return float("nan")
    first, second = np.triu_indices(num_agents, k=1)
    difference = values[first] - values[second]
    standard_error = difference.std(axis=1, ddof=1) / np.sqrt(num_seeds)
    mean = np.abs(difference.mean(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t_statistic = np.where(mean > 0, mean / standard_error, 0.0)
    p_values = 2 * special.stdtr(num_seeds - 1, -t_statistic)
    return float(np.mean((holm(p_values) if holm_corrected else p_values) < 1 - level))


def _can_correlate(a: A, b: A) -> bool:
    if a.shape != b.shape:
        raise ValueError(f"a and b must be paired, got {a.size} and {b.size} values")
    return a.size >= 2 and all(bool(np.isfinite(x).all() and (x != x[0]).any()) for x in (a, b))


def check_level(level: float) -> None:
    """Raise ValueError unless the level of an interval is in (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
