"""An A/B test: how much more the users of one arm have than those of the other, and how sure that is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy import stats

from recsim_lab.evaluation.statistics import Interval, check_level
from recsim_lab.interaction_log import InteractionLog

A = np.ndarray


@dataclass(frozen=True)
class Effect:
    """What arm 1 has above arm 0, with its interval and two-sided p-value; `means` and `num_users` are of both arms."""

    difference: Interval
    standard_error: float
    p_value: float
    means: tuple[float, float]
    num_users: tuple[int, int]


def user_totals(log: InteractionLog, num_users: int) -> dict[str, Float64[A, " users"]]:
    """Each user's `slates`, `visits`, `clicks`, `reward` and minutes of `dwell`; 0 for who never came, since an arm
    that drives users away must not be judged by those who stayed."""
    log = log.as_served
    per_slate = {
        "slates": np.ones(len(log)),
        "visits": log.step == 0,
        "clicks": log.clicks.sum(axis=1),
        "reward": log.reward,
        "dwell": log.dwell.sum(axis=1),
    }
    return {
        name: np.bincount(log.user, values.astype(np.float64), num_users).astype(np.float64)
        for name, values in per_slate.items()
    }


def difference_in_means(values: Float[A, " users"], arm: Int[A, " users"], level: float = 0.95) -> Effect:
    """Welch's test of a metric that each user has; users whose arm is neither 0 nor 1 take no part.

    With fewer than two users in an arm there is neither interval nor p-value (NaN).
    """
    check_level(level)
    groups = [values[arm == place].astype(np.float64) for place in (0, 1)]
    num_users = groups[0].size, groups[1].size
    control, treated = (float(group.mean()) if group.size else np.nan for group in groups)
    difference, means = treated - control, (control, treated)
    if min(num_users) < 2:
        return Effect(Interval(difference, np.nan, np.nan), np.nan, np.nan, means, num_users)
    num = np.array(num_users)
    spread = np.array([group.var(ddof=1) for group in groups]) / num
    standard_error = float(np.sqrt(spread.sum()))
    if standard_error == 0:
        p_value, margin = float(difference == 0), 0.0
    else:
        freedom = spread.sum() ** 2 / (spread**2 / (num - 1)).sum()
        p_value = float(2 * stats.t.sf(abs(difference) / standard_error, freedom))
        margin = float(stats.t.ppf((1 + level) / 2, freedom)) * standard_error
    interval = Interval(difference, difference - margin, difference + margin)
    return Effect(interval, standard_error, p_value, means, num_users)


def difference_in_ratios(
    numerator: Float[A, " users"], denominator: Float[A, " users"], arm: Int[A, " users"], level: float = 0.95
) -> Effect:
    """A test of a metric that only an arm as a whole has, such as clicks per slate, by the delta method (Deng, Knoblich
    & Lu, KDD 2018): slates of one user are no independent witnesses, users are."""
    return difference_in_means(linearised(numerator, denominator, arm), arm, level)


def linearised(
    numerator: Float[A, " users"], denominator: Float[A, " users"], arm: Int[A, " users"]
) -> Float64[A, " users"]:
    """What each user adds to the ratio of their arm: R + (x - R y) / mean(y), with R = sum(x) / sum(y) of the arm.

    The arm's mean is the ratio, and the variance of that mean is the delta method's.
    """
    values = np.full(numerator.shape, np.nan)
    for place in np.unique(arm):
        own = arm == place
        x, y = numerator[own].astype(np.float64), denominator[own].astype(np.float64)
        if y.sum() > 0:
            ratio = x.sum() / y.sum()
            values[own] = ratio + (x - ratio * y) / y.mean()
    return values
