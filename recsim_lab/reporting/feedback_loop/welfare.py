"""What happened: engagement and welfare, apart from each other."""

import numpy as np

from recsim_lab.evaluation.feedback.days import LAST_DAYS, WHOLE_LOOP
from recsim_lab.evaluation.feedback.narrowing import FROZEN, ORGANIC
from recsim_lab.reporting.blocks import Block, Section, Table
from recsim_lab.reporting.bubble_words import (
    estimate,
    name_with_unit,
)
from recsim_lab.reporting.feedback_loop.rows import CHANCE, table_of
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.figures.multiples import differences_over_days, metrics_over_days
from recsim_lab.reporting.words import MISSING, Estimate

WELFARE = (
    ("clicks_per_user", WHOLE_LOOP),
    ("dwell_per_user", WHOLE_LOOP),
    ("satisfaction", LAST_DAYS),
    ("num_churned", LAST_DAYS),
    ("true_utility", LAST_DAYS),
    ("regret", LAST_DAYS),
    ("niche_clicks_gap", WHOLE_LOOP),
)
WELFARE_PANELS = (
    ("welfare", "platform", "clicks_per_user"),
    ("welfare", "platform", "dwell_per_user"),
    ("welfare", "platform", "satisfaction"),
    ("welfare", "platform", "num_churned"),
    ("welfare", "platform", "true_utility"),
    ("welfare", "platform", "regret"),
)


def what_happened(run: LoopRun) -> Section:
    days = run.tables["days"]
    known = {tuple(key) for key in days[["level", "direction", "metric"]].drop_duplicates().to_numpy().tolist()}
    panels = [key for key in WELFARE_PANELS if key in known]
    blocks: tuple[Block, ...] = (metrics_over_days(days, panels, run.styles(FROZEN, ORGANIC)),)
    if run.remedies:
        blocks += (differences_over_days(days, "clicks_per_user", run.remedies, run.styles()),)
    if run.shown:
        blocks += (welfare_differences(run),)
    blocks += (welfare_levels(run),)
    return Section(
        "What happened: engagement and welfare",
        "Engagement is what a platform sees: clicks and minutes. Welfare is what users have of it; most of it only the "
        "lab can see. The two are told apart, since a remedy may cost one and serve the other. The oracle, far above "
        "all, and other controls are in the tables alone.",
        blocks,
    )


def welfare_differences(run: LoopRun) -> Table:
    """The same against no remedy."""
    rows = [
        {"arm": arm}
        | {_welfare_name(run, *key): _welfare(run, arm, *key, difference=True) for key in WELFARE}
        | {"seeds": str(run.prices[arm]["num_seeds"]) if arm in run.prices else MISSING}
        for arm in run.shown
    ]
    caption = (
        f"Differences from {run.baseline} on the same users with the same luck, with 95% intervals over seeds, each "
        f"by itself. {CHANCE}"
    )
    return table_of(rows, caption, ("seeds",))


def welfare_levels(run: LoopRun) -> Table:
    """What each arm gave its users."""
    rows = [
        {"arm": arm} | {_welfare_name(run, *key): _welfare(run, arm, *key, difference=False) for key in WELFARE}
        for arm in (run.baseline, *run.shown)
    ]
    caption = (
        "Means over seeds with 95% intervals. Clicks and minutes are per user of the population and day, whether they "
        "came or not. Satisfaction, true utility (of a shown item) and regret (expected clicks that the oracle's slate "
        "would have had more) are hidden from any real platform; the latter two are of "
        f"{run.plan.probe_share:.0%} of the requests. Controls that ran in fewer seeds met other worlds in the mean: "
        "compare arms by the table above."
    )
    return table_of(rows, caption)


def _welfare_name(run: LoopRun, metric: str, days: str) -> str:
    name = name_with_unit(metric)
    return name if days == WHOLE_LOOP else f"{name}, last {run.plan.price_days} days"


def _welfare(run: LoopRun, arm: str, metric: str, days: str, *, difference: bool) -> Estimate:
    table = run.tables["welfare"]
    rows = table[(table["arm"] == arm) & (table["metric"] == metric) & (table["days"] == days)]
    if rows.empty:
        return estimate(metric, np.nan, np.nan, np.nan, difference=difference)
    row = rows.iloc[0]
    names = ("difference", "difference_low", "difference_high") if difference else ("mean", "low", "high")
    return estimate(metric, *(float(row[name]) for name in names), difference=difference)
