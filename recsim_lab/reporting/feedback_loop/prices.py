"""What remedies cost and buy."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recsim_lab.evaluation.feedback.days import EARNED
from recsim_lab.evaluation.feedback.narrowing import FROZEN
from recsim_lab.evaluation.feedback.plan import NULL_TWIN
from recsim_lab.reporting.blocks import Block, Section, Table
from recsim_lab.reporting.bubble_words import bubble_name, name_with_unit, turned
from recsim_lab.reporting.feedback_loop.rows import CHANCE, break_even_words, table_of
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.figures.multiples import differences_over_days
from recsim_lab.reporting.figures.pareto import Trade, front_of, pareto_plots
from recsim_lab.reporting.words import MISSING, listed


def prices(run: LoopRun) -> Section:
    arms = run.shown
    blocks: list[Block] = []
    if run.remedies:
        blocks.append(pareto_plots(trades(run), run.styles(FROZEN, NULL_TWIN)))
        marks = {arm: int(run.break_even(arm)) for arm in run.remedies if run.break_even(arm).isdigit()}
        days = run.tables["days"]
        blocks.append(differences_over_days(days, EARNED, run.remedies, run.styles(), marks))
    if arms:
        blocks += [prices_table(run, arms), worth(run, arms)]
    return Section(
        "What remedies cost and buy",
        "A remedy may cost clicks at first and pay later: through a better model, a log that is worth more, or users "
        "who stay. The null twin is no remedy under other luck: what lies as near to the origin as it does is luck. "
        "A dashed upright line in the panels of clicks so far marks the day from which a remedy pays."
        + (f" {_front(run)}" if run.remedies else "")
        + "\n\n"
        "Intervals are of each number by itself; of twenty differences that are zero, one is called beyond chance. "
        "Break-even is looked at on every day, which gives chance more tries still.",
        tuple(blocks),
    )


def _front(run: LoopRun) -> str:
    """Who stands on the front of the first plane."""
    front = front_of(trades(run)[0], (run.baseline, *run.remedies))
    return (
        "By their means, none beats these in both clicks over the whole loop and the effective catalogue: "
        f"{listed(front)}."
    )


def trades(run: LoopRun) -> list[Trade]:
    """Clicks over the whole loop and in its last days, against the effective catalogue and the overlap of users."""
    last = f"last {run.plan.price_days} days"
    spans = (("total_percent", "whole loop"), ("gain_percent", last))
    panels = []
    for metric in ("effective_catalogue", "jaccard_random"):
        for column, words in spans:
            rows: list[dict[str, object]] = [
                dict.fromkeys(("x", "x_low", "x_high", "y", "y_low", "y_high"), 0.0) | {"arm": run.baseline}
            ]
            for arm in (*run.remedies, *(name for name in (FROZEN, NULL_TWIN) if run.ran(name))):
                x, y = run.price(arm, column), run.difference(arm, "exposure", metric)
                row = {"arm": arm, "x": x.value, "x_low": x.low, "x_high": x.high}
                rows.append(row | {"y": y.value, "y_low": y.low, "y_high": y.high})
            panels.append(
                Trade(
                    f"{bubble_name(metric)}, {words}",
                    f"change of clicks per user, {words}, %",
                    f"change of {name_with_unit(metric).replace(', %', ', points')}",
                    pd.DataFrame(rows),
                    turned=turned("exposure", "between", metric),
                )
            )
    return panels


def prices_table(run: LoopRun, arms: Sequence[str]) -> Table:
    """Costs and gains in clicks, and what the arm's model has learned more."""
    days = run.plan.price_days
    rows = [
        {
            "arm": arm,
            f"first {days} days": run.price(arm, "cost", "+.3f", -1.0),
            f"last {days} days": run.price(arm, "gain", "+.3f"),
            "in all": run.price(arm, "total", "+.2f"),
            "pays from day": break_even_words(run, arm),
            "learning dividend": run.price(arm, "dividend", "+.4f"),
            "seeds of dividend": _seeds(run, arm, "dividend"),
            "published D": run.price(arm, "published", "+.4f"),
            "seeds of D": _seeds(run, arm, "published"),
        }
        for arm in arms
    ]
    caption = (
        f"Clicks per user of the population against {run.baseline}: per day in the first and the last {days} days, "
        "summed over the loop in all. Pays from day: the first day on which the interval of the clicks earned so far "
        f"lies above zero.{_luck(run)} Learning dividend: clicks per slate that the arm's own model earns more than "
        "that of the loop without a remedy, inside the same policy, in the mean of either's users; a dash where an arm "
        "has no such model. Beside it, for arms that explore evenly, the published D(epsilon), which also holds what "
        "random items do to other slots (substitution, position, boredom), so that the two may differ in sign; it "
        "is known in the seeds of the random control alone. 95% intervals over seeds, each by itself. "
        f"{CHANCE}"
    )
    return table_of(rows, caption, ("pays from day", "seeds of dividend", "seeds of D"))


def _seeds(run: LoopRun, arm: str, name: str) -> str:
    return str(run.prices.get(arm, {}).get(f"{name}_seeds", 0) or MISSING)


def _luck(run: LoopRun) -> str:
    """When luck alone seems to pay."""
    day = run.break_even(NULL_TWIN)
    return f" Luck alone can look like that: the null twin pays from day {day}." if day.isdigit() else ""


def worth(run: LoopRun, arms: Sequence[str]) -> Table:
    """What the model and the log gain."""
    columns = {
        "refit: clicks per slate": ("refit_clicks", "+.4f"),
        "refit: order of items": ("refit_rank_agreement", "+.4f"),
        "off-policy: error": ("value_error", ".3f"),
        "off-policy: refused": ("value_refused", ".2f"),
    }
    rows = [{"arm": arm} | {name: run.price(arm, *column) for name, column in columns.items()} for arm in arms]
    refused = float(run.prices[arms[0]].get("value_refused_baseline", np.nan))
    caption = (
        f"Refit: a new model ({run.plan.student}) learned from the arm's log alone, against one from the log without "
        "a remedy; expected clicks per slate where it serves the users before the loop, and Spearman's correlation of "
        "its scores with true utility. Off-policy: the relative error of what some slates of the days after the loop "
        "tell of another policy's value, in the seeds where they tell any, and the share of those where they can't"
        + (f" (without a remedy: {refused:.0%})" if np.isfinite(refused) else "")
        + f". 95% intervals over seeds, each by itself. {CHANCE}"
    )
    return table_of(rows, caption)
