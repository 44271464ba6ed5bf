"""How many users an experiment needs to detect a difference, by formula and by drawing users from its log."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from recsim_lab.evaluation.statistics import Interval, check_level

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

_DRAWN_AT_ONCE = 2_000_000
"""Bounds memory."""


def users_needed(
    effect: Interval, standard_error: float, num_users: int, power: float = 0.8, level: float = 0.95
) -> Interval:
    """The users (of all arms together) with which a test at this level detects an effect with this chance.

    The effect was measured, perhaps by other means, and a test like the one planned had `standard_error` with
    `num_users`; errors shrink with the root of the number, so that

        num_users ((z_level + z_power) standard_error / effect)².

    The ends are the numbers for the ends of the effect's own interval: infinite where it holds zero, since there may
    be nothing to detect.
    """
    check_level(level)
    if not 0 < power < 1:
        raise ValueError(f"power must be in (0, 1), got {power}")
    quantiles = stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power)

    def needed(size: float) -> float:
        return float("inf") if size == 0 else num_users * (quantiles * standard_error / size) ** 2

    nearest = 0.0 if effect.contains(0.0) else min(abs(effect.low), abs(effect.high))
    return Interval(needed(effect.estimate), needed(max(abs(effect.low), abs(effect.high))), needed(nearest))


def power_curve(
    values: Float[A, " users"],
    arm: Int[A, " users"] | None,
    sizes: Sequence[int],
    direction: int = 1,
    *,
    num_draws: int = 400,
    seed: int = 0,
    level: float = 0.95,
) -> "pd.DataFrame":
    """How often a test with so many users finds a difference of the right sign: `users`, `power`, `low`, `high`.

    Users are drawn with replacement from those at hand, as if these were all there are; so sizes may exceed their
    number, and power is that of detecting the difference which these users have. With `arm` the test is of arm 1
    against arm 0, each drawn in its share; without, of a mean against zero, as in interleaving. Values of a metric that
    arms have as a whole, or that was adjusted, are `linearised` or `adjusted` before. `low` and `high` are Wilson's
    interval for the number of draws; how sure the difference is, it does not tell: for that, compare several logs.
    """
    import pandas as pd

    check_level(level)
    if direction not in (-1, 1):
        raise ValueError(f"direction must be 1 or -1, got {direction}")
    groups = [values] if arm is None else [values[arm == place] for place in (0, 1)]
    if min(map(len, groups)) < 2:
        raise ValueError(f"each arm must have two users at least, got {[len(group) for group in groups]}")
    generator = np.random.default_rng(seed)
    rows = []
    for size in sizes:
        num = [max(2, round(size * len(group) / sum(map(len, groups)))) for group in groups]
        found = _found(groups, num, direction, num_draws, generator, level)
        interval = stats.binomtest(found, num_draws).proportion_ci(0.95, "wilson")
        rows.append({"users": size, "power": found / num_draws, "low": interval.low, "high": interval.high})
    return pd.DataFrame(rows)


def _found(
    groups: list[A], num: list[int], direction: int, num_draws: int, generator: np.random.Generator, level: float
) -> int:
    """In how many of the draws the test excludes zero on the right side."""
    found, at_once = 0, max(1, _DRAWN_AT_ONCE // sum(num))
    quantile = stats.t.ppf((1 + level) / 2, sum(num) - len(num))
    for start in range(0, num_draws, at_once):
        draws = min(at_once, num_draws - start)
        drawn = [
            group[generator.integers(len(group), size=(draws, size))] for group, size in zip(groups, num, strict=True)
        ]
        means = [some.mean(axis=1) for some in drawn]
        error = np.sqrt(sum(some.var(axis=1, ddof=1) / some.shape[1] for some in drawn))
        difference = direction * (means[0] if len(means) == 1 else means[1] - means[0])
        found += int((difference > quantile * error).sum())
    return found
