"""Remedies at equal price: what each dial buys where it costs the same share of early engagement."""

import itertools
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from recsim_lab.evaluation.feedback.differences import paired
from recsim_lab.evaluation.feedback.plan import FeedbackPlan
from recsim_lab.evaluation.feedback.prices import daily_difference, engagement
from recsim_lab.evaluation.feedback.study import at_end
from recsim_lab.evaluation.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

LOSSES = (1.0, 2.0, 5.0)
"""Prices in % of the baseline's clicks in the first `price_days`."""
NOT_REACHABLE = "not reachable"


def frontier_table(timeline: "pd.DataFrame", plan: FeedbackPlan) -> "pd.DataFrame":
    """`dial, loss_percent, setting, level, direction, metric, value, low, high, num_seeds, remark`.

    Along a dial's settings, from none at all (the baseline) on, mean cost is interpolated linearly to each of `LOSSES`;
    `value` is the change of the metric against the baseline there, by the same weights within each seed. Where a dial
    is turned past a price more than once, the first time counts.
    """
    import pandas as pd

    end, daily, rows = at_end(timeline, plan), engagement(timeline), []
    for dial in dict.fromkeys(arm.dial for arm in plan.arms if arm.dial):
        arms = sorted((arm for arm in plan.arms if arm.dial == dial), key=lambda arm: arm.turned_to)
        costs = [0.0, *(_cost(daily, arm.name, plan) for arm in arms)]
        settings = [0.0, *(arm.turned_to for arm in arms)]
        for loss in LOSSES:
            weights = interpolation(np.array(costs), loss)
            setting = float(weights @ settings) if weights is not None else float("nan")
            for column in end.columns:
                changes = [np.subtract(*paired(end, arm.name, plan.baseline.name, column)) for arm in arms]
                at_loss = np.zeros(0) if weights is None else weights[1:] @ np.stack(changes)
                told = mean_interval(at_loss)
                remark = NOT_REACHABLE if weights is None else ""
                rows.append((dial, loss, setting, *column, told.estimate, told.low, told.high, len(changes[0]), remark))
    names = ("setting", "level", "direction", "metric", "value", "low", "high", "num_seeds", "remark")
    return pd.DataFrame(rows, columns=["dial", "loss_percent", *names])


def interpolation(costs: Float64[A, " settings"], loss: float) -> Float64[A, " settings"] | None:
    """The weights of the two neighbouring settings between whose costs `loss` lies first; None where it never does."""
    for place, (before, after) in enumerate(itertools.pairwise(costs)):
        if min(before, after) <= loss <= max(before, after):
            share = (loss - before) / (after - before) if after != before else 0.0
            weights = np.zeros(len(costs))
            weights[place], weights[place + 1] = 1 - share, share
            return weights
    return None


def _cost(daily: "pd.DataFrame", arm: str, plan: FeedbackPlan) -> float:
    more, base = daily_difference(daily, arm, plan)
    first = slice(None, plan.price_days)
    return float(np.mean(-100 * more[:, first].mean(axis=1) / base[:, first].mean(axis=1)))
