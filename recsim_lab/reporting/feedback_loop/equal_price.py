"""What dials buy where they cost the same."""

import numpy as np
import pandas as pd

from recsim_lab.evaluation.feedback.frontier import NOT_REACHABLE
from recsim_lab.reporting.blocks import Section, Table
from recsim_lab.reporting.bubble_words import MAIN, SHORT_LEVELS, estimate, name_with_unit, turned
from recsim_lab.reporting.feedback_loop.rows import CHANCE, break_even_words, table_of
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.figures.dials import dial_lines

PRICED = (
    ("exposure", "coverage"),
    ("exposure", "effective_catalogue"),
    ("exposure", "jaccard_random"),
    ("consumption", "topic_entropy"),
    ("preference", "caused_drift"),
    ("preference", "taste_entropy"),
)
"""The metrics that are told at equal price."""
_ENDS = ("value", "low", "high")


def equal_price(run: LoopRun) -> Section | None:
    """What dials buy at equal price; None where none has three settings: a line between two tells little."""
    dials = [arm.dial for arm in run.plan.arms if arm.dial]
    if run.tables["frontier"].empty or max(map(dials.count, dials), default=0) < 3:
        return None
    rows = [
        {
            "dial": arm.dial,
            "setting": arm.turned_to,
            "cost": run.price(arm.name, "cost_percent").value,
            "metric": metric,
        }
        | {"told": run.difference(arm.name, "exposure", metric)}
        for arm in run.plan.arms
        if arm.dial
        for metric in MAIN
    ]
    metrics = [(metric, turned("exposure", "between", metric)) for metric in MAIN]
    return Section(
        "At equal price",
        "Remedies are fair to compare where they cost the same. Each dial is turned up step by step; between its "
        "settings what it buys is read off at fixed prices, along a straight line: that the line may be wrong is in no "
        "interval.",
        (dial_lines(pd.DataFrame(rows), metrics), frontier(run), settings(run)),
    )


def frontier(run: LoopRun) -> Table:
    """What each dial buys at each price."""
    table, rows = run.tables["frontier"], []
    for (dial, loss), own in table.groupby(["dial", "loss_percent"], sort=False):
        told = own.set_index(["level", "metric"])
        remark = str(told["remark"].iloc[0])
        reached = remark != NOT_REACHABLE
        rows.append(
            {
                "dial": str(dial),
                "clicks lost, %": f"{loss:g}",
                "setting": f"{told['setting'].iloc[0]:.3g}" if reached else NOT_REACHABLE,
                **{
                    _priced_name(*key): estimate(
                        key[1],
                        *(float(told.loc[key, end]) if key in told.index else np.nan for end in _ENDS),
                        difference=True,
                    )
                    for key in PRICED
                },
            }
        )
    caption = (
        f"What each dial changes against {run.baseline} where it costs so much of the clicks in the first "
        f"{run.plan.price_days} days, interpolated between its settings. Not reachable: no setting that was run costs "
        "so much, or all cost more. 95% intervals over seeds, each by itself; the price itself is a mean and has an "
        f"interval, too. Other metrics are in frontier.csv. {CHANCE}"
    )
    return table_of(rows, caption, ("clicks lost, %", "setting"))


def _priced_name(level: str, metric: str) -> str:
    return f"{name_with_unit(metric)} ({SHORT_LEVELS[level]})"


def settings(run: LoopRun) -> Table:
    """What every setting of every dial costs and earns, in percent."""
    days, told = run.plan.price_days, [arm for arm in run.plan.arms if arm.dial]
    rows = [
        {
            "dial": arm.dial,
            "setting": f"{arm.turned_to:g}",
            f"first {days} days, %": run.price(arm.name, "cost_percent", sign=-1.0),
            f"last {days} days, %": run.price(arm.name, "gain_percent"),
            "in all, %": run.price(arm.name, "total_percent"),
            "pays from day": break_even_words(run, arm.name),
            **{name_with_unit(metric): run.difference(arm.name, "exposure", metric) for metric in MAIN},
        }
        for arm in told
    ]
    caption = (
        f"Every setting that was run: clicks per user against {run.baseline} in percent, and what was shown in the "
        f"last {run.plan.recent_days} days. 95% intervals over seeds, each by itself. {CHANCE}"
    )
    return table_of(rows, caption, ("setting", "pays from day"))
