"""Where a change of tastes comes from."""

from recsim_lab.evaluation.feedback.narrowing import PARTS
from recsim_lab.reporting.blocks import Block, Details, Section, Table
from recsim_lab.reporting.bubble_words import (
    HEADLINES,
    estimate,
    name_with_unit,
)
from recsim_lab.reporting.feedback_loop.rows import CHANCE, table_of
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.figures.base import counted
from recsim_lab.reporting.figures.narrowing import NAMES, narrowing_waterfalls


def narrowing(run: LoopRun) -> Section | None:
    """Where the change of tastes comes from; None where the runs that tell it are missing."""
    table = run.tables["narrowing"]
    if table.empty:
        return None
    told = table[table["part"].isin(PARTS)].groupby(["direction", "metric"], sort=False)["value"]
    known = [key for key, values in told if values.notna().all()]
    metrics = [key for name in HEADLINES["preference"] for key in known if key[1] == name]
    rest = [key for key in known if key not in metrics]
    blocks: list[Block] = [narrowing_waterfalls(table, metrics)] if metrics else []
    blocks.append(narrowing_parts(run))
    if rest:
        blocks.append(Details(counted(len(rest), "more metric"), (narrowing_waterfalls(table, rest),)))
    return Section(
        "Where a change of tastes comes from",
        "Tastes change without any recommender, so not all of it is the loop's doing. Runs that differ in one thing "
        "each cut the change into parts: by itself (nobody is served), by choosing oneself (organic), by a model's "
        "choice (frozen), by its retraining on what it showed (the loop). The feedback is in the last alone"
        + _forgetting(run),
        tuple(blocks),
    )


def _forgetting(run: LoopRun) -> str:
    """What else the last part holds."""
    plan = run.plan
    if plan.window_days >= plan.end_day:
        return "."
    return (
        f", and so is forgetting: the frozen model has learned from all {plan.log_days} days before the loop, the "
        f"loop's own learns from the newest {plan.window_days}. These parts can't tell the two apart."
    )


def narrowing_parts(run: LoopRun) -> Table:
    """Every part of the change of every metric of tastes."""
    table, rows = run.tables["narrowing"], []
    for metric, own in table.groupby("metric", sort=False):
        parts = own.set_index("part")
        rows.append(
            {"metric": name_with_unit(str(metric))}
            | {
                words: estimate(
                    str(metric), *(float(parts.loc[part, end]) for end in ("value", "low", "high")), difference=True
                )
                for part, words in NAMES.items()
            }
        )
    num_seeds = int(table["num_seeds"].iloc[0])
    caption = (
        f"From the tastes when the loop began to those at its end, in {num_seeds} "
        f"seed{'' if num_seeds == 1 else 's'}, with 95% intervals, each by itself; shares in points. {CHANCE}"
    )
    return table_of(rows, caption)
