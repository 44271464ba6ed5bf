"""Where a change of users' tastes comes from: parts that add up, over an order of runs that differ in one thing each.

From the tastes when the loop began to those at its end under the loop: `natural` is what they do by themselves, nobody
being served; `choice` what following one's own taste adds (organic); `exposure` what a model adds that stays as it is
(frozen); `retraining` what learning from what was shown adds, and forgetting: the frozen model has learned from all
days of the log before the loop, the loop's own learns from its window alone. Another order of the runs would cut
otherwise.
"""

from typing import TYPE_CHECKING

from recsim_lab.evaluation.bubble.metrics import METRICS
from recsim_lab.evaluation.feedback.differences import paired
from recsim_lab.evaluation.feedback.plan import NOBODY, START, FeedbackPlan
from recsim_lab.evaluation.feedback.study import at_end
from recsim_lab.evaluation.statistics import paired_interval

if TYPE_CHECKING:
    import pandas as pd

ORGANIC, FROZEN = "organic", "frozen"
PARTS = ("natural", "choice", "exposure", "retraining")


def narrowing_table(timeline: "pd.DataFrame", plan: FeedbackPlan) -> "pd.DataFrame":
    """`metric, direction, part, value, low, high, num_seeds` for each metric of preferences; the row `total` is their
    sum.

    All parts are over the seeds of the run that has fewest, so that they sum.
    """
    import pandas as pd

    end = at_end(timeline, plan)
    runs = (START, NOBODY, ORGANIC, FROZEN, plan.baseline.name)
    there = end.index.get_level_values("arm")
    if missing := [run for run in runs if run not in there]:
        raise ValueError(f"arms must be there to tell parts by, missing {', '.join(missing)}")
    seeds = set.intersection(*(set(end.loc[run].index) for run in runs))
    end = end[end.index.get_level_values("seed").isin(seeds)]
    rows = []
    for metric in METRICS:
        if metric.level != "preference":
            continue
        column = (metric.level, metric.direction, metric.name)
        steps = [*zip(PARTS, runs[:-1], runs[1:], strict=True), ("total", runs[0], runs[-1])]
        for part, before, after in steps:
            told = paired_interval(*paired(end, after, before, column))
            rows.append((metric.name, metric.direction, part, told.estimate, told.low, told.high, len(seeds)))
    return pd.DataFrame(rows, columns=["metric", "direction", "part", "value", "low", "high", "num_seeds"])
