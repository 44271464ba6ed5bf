"""Do the metrics of the bubble see what they must see, and nothing where there is nothing?"""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from recsim_lab.evaluation.bubble.metrics import METRICS
from recsim_lab.evaluation.feedback.differences import paired
from recsim_lab.evaluation.feedback.plan import NULL_TWIN, FeedbackPlan
from recsim_lab.evaluation.feedback.study import STABILITY, at_end
from recsim_lab.evaluation.statistics import holm, paired_interval

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

UNBUBBLED = "organic"
"""What positive controls are compared with: nobody recommends, and everybody follows their own taste."""
ALPHA = 0.05
NO_CONTROL = "none"
_STABILITY = {
    "level": "consumption",
    "direction": "between",
    "metric": STABILITY,
    "narrower": "",
    "control": NO_CONTROL,
    "reason": "it compares the loop with its null twin, and no other run has a twin of other luck",
}


def controls_table(timeline: "pd.DataFrame", plan: FeedbackPlan) -> "pd.DataFrame":
    """One row a metric, on the last day: the control it must flag and whether it did, and the null twin's verdict.

    Where `control` is `NO_CONTROL`, `reason` says why. A control is flagged if the paired interval of its difference
    from `UNBUBBLED` lies beyond zero on the side of a tighter bubble. The null twin is flagged if its difference from
    the baseline is significant at 5% after Holm's correction for the number of metrics. Both are NaN where fewer than
    two seeds tell, or an arm has no such metric.
    """
    import pandas as pd

    end, rows, p_values = at_end(timeline, plan), [], []
    for metric in METRICS:
        column = (metric.level, metric.direction, metric.name)
        row: dict[str, Any] = dict(zip(("level", "direction", "metric"), column, strict=True))
        row |= {"narrower": metric.narrower, "control": metric.control or NO_CONTROL, "reason": metric.uncontrolled}
        row["flagged"] = float("nan")
        row |= dict.fromkeys(("difference", "low", "high"), float("nan"))
        if metric.control is not None:
            value, base = paired(end, metric.control, UNBUBBLED, column)
            told = paired_interval(value, base)
            if np.isfinite(told.low):
                beyond = told.low > 0 if metric.narrower == "higher" else told.high < 0
                row |= {"flagged": float(beyond), "difference": told.estimate, "low": told.low, "high": told.high}
        value, base = paired(end, NULL_TWIN, plan.baseline.name, column)
        told = paired_interval(value, base)
        row |= {"null_difference": told.estimate, "null_low": told.low, "null_high": told.high}
        p_values.append(_p_value(value - base))
        rows.append(row)
    adjusted = holm(np.array(p_values))
    for row, p_value in zip(rows, adjusted, strict=True):
        row["null_p_value"] = p_value
        row["null_flagged"] = float("nan") if np.isnan(p_value) else float(p_value < ALPHA)
    unasked: dict[str, Any] = dict.fromkeys(rows[0], float("nan"))
    return pd.DataFrame([*rows, unasked | _STABILITY])


def _p_value(differences: A) -> float:
    """Of Student's paired test; 1 where nothing differs at all, NaN where nothing can be told."""
    if len(differences) < 2 or np.isnan(differences).any():
        return float("nan")
    if not differences.any():
        return 1.0
    if np.ptp(differences) == 0:
        return 0.0
    return float(stats.ttest_1samp(differences, 0).pvalue)
