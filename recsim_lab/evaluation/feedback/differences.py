"""Arms against the loop without a remedy: paired differences over seeds, for every metric of the bubble."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from recsim_lab.evaluation.feedback.plan import FeedbackPlan
from recsim_lab.evaluation.feedback.study import at_end
from recsim_lab.evaluation.statistics import Interval, paired_interval

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray


def paired(
    table: "pd.DataFrame", arm: str, other: str, column: object
) -> tuple[Float64[A, " seeds"], Float64[A, " seeds"]]:
    """The values of two arms in the seeds that both have, from a table indexed by arm and seed."""
    if arm not in table.index.get_level_values("arm") or other not in table.index.get_level_values("arm"):
        return np.zeros(0), np.zeros(0)
    a, b = table.loc[arm, column].align(table.loc[other, column], join="inner")
    return a.to_numpy(np.float64), b.to_numpy(np.float64)


def differences_table(timeline: "pd.DataFrame", plan: FeedbackPlan) -> "pd.DataFrame":
    """`arm, level, direction, metric, baseline, value, difference, low, high, num_seeds` on the last day.

    `baseline` and `value` are means over the seeds that both have; intervals are Student's, not corrected for the
    number of metrics.
    """
    import pandas as pd

    end, rows = at_end(timeline, plan), []
    for arm in plan.arms[1:]:
        for column in end.columns:
            value, base = paired(end, arm.name, plan.baseline.name, column)
            if not len(value):
                continue
            interval: Interval = paired_interval(value, base)
            rows.append(
                (
                    arm.name,
                    *column,
                    base.mean(),
                    value.mean(),
                    interval.estimate,
                    interval.low,
                    interval.high,
                    len(base),
                )
            )
    names = ("level", "direction", "metric", "baseline", "value", "difference", "low", "high", "num_seeds")
    return pd.DataFrame(rows, columns=["arm", *names])
