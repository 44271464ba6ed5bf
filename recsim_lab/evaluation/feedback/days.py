"""Every metric of every arm on each of its days, and welfare in sum: means over seeds, and what sets them apart."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64
from scipy import stats

from recsim_lab.evaluation.feedback.plan import FeedbackPlan

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

EARNED = "clicks_so_far"
"""Clicks per user since the loop began: a remedy has paid for itself when its difference in these crosses zero."""
WHOLE_LOOP, LAST_DAYS = "whole loop", "last days"
KEYS = ("level", "direction", "metric")


def days_table(timeline: "pd.DataFrame", plan: FeedbackPlan) -> "pd.DataFrame":
    """`arm, level, direction, metric, day`, and of that day the columns of `_told`; `EARNED` is added to welfare.

    `arm` may be one of the runs that are told beside the arms, as in the timeline.
    """
    import pandas as pd

    clicks = timeline[timeline["metric"] == "clicks_per_user"].sort_values("day", kind="stable")
    so_far = clicks.groupby(["arm", "seed"])["value"].cumsum()
    return _told(pd.concat([timeline, clicks.assign(metric=EARNED, value=so_far)]), [*KEYS, "day"], plan)


def welfare_table(timeline: "pd.DataFrame", plan: FeedbackPlan) -> "pd.DataFrame":
    """`arm, level, direction, metric, days`, and the columns of `_told` of the mean over those days: the whole loop or
    its last `price_days`. Days of which a metric is not known are left out of its mean."""
    import pandas as pd

    welfare = timeline[timeline["level"] == "welfare"]
    spans = {WHOLE_LOOP: welfare, LAST_DAYS: welfare[welfare["day"] > plan.loop_days - plan.price_days]}
    means = [
        span.groupby(["arm", "seed", *KEYS], sort=False)["value"].mean().reset_index().assign(days=days)
        for days, span in spans.items()
    ]
    return _told(pd.concat(means), [*KEYS, "days"], plan)


def _told(values: "pd.DataFrame", keys: list[str], plan: FeedbackPlan) -> "pd.DataFrame":
    """`mean, low, high` over an arm's seeds; `baseline`, the mean of the loop without a remedy in the same seeds, and
    the paired `difference` from it with `difference_low, difference_high`; `num_seeds`.

    Intervals are Student's at 95%, each of one value by itself. A value that is NaN in a seed is NaN in all; seeds in
    which it was not told do not count.
    """
    import pandas as pd

    wide = values.pivot(index=["arm", *keys], columns="seed", values="value")
    told = values.assign(value=True).pivot(index=["arm", *keys], columns="seed", values="value").notna()
    base = wide.loc[plan.baseline.name]
    parts = []
    for arm in dict.fromkeys(values["arm"]):
        mine, known = wide.loc[arm], told.loc[arm]
        # Metrics of one arm may have been taken in different seeds: those of the same ones are told together.
        for seeds, rows in known.groupby(list(known.columns), sort=False):
            part = mine.loc[rows.index, known.columns[list(seeds)]]
            own = part.to_numpy(np.float64)
            other = base.reindex(part.index)[part.columns].to_numpy(np.float64)
            columns = dict(zip(("mean", "low", "high"), _intervals(own), strict=True))
            columns |= {"baseline": other.mean(axis=1)}
            names = ("difference", "difference_low", "difference_high")
            columns |= dict(zip(names, _intervals(own - other), strict=True))
            frame = pd.DataFrame(columns, index=part.index).reset_index()
            parts.append(frame.assign(num_seeds=own.shape[1], arm=arm))
    table = pd.concat(parts, ignore_index=True)
    return table[["arm", *(name for name in table.columns if name != "arm")]]


def _intervals(
    values: Float64[A, "rows seeds"],
) -> tuple[Float64[A, " rows"], Float64[A, " rows"], Float64[A, " rows"]]:
    """`statistics.mean_interval` of each row: estimates, lower and upper ends."""
    mean, num_seeds = values.mean(axis=1), values.shape[1]
    if num_seeds < 2:
        return mean, np.full(len(mean), np.nan), np.full(len(mean), np.nan)
    margin = stats.t.ppf(0.975, num_seeds - 1) * values.std(axis=1, ddof=1) / np.sqrt(num_seeds)
    return mean, mean - margin, mean + margin
