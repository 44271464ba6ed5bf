"""Can the metrics be trusted? What the controls say."""

import numpy as np
import pandas as pd
from scipy import stats

from recsim_lab.evaluation.feedback.controls import ALPHA, NO_CONTROL, UNBUBBLED
from recsim_lab.reporting.blocks import Section, Table
from recsim_lab.reporting.bubble_words import (
    LEVELS,
    SHORT_LEVELS,
    bubble_name,
    estimate,
    name_with_unit,
)
from recsim_lab.reporting.feedback_loop.rows import table_of
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.figures.base import counted
from recsim_lab.reporting.words import MISSING, Estimate, listed


def trust(run: LoopRun) -> Section:
    """What the controls say of the metrics."""
    table = run.tables["controls"]
    asked = table[table["flagged"].notna()]
    missed = asked[asked["flagged"] == 0]
    false = table[table["null_flagged"] == 1]
    told = table["null_flagged"].notna().sum()
    sentences = [
        "Metrics are put to the test before they are believed. Slates that tighten the bubble (all are shown the most "
        "popular items, popularity; all are shown their favourite topic alone, top-topic) must move each metric "
        f"towards narrow, against slates that follow each user's own taste ({UNBUBBLED}). And no metric may tell the "
        "loop from its null twin, which is the loop under other luck."
    ]
    if asked.empty:
        sentences.append("Whether metrics see their control can't be told: it takes controls in two seeds or more.")
    else:
        verdict = f"Of {len(asked)} metrics with a control, {len(asked) - len(missed)} see it beyond chance"
        sentences.append(verdict + (f". Not so, {_metrics(missed)}." if len(missed) else "."))
    for reason, rows in table[table["control"] == NO_CONTROL].groupby("reason", sort=False):
        sentences.append(f"No control is named {_metrics(rows)}: {reason}.")
    if not told:
        sentences.append("Whether the null twin is told apart can't be said, for the same reason.")
    elif len(false):
        sentences.append(f"The null twin is told apart, which it must not be: {_metrics(false)}.")
    else:
        sentences.append(_apart_from_luck(table, int(told), run.control_seeds))
    few = run.control_seeds
    sentences.append(
        f"Controls ran in {counted(few, 'seed')}"
        + ("; a control that so few seeds miss may be seen by more." if few < 5 else ".")
    )
    return Section("Can the metrics be trusted?", " ".join(sentences), (controls(run),))


def _apart_from_luck(table: pd.DataFrame, told: int, num_seeds: int) -> str:
    """How little tells the null twin apart, and how little such a test could see."""
    beyond = int(((table["null_low"] > 0) | (table["null_high"] < 0)).sum())
    needed = stats.t.ppf(1 - ALPHA / (2 * told), num_seeds - 1)
    return (
        f"None of {told} metrics tells the null twin apart after Holm's correction, for which one would have to differ "
        f"by {needed:,.0f} standard errors; by themselves {beyond} of their 95% intervals exclude zero, where chance "
        f"makes {ALPHA * told:.1f}."
    )


def _metrics(rows: pd.DataFrame) -> str:
    """Names by level: `of what was shown: coverage; of tastes: drift`."""
    return "; ".join(
        f"of {LEVELS[str(level)]}: {listed([bubble_name(name) for name in own['metric']])}"
        for level, own in rows.groupby("level", sort=False)
    )


def controls(run: LoopRun) -> Table:
    """Whether each metric saw what it must see, and nothing where there is nothing."""
    rows = []
    for row in run.tables["controls"].to_dict("records"):
        metric = row["metric"]
        rows.append(
            {
                "metric": name_with_unit(metric),
                "of": SHORT_LEVELS[row["level"]],
                "users": row["direction"],
                "narrower": row["narrower"] or MISSING,
                "must see": row["control"],
                "difference from organic": estimate(
                    metric, row["difference"], row["low"], row["high"], difference=True
                ),
                "saw it": _verdict(row["flagged"], "yes", "no") if row["control"] != NO_CONTROL else MISSING,
                "null twin": estimate(
                    metric, row["null_difference"], row["null_low"], row["null_high"], difference=True
                ),
                "Holm p": Estimate(row["null_p_value"], np.nan, np.nan, ".3f").text,
                "null twin told apart": _verdict(row["null_flagged"], "yes", "no"),
            }
        )
    caption = (
        "On the last day. Must see: the control that was made to tighten the bubble, and its difference from slates "
        "that follow each user's own taste; seen if its 95% interval lies beyond zero on the narrower side. Null twin: "
        f"{run.baseline} under other luck, which no metric may tell apart (p after Holm's correction for all metrics). "
        "Shares in points. A dash: fewer than two seeds, or not known."
    )
    return table_of(rows, caption, ("Holm p",))


def _verdict(value: float, yes: str, no: str) -> str:
    return "can't tell" if np.isnan(value) else yes if value else no
