"""Interleaving: every user sees both policies' items in one slate, and clicks say whose they prefer."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy import stats

from recsim_lab.evaluation.statistics import Interval, check_level

A = np.ndarray


@dataclass(frozen=True)
class Preference:
    """How far the share of units that a policy wins, ties counted half, is above one half: from -1/2 to 1/2 (Chapelle,
    Joachims, Radlinski & Yue, TOIS 2012).

    `p_value` is that of the interval, two-sided. `sign_test` is exact, and NaN where units are not users: a user's
    sessions are no independent witnesses.
    """

    delta: Interval
    standard_error: float
    p_value: float
    sign_test: float
    wins: int
    losses: int
    ties: int
    num_users: int


def preference(
    margin: Int[A, " rows"], user: Int[A, " rows"], session: Int[A, " rows"] | None = None, level: float = 0.95
) -> Preference:
    """The preference by `margin`, the clicks on one policy's own slots minus those on the other's, of each slate.

    A unit is a user or, where `session` is given, a user's session: the policy with more clicks in it wins. Users who
    see no slate have no preference and are left out. The interval takes users as independent, however many sessions
    they have (Student's t, by the delta method).
    """
    check_level(level)
    outcome, owner = outcomes(margin, user, session)
    users, number = np.unique(owner, return_inverse=True)
    wins, losses, ties = (int((outcome == sign / 2).sum()) for sign in (1, -1, 0))
    if len(users) < 2:
        delta = float(outcome.mean()) if len(outcome) else np.nan
        return Preference(Interval(delta, np.nan, np.nan), np.nan, np.nan, np.nan, wins, losses, ties, len(users))
    total, num = np.bincount(number, outcome), np.bincount(number)
    delta = float(total.sum() / num.sum())
    error = float(np.std((total - delta * num) / num.mean(), ddof=1) / np.sqrt(len(users)))
    quantile = float(stats.t.ppf((1 + level) / 2, len(users) - 1))
    p_value = float(2 * stats.t.sf(abs(delta) / error, len(users) - 1)) if error > 0 else float(delta == 0)
    decided = wins + losses
    exact = np.nan if session is not None else stats.binomtest(wins, decided).pvalue if decided else 1.0
    interval = Interval(delta, delta - quantile * error, delta + quantile * error)
    return Preference(interval, error, p_value, float(exact), wins, losses, ties, len(users))


def outcomes(margin: Int[A, " rows"], user: Int[A, " rows"], session: Int[A, " rows"] | None = None) -> tuple[A, A]:
    """(1/2, 0 or -1/2 for each unit that is won, tied or lost; its user), units in order of user and session."""
    keys = np.stack([user, np.zeros_like(user) if session is None else session], axis=1)
    units, number = np.unique(keys, axis=0, return_inverse=True)
    total = np.bincount(number.ravel(), margin, len(units))
    return np.sign(total) / 2, units[:, 0]
