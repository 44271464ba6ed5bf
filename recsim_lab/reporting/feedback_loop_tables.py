"""The tables of a feedback loop's report: every number with its interval, every column to be sorted by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsim_lab.evaluation.bubble.diversity import entropy
from recsim_lab.evaluation.feedback.days import LAST_DAYS, WHOLE_LOOP
from recsim_lab.evaluation.feedback.frontier import NOT_REACHABLE
from recsim_lab.evaluation.feedback.prices import NONE_IN_HORIZON
from recsim_lab.reporting.blocks import Table
from recsim_lab.reporting.bubble_words import LEVELS, MAIN, SHORT_LEVELS, bubble_metric, estimate, name_with_unit
from recsim_lab.reporting.feedback_loop_run import LoopRun
from recsim_lab.reporting.figures.narrowing import NAMES
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
PRICED = (
    ("exposure", "coverage"),
    ("exposure", "effective_catalogue"),
    ("exposure", "jaccard_random"),
    ("consumption", "topic_entropy"),
    ("preference", "caused_drift"),
    ("preference", "taste_entropy"),
)
"""The metrics that are told at equal price."""
_CHANCE = "Grey: the interval holds zero."


def summary(run: LoopRun) -> Table:
    """Each remedy in a row: what it cost and earned, when it pays, what it bought."""
    days = run.plan.price_days
    rows = [
        {
            "remedy": arm,
            f"clicks, first {days} days, %": run.price(arm, "cost_percent", sign=-1.0),
            f"clicks, last {days} days, %": run.price(arm, "gain_percent"),
            "clicks, in all, %": run.price(arm, "total_percent"),
            "pays from day": _break_even(run, arm),
            **{name_with_unit(metric): run.difference(arm, "exposure", metric) for metric in MAIN},
        }
        for arm in (*run.remedies, *run.yardsticks)
    ]
    caption = (
        f"Differences from {run.baseline}, paired over seeds, with 95% intervals, each by itself; remedies first, then "
        f"controls. The last three columns are of what was shown in the last {run.plan.recent_days} days, shares in "
        f"points; more in common (Jaccard) is narrower. {_CHANCE}"
    )
    return _table(rows, caption, ("pays from day",))


def _table(rows: list[dict[str, Any]], caption: str, numbers: tuple[str, ...] = ()) -> Table:
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in rows[0]})
    return Table(frame, caption, numbers=numbers)


def _break_even(run: LoopRun, arm: str) -> str:
    day = run.break_even(arm)
    return "not reached" if day == NONE_IN_HORIZON else day or MISSING


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
    return _table(rows, caption)


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
        f"by itself. {_CHANCE}"
    )
    return _table(rows, caption, ("seeds",))


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
        f"on purpose. {_CHANCE}"
    )
    return _table(rows, caption)


def prices(run: LoopRun, arms: Sequence[str]) -> Table:
    """Costs and gains in clicks, and what the arm's model has learned more."""
    days = run.plan.price_days
    rows = [
        {
            "arm": arm,
            f"first {days} days": run.price(arm, "cost", "+.3f", -1.0),
            f"last {days} days": run.price(arm, "gain", "+.3f"),
            "in all": run.price(arm, "total", "+.2f"),
            "pays from day": _break_even(run, arm),
            "learning dividend": run.price(arm, "dividend", "+.4f"),
            "published D": run.price(arm, "published", "+.4f"),
        }
        for arm in arms
    ]
    caption = (
        f"Clicks per user of the population against {run.baseline}: per day in the first and the last {days} days, "
        "summed over the loop in all. Pays from day: the first day on which the interval of the clicks earned so far "
        "lies above zero. Learning dividend: clicks per slate that the arm's own model earns more than that of the "
        "loop without a remedy, inside the same policy, in the mean of either's users; a dash where an arm has no such "
        "model. Beside it the published D(epsilon), which also holds substitution, position and boredom, for arms that "
        f"explore evenly. 95% intervals over seeds, each by itself. {_CHANCE}"
    )
    return _table(rows, caption, ("pays from day",))


def settings(run: LoopRun) -> Table:
    """What every setting of every dial costs and earns, in percent."""
    days, told = run.plan.price_days, [arm for arm in run.plan.arms if arm.dial]
    rows = [
        {
            "dial": arm.dial,
            "setting": f"{arm.setting:g}",
            f"first {days} days, %": run.price(arm.name, "cost_percent", sign=-1.0),
            f"last {days} days, %": run.price(arm.name, "gain_percent"),
            "in all, %": run.price(arm.name, "total_percent"),
            "pays from day": _break_even(run, arm.name),
            **{name_with_unit(metric): run.difference(arm.name, "exposure", metric) for metric in MAIN},
        }
        for arm in told
    ]
    caption = (
        f"Every setting that was run: clicks per user against {run.baseline} in percent, and what was shown in the "
        f"last {run.plan.recent_days} days. 95% intervals over seeds, each by itself. {_CHANCE}"
    )
    return _table(rows, caption, ("setting", "pays from day"))


def worth(run: LoopRun, arms: Sequence[str]) -> Table:
    """What the model and the log gain."""
    columns = {
        "refit: clicks per slate": ("refit_clicks", "+.4f"),
        "refit: order of items": ("refit_rank_agreement", "+.4f"),
        "value: error": ("value_error", ".3f"),
        "value: refused": ("value_refused", ".2f"),
    }
    rows = [{"arm": arm} | {name: run.price(arm, *column) for name, column in columns.items()} for arm in arms]
    refused = float(run.prices[arms[0]].get("value_refused_baseline", np.nan))
    caption = (
        f"Refit: a new model ({run.plan.student}) learned from the arm's log alone, against one from the log without "
        "a remedy; expected clicks per slate where it serves the users before the loop, and Spearman's correlation of "
        "its scores with true utility. Value: the relative error of what the arm's log tells of another policy's "
        "value, in the seeds where it tells any, and the share of those where it can't"
        + (f" (without a remedy: {refused:.0%})" if np.isfinite(refused) else "")
        + f". 95% intervals over seeds, each by itself. {_CHANCE}"
    )
    return _table(rows, caption)


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
        f"interval, too. Other metrics are in `frontier.csv`. {_CHANCE}"
    )
    return _table(rows, caption, ("clicks lost, %", "setting"))


_ENDS = ("value", "low", "high")


def _priced_name(level: str, metric: str) -> str:
    return f"{name_with_unit(metric)} ({SHORT_LEVELS[level]})"


def narrowing_parts(run: LoopRun) -> Table:
    """Every part of the change of every metric of tastes."""
    table, rows = run.tables["narrowing"], []
    for metric, own in table.groupby("metric", sort=False):
        parts = own.set_index("part")
        rows.append(
            {"metric": name_with_unit(str(metric))}
            | {
                words: estimate(str(metric), *(float(parts.loc[part, end]) for end in _ENDS), difference=True)
                for part, words in NAMES.items()
            }
        )
    num_seeds = int(table["num_seeds"].iloc[0])
    caption = (
        f"From the tastes when the loop began to those at its end, in {num_seeds} "
        f"seed{'' if num_seeds == 1 else 's'}, with 95% intervals, each by itself; shares in points. {_CHANCE}"
    )
    return _table(rows, caption)


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
                "narrower": row["narrower"],
                "must see": row["control"] or MISSING,
                "difference from organic": estimate(
                    metric, row["difference"], row["low"], row["high"], difference=True
                ),
                "saw it": _verdict(row["flagged"], "yes", "no") if row["control"] else MISSING,
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
    return _table(rows, caption, ("Holm p",))


def _verdict(value: float, yes: str, no: str) -> str:
    return "can't tell" if np.isnan(value) else yes if value else no


def users(run: LoopRun, examples: pd.DataFrame, arms: Sequence[str]) -> Table:
    """What the example users were shown and became, in numbers."""
    rows = []
    for user, group in examples[["user", "group"]].drop_duplicates().itertuples(index=False, name=None):
        for arm in arms:
            own = examples[(examples["user"] == user) & (examples["arm"] == arm)]
            shown, taste = (own.pivot(index="day", columns="topic", values=name) for name in ("shown", "taste"))
            seen = shown.dropna()
            before, after = taste.iloc[0].to_numpy(float), taste.iloc[-1].to_numpy(float)
            favourite = int(before.argmax())
            rows.append(
                {
                    "user": f"{user} ({group})",
                    "arm": arm,
                    "shown, first": _effective(seen.iloc[0]) if len(seen) else np.nan,
                    "shown, last": _effective(seen.iloc[-1]) if len(seen) else np.nan,
                    "taste, before": _effective(taste.iloc[0]),
                    "taste, after": _effective(taste.iloc[-1]),
                    "favourite, before": before[favourite],
                    "favourite, after": after[favourite],
                    "taste moved": float(np.abs(after - before).sum() / 2),
                }
            )
    caption = (
        "One life under each arm, so there are no intervals. Shown and taste: how many topics, all alike, would "
        "be as diverse (exponential of the entropy); shown on the first and the last measured day on which the user "
        "had come. Favourite: the share in taste of the topic liked most before the loop. Taste moved: the share of "
        "the taste that lies on other topics now."
    )
    topics = dict.fromkeys(("shown, first", "shown, last", "taste, before", "taste, after"), ".1f")
    shares = dict.fromkeys(("favourite, before", "favourite, after", "taste moved"), ".0%")
    return Table(pd.DataFrame(rows), caption, topics | shares)


def _effective(shares: "pd.Series[float]") -> float:
    return float(np.exp(entropy(shares.to_numpy(float)[None])[0]))


def arms(run: LoopRun) -> Table:
    """Who served."""
    frame = pd.DataFrame(
        {
            "arm": [arm.name for arm in run.plan.arms],
            "policy": [arm.policy for arm in run.plan.arms],
            "role": ["no remedy" if arm == run.plan.baseline else arm.role for arm in run.plan.arms],
            "learns": ["yes" if arm.learns and not arm.is_reference else "no" for arm in run.plan.arms],
            "seeds": [
                run.num_seeds if arm.role != "control" else min(run.plan.control_seeds, run.num_seeds)
                for arm in run.plan.arms
            ],
        }
    )
    return Table(frame, "All arms. References such as the oracle read the hidden truth.")
