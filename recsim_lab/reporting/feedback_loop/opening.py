"""The report in short: three numbers of the loop and a row for each remedy."""

from recsim_lab.reporting.blocks import Block, KeyNumber, KeyNumbers, Section, Table
from recsim_lab.reporting.bubble_words import (
    MAIN,
    bubble_name,
    name_with_unit,
    scale_of,
)
from recsim_lab.reporting.feedback_loop.rows import CHANCE, break_even_words, table_of
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.figures.base import counted


def in_short(run: LoopRun) -> Section:
    numbers = []
    for metric in MAIN:
        loop, twin, less = run.narrowing("exposure", metric)
        unit = "%" if scale_of(metric) == 100 else " items"
        told = f"{less.text}{' points' if unit == '%' else ''}, {less.ends}" if less.ends else "not known"
        seeds = f", {counted(run.control_seeds, 'seed')}" if run.control_seeds < run.num_seeds else ""
        numbers.append(
            KeyNumber(
                f"{loop.text}{unit}" if less.ends else loop.text,
                f"{bubble_name(metric)}, shown by the loop{seeds}",
                f"{twin.text}{unit} by its frozen twin; difference {told}",
            )
        )
    numbers.append(KeyNumber(str(run.num_seeds), "seeds", _few(run.num_seeds)))
    blocks: tuple[Block, ...] = (KeyNumbers(tuple(numbers)),)
    if run.remedies or run.yardsticks:
        blocks += (summary(run),)
    return Section("In short", _what_was_done(run), blocks)


def _what_was_done(run: LoopRun) -> str:
    plan, every = run.plan, run.plan.retrain_every
    return (
        f"A model (`{plan.baseline.policy}`) served the simulated users of `{plan.world}` for {plan.loop_days} days "
        f"and learned every {'day' if every == 1 else f'{every} days'} from what it had shown: {run.baseline}. Twins "
        f"of the same users, with the same luck, were served under remedies ({len(run.remedies)}) and by controls "
        f"({len(run.controls)}), such as the same model never retrained (frozen). All was repeated in "
        f"{counted(run.num_seeds, 'seed')}, each with a world, a log and a training of its own."
    )


def _few(num_seeds: int) -> str:
    if num_seeds < 2:
        return "no intervals: nothing can be told from luck"
    return "intervals are very wide" if num_seeds < 5 else "worlds, logs and trainings of their own"


def summary(run: LoopRun) -> Table:
    """Each remedy in a row: what it cost and earned, when it pays, what it bought."""
    days = run.plan.price_days
    rows = [
        {
            "remedy": arm,
            f"clicks, first {days} days, %": run.price(arm, "cost_percent", sign=-1.0),
            f"clicks, last {days} days, %": run.price(arm, "gain_percent"),
            "clicks, in all, %": run.price(arm, "total_percent"),
            "pays from day": break_even_words(run, arm),
            **{name_with_unit(metric): run.difference(arm, "exposure", metric) for metric in MAIN},
        }
        for arm in (*run.remedies, *run.yardsticks)
    ]
    caption = (
        f"Differences from {run.baseline}, paired over seeds, with 95% intervals, each by itself; remedies first, then "
        f"controls. The last three columns are of what was shown in the last {run.plan.recent_days} days, shares in "
        "points; more in common (Jaccard) is narrower. What the names stand for, such as how many slots are random, is "
        f"under How it was done. {CHANCE}"
    )
    return table_of(rows, caption, ("pays from day",))
