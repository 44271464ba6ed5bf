"""Other readings of the same loop: at equal clicks, over users who stay in every arm, and as an A/B test would see it.

Each is shown where its table is given: `equal_clicks`, `present` and `experiments`.
"""

from collections.abc import Callable

import pandas as pd

from recsim_lab.evaluation.feedback.differences import paired
from recsim_lab.evaluation.statistics import mean_interval, paired_interval
from recsim_lab.reporting.blocks import Section, Table
from recsim_lab.reporting.bubble_words import estimate, name_with_unit
from recsim_lab.reporting.experiments import LEARNING, compared_effects
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.words import Estimate

EQUAL_CLICKS, PRESENT, EXPERIMENTS = "equal_clicks", "present", "experiments"


def other_readings(run: LoopRun) -> Section | None:
    """None where there is no other reading."""
    tables, blocks = run.tables, []
    if len(table := tables.get(EQUAL_CLICKS, pd.DataFrame())):
        clicks = int(table["num_clicks"].iloc[0])
        blocks.append(
            reading(
                run,
                table,
                f"At equal clicks: of each user {clicks} clicks of the loop count, of the same users in all arms of a "
                f"seed ({_users(table)}). An arm that earns more clicks is not broader for that alone.",
            )
        )
    if len(table := tables.get(PRESENT, pd.DataFrame())):
        words = (
            f"Only users who are there at the end in every arm of a seed ({_users(table)}): clicks of the whole loop "
            "and tastes at its end. Who leaves depends on the arm, so these are no random sample; where this differs "
            "from the tables above, those rest on who left."
        )
        blocks.append(reading(run, table, words))
    if len(table := tables.get(EXPERIMENTS, pd.DataFrame())):
        blocks.append(ab_tests(run, table))
    text = "The same loop read otherwise: what holds in one reading alone should not be trusted much."
    return Section("Other readings", text, tuple(blocks)) if blocks else None


def _users(table: pd.DataFrame) -> str:
    numbers = table.groupby("seed")["num_users"].first()
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,d} users" if low == high else f"{low:,d} to {high:,d} users"


def reading(run: LoopRun, table: pd.DataFrame, words: str) -> Table:
    """The baseline's metrics, and how others differ from it; `table` has columns `arm, seed, metric, value`."""
    wide = table.pivot(index=["arm", "seed"], columns="metric", values="value")
    metrics = [metric for metric in dict.fromkeys(table["metric"]) if wide[metric].notna().any()]
    own = wide.loc[run.baseline]
    rows: list[dict[str, object]] = [
        {"arm": run.baseline}
        | {name_with_unit(m): _estimate(m, mean_interval(own[m].to_numpy(float)), difference=False) for m in metrics}
    ]
    for arm in run.shown:
        told = {m: paired_interval(*paired(wide, arm, run.baseline, m)) for m in metrics}
        rows.append({"arm": arm} | {name_with_unit(m): _estimate(m, e, difference=True) for m, e in told.items()})
    caption = (
        f"{words} {run.baseline.capitalize()} itself, then differences from it, shares in points; 95% intervals over "
        "seeds, each by itself. Grey: the interval holds zero."
    )
    return Table(
        pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in rows[0]}), caption
    )


def _estimate(metric: str, told: object, *, difference: bool) -> Estimate:
    ends = (getattr(told, name) for name in ("estimate", "low", "high"))
    return estimate(metric, *ends, difference=difference)


def _of(tests: pd.DataFrame, what: Callable[[pd.DataFrame], pd.Series]) -> str:
    return f"{int(what(tests).sum())} of {len(tests)}"


def _excludes_zero(tests: pd.DataFrame) -> pd.Series:
    return (tests["low"] > 0) | (tests["high"] < 0)


def _holds_truth(tests: pd.DataFrame) -> pd.Series:
    return (tests["low"] <= tests["truth"]) & (tests["truth"] <= tests["high"])


def ab_tests(run: LoopRun, effects: pd.DataFrame) -> Table:
    """What A/B tests of remedies say beside the truth, in clicks per user."""
    names = {arm.policy: arm.name for arm in run.plan.arms}
    asked = effects[effects["metric"] == "clicks_per_user"]
    rows = [
        {
            "remedy": names.get(str(challenger), str(challenger)),
            "learning": row["learning"],
            "true effect": f"{row['truth']:+.3f}".replace("-", "\N{MINUS SIGN}"),
            "test says": f"{row['estimate']:+.3f}".replace("-", "\N{MINUS SIGN}"),
            "interference": Estimate(row["interference"], row["low"], row["high"], "+.3f"),
            "tests that exclude zero": _of(own[own["learning"] == row["learning"]], _excludes_zero),
            "tests that hold the truth": _of(own[own["learning"] == row["learning"]], _holds_truth),
        }
        for challenger, own in asked.groupby("challenger", sort=False)
        for row in compared_effects(own).to_dict("records")
    ]
    days = int(asked["days"].iloc[0])
    caption = (
        f"A/B tests of a remedy against none, of {days} days from the loop's first (the loop goes on for "
        f"{run.plan.loop_days}), in clicks per user in all: what the remedy does to everybody, what the test "
        "says, and how far it errs beyond who happened to be in which arm (interference, 95% interval over seeds). "
        f"{LEARNING} Means over seeds. A test that excludes zero has seen an effect; to hold the truth says little "
        "where intervals are wider than the effects. The rest is in experiments.csv."
    )
    return Table(pd.DataFrame(rows), caption, numbers=("true effect", "test says"))
