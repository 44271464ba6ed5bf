"""The bubble over days: every metric of one level."""

import numpy as np

from recsim_lab.evaluation.feedback.plan import NOBODY
from recsim_lab.reporting.blocks import Block, Details, Section, Table
from recsim_lab.reporting.bubble_words import (
    DIRECTIONS,
    HEADLINES,
    LEVELS,
    bubble_metric,
    estimate,
    name_with_unit,
)
from recsim_lab.reporting.feedback_loop.rows import CHANCE, table_of
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.figures.base import counted
from recsim_lab.reporting.figures.multiples import metrics_over_days
from recsim_lab.reporting.words import MISSING


def bubble(run: LoopRun, level: str) -> Section:
    """The bubble over days in one level: headlines in the open, all else folded."""
    shown, everything = run.tables["days"], run.metrics(level)
    styles = run.styles(*run.yardsticks, NOBODY) if level == "preference" else run.styles(*run.yardsticks)
    first = [key for name in HEADLINES[level] for key in everything if key[2] == name]
    blocks: list[Block] = [metrics_over_days(shown, first, styles)] if first else []
    blocks.append(bubble_differences(run, level))
    for direction, words in DIRECTIONS.items():
        rest = [key for key in everything if key[1] == direction and key not in first]
        if rest:
            title = f"{counted(len(rest), 'more metric')} {words}"
            blocks.append(Details(title, (metrics_over_days(shown, rest, styles),)))
    return Section(f"The bubble over days: {LEVELS[level]}", _BUBBLE[level], tuple(blocks))


_BUBBLE = {
    "exposure": (
        "Within users: does each meet ever fewer kinds of things? Between users: do all meet the same, or the same few "
        "items? Beside remedies stand controls: the same model never retrained (frozen), nobody recommending (organic: "
        "users choose from the whole catalogue), random slates, and the oracle, which knows what each user likes."
    ),
    "consumption": (
        "The same of clicks. Users click little, so these numbers are noisier, and more clicks alone raise some of "
        "them (coverage)."
    ),
    "preference": (
        "What users have come to like, which no platform sees. It moves by itself (nobody served), by what users "
        "choose for themselves (organic), and by what they are shown."
    ),
}


def bubble_differences(run: LoopRun, level: str) -> Table:
    """Every metric of a level on the last day: without a remedy, and how others differ from that."""
    days = run.tables["days"]
    last = days[(days["arm"] == run.baseline) & (days["level"] == level) & (days["day"] == run.plan.loop_days)]
    own = last.set_index("metric")
    controls = run.tables["controls"].set_index(["level", "metric"])
    rows = []
    for _, direction, metric in run.metrics(level):
        known = bubble_metric(level, direction, metric)
        value = [float(own.loc[metric, name]) if metric in own.index else np.nan for name in ("mean", "low", "high")]
        flagged = controls["flagged"].get((level, metric), np.nan)
        rows.append(
            {
                "metric": name_with_unit(metric),
                "users": direction,
                "narrower": MISSING if known is None else known.narrower,
                run.baseline: estimate(metric, *value),
                **{arm: run.difference(arm, level, metric) for arm in (*run.remedies, *run.yardsticks)},
                "control": MISSING if np.isnan(flagged) else "seen" if flagged else "not seen",
            }
        )
    caption = (
        f"The bubble in {LEVELS[level]} on day {run.plan.loop_days}, over the last {run.plan.recent_days} days: "
        f"{run.baseline} itself, then the differences of others from it, shares in points. 95% intervals over seeds, "
        "each by itself: of twenty that mean nothing, one excludes zero. Control: whether the metric saw a bubble made "
        f"on purpose. {CHANCE}"
    )
    return table_of(rows, caption)
