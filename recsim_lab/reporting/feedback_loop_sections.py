"""The sections of a feedback loop's report, and the figures in them."""

from dataclasses import replace

import pandas as pd

from recsim_lab.evaluation.feedback.controls import UNBUBBLED
from recsim_lab.evaluation.feedback.days import EARNED
from recsim_lab.evaluation.feedback.narrowing import FROZEN, ORGANIC, PARTS
from recsim_lab.evaluation.feedback.plan import NOBODY, NULL_TWIN
from recsim_lab.reporting import feedback_loop_tables as tables
from recsim_lab.reporting.blocks import Block, Details, Figure, KeyNumber, KeyNumbers, Section
from recsim_lab.reporting.bubble_words import (
    DIRECTIONS,
    HEADLINES,
    LEVELS,
    MAIN,
    bubble_metric,
    bubble_name,
    name_with_unit,
    scale_of,
)
from recsim_lab.reporting.feedback_loop_run import LoopRun
from recsim_lab.reporting.figures.base import counted
from recsim_lab.reporting.figures.dials import dial_lines
from recsim_lab.reporting.figures.multiples import differences_over_days, metrics_over_days
from recsim_lab.reporting.figures.narrowing import narrowing_waterfalls
from recsim_lab.reporting.figures.pareto import Trade, front_of, pareto_plots
from recsim_lab.reporting.figures.user_topics import user_topics
from recsim_lab.reporting.words import listed

WELFARE_PANELS = (
    ("welfare", "platform", "clicks_per_user"),
    ("welfare", "platform", "dwell_per_user"),
    ("welfare", "platform", "satisfaction"),
    ("welfare", "platform", "num_churned"),
    ("welfare", "platform", "true_utility"),
    ("welfare", "platform", "regret"),
)
LIFE_YARDSTICKS = (FROZEN, ORGANIC, "random")


def in_short(run: LoopRun) -> Section:
    numbers = []
    for metric in MAIN:
        loop, twin, less = run.narrowing("exposure", metric)
        unit = "%" if scale_of(metric) == 100 else " items"
        told = f"{less.text}{' points' if unit == '%' else ''}, {less.ends}" if less.ends else "not known"
        numbers.append(
            KeyNumber(
                f"{loop.text}{unit}" if less.ends else loop.text,
                f"{bubble_name(metric)}, shown by the loop",
                f"{twin.text}{unit} by its frozen twin; difference {told}",
            )
        )
    numbers.append(KeyNumber(str(run.num_seeds), "seeds", _few(run.num_seeds)))
    blocks: tuple[Block, ...] = (KeyNumbers(tuple(numbers)),)
    if run.remedies or run.yardsticks:
        blocks += (tables.summary(run),)
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


def what_happened(run: LoopRun) -> Section:
    days = run.tables["days"]
    known = {tuple(key) for key in days[["level", "direction", "metric"]].drop_duplicates().to_numpy().tolist()}
    panels = [key for key in WELFARE_PANELS if key in known]
    blocks: tuple[Block, ...] = (metrics_over_days(days, panels, run.styles(FROZEN, ORGANIC)),)
    if run.remedies:
        blocks += (differences_over_days(days, "clicks_per_user", run.remedies, run.styles()),)
    if run.shown:
        blocks += (tables.welfare_differences(run),)
    blocks += (tables.welfare_levels(run),)
    return Section(
        "What happened: engagement and welfare",
        "Engagement is what a platform sees: clicks and minutes. Welfare is what users have of it; most of it only the "
        "lab can see. The two are told apart, since a remedy may cost one and serve the other. The oracle, far above "
        "all, and other controls are in the tables alone.",
        blocks,
    )


def bubble(run: LoopRun, level: str) -> Section:
    """The bubble over days in one level: headlines in the open, all else folded."""
    shown, everything = run.tables["days"], run.metrics(level)
    styles = run.styles(*run.yardsticks, NOBODY) if level == "preference" else run.styles(*run.yardsticks)
    first = [key for name in HEADLINES[level] for key in everything if key[2] == name]
    blocks: list[Block] = [metrics_over_days(shown, first, styles)] if first else []
    blocks.append(tables.bubble_differences(run, level))
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


def prices(run: LoopRun) -> Section:
    arms = run.shown
    blocks: list[Block] = []
    if run.remedies:
        blocks.append(pareto_plots(trades(run), run.styles(FROZEN, NULL_TWIN)))
        marks = {arm: int(run.break_even(arm)) for arm in run.remedies if run.break_even(arm).isdigit()}
        days = run.tables["days"]
        blocks.append(differences_over_days(days, EARNED, run.remedies, run.styles(), marks))
    if arms:
        blocks += [tables.prices(run, arms), tables.worth(run, arms)]
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
            known = bubble_metric("exposure", "between", metric)
            panels.append(
                Trade(
                    f"{bubble_name(metric)}, {words}",
                    f"change of clicks per user, {words}, %",
                    f"change of {name_with_unit(metric).replace(', %', ', points')}",
                    pd.DataFrame(rows),
                    turned=known is not None and known.narrower == "higher",
                )
            )
    return panels


def equal_price(run: LoopRun) -> Section | None:
    """What dials buy at equal price; None where none was turned."""
    dials = [arm.dial for arm in run.plan.arms if arm.dial]
    if run.tables["frontier"].empty or max(map(dials.count, dials), default=0) < 2:
        return None
    rows: list[dict[str, object]] = []
    for arm in (arm for arm in run.plan.arms if arm.dial):
        cost = run.price(arm.name, "cost_percent").value
        for metric in MAIN:
            told = run.difference(arm.name, "exposure", metric)
            scale = scale_of(metric)
            ends = {"difference": told.value / scale, "low": told.low / scale, "high": told.high / scale}
            rows.append({"dial": arm.dial, "setting": arm.setting, "cost": cost, "metric": metric} | ends)
    metrics = [
        (metric, known is not None and known.narrower == "higher")
        for metric in MAIN
        for known in (bubble_metric("exposure", "between", metric),)
    ]
    return Section(
        "At equal price",
        "Remedies are fair to compare where they cost the same. Each dial is turned up step by step; between its "
        "settings what it buys is read off at fixed prices.",
        (dial_lines(pd.DataFrame(rows), metrics), tables.frontier(run), tables.settings(run)),
    )


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
    blocks.append(tables.narrowing_parts(run))
    if rest:
        blocks.append(Details(counted(len(rest), "more metric"), (narrowing_waterfalls(table, rest),)))
    return Section(
        "Where a change of tastes comes from",
        "Tastes change without any recommender, so not all of it is the loop's doing. Runs that differ in one thing "
        "each cut the change into parts: by itself (nobody is served), by choosing oneself (organic), by a model's "
        "choice (frozen), by its retraining on what it showed (the loop). Only the last is the feedback.",
        tuple(blocks),
    )


def lives(run: LoopRun) -> Section | None:
    """A few users under every arm; None where nobody is told of."""
    seed = run.plan.seeds[0]
    examples = run.tables["examples"]
    examples = examples[examples["seed"] == seed]
    there = set(examples["arm"])
    if run.baseline not in there:
        return None
    arms = [arm for arm in (run.baseline, *run.remedies, *LIFE_YARDSTICKS) if arm in there]
    folded: list[Block] = []
    seen = set()
    for user, group in examples[["user", "group"]].drop_duplicates().itertuples(index=False, name=None):
        figure = user_topics(examples[examples["user"] == user], arms)
        title = f"User {user}, {group}"
        figure = replace(figure, alt=f"{title}. {figure.alt}")
        folded.append(Details(title, (figure,), unfolded=group not in seen))
        seen.add(group)
    return Section(
        "Users one by one",
        f"The same users in each arm, in seed {seed}: those with the most clicks before the loop of mainstream users "
        "(whose tastes lie near the average) and of niche users. They are examples: what holds of them need not hold "
        "of others. Other seeds are in `examples.csv`.",
        (*folded, tables.users(run, examples, arms)),
    )


def trust(run: LoopRun) -> Section:
    """What the controls say of the metrics."""
    table = run.tables["controls"]
    asked = table[table["flagged"].notna()]
    missed = asked[asked["flagged"] == 0]
    false = table[table["null_flagged"] == 1]
    told = table["null_flagged"].notna().sum()
    sentences = [
        "Metrics are put to the test before they are believed. Slates made to tighten the bubble (all are shown what "
        "is most appealing, homogeniser; all are shown their favourite topic alone, top-topic) must move each metric "
        f"towards narrow, against slates that follow each user's own taste ({UNBUBBLED}). And no metric may tell the "
        "loop from its null twin, which is the loop under other luck."
    ]
    if asked.empty:
        sentences.append("Whether metrics see their control can't be told: it takes controls in two seeds or more.")
    else:
        verdict = f"Of {len(asked)} metrics with a control, {len(asked) - len(missed)} see it beyond chance"
        sentences.append(verdict + (f". Not so, {_metrics(missed)}." if len(missed) else "."))
    if not told:
        sentences.append("Whether the null twin is told apart can't be said, for the same reason.")
    elif len(false):
        sentences.append(f"The null twin is told apart, which it must not be: {_metrics(false)}.")
    else:
        sentences.append(f"None of {told} metrics tells the null twin apart.")
    few = min(run.plan.control_seeds, run.num_seeds)
    sentences.append(
        f"Controls ran in {counted(few, 'seed')}"
        + ("; a control that so few seeds miss may be seen by more." if few < 5 else ".")
    )
    return Section("Can the metrics be trusted?", " ".join(sentences), (tables.controls(run),))


def _metrics(rows: pd.DataFrame) -> str:
    """Names by level: `of what was shown: coverage; of tastes: drift`."""
    return "; ".join(
        f"of {LEVELS[str(level)]}: {listed([bubble_name(name) for name in own['metric']])}"
        for level, own in rows.groupby("level", sort=False)
    )


def how(run: LoopRun) -> Section:
    return Section("How it was done", _HOW.format(**vars(run.plan)), (tables.arms(run),))


_HOW = (
    "Slates of `{logging}` were logged for {log_days} days. Then each arm served twins of the same users for "
    "{loop_days} days; agents learned again and again (days between: {retrain_every}) from the last {window_days} days "
    "of what they had shown, and of the log before. The bubble is measured over the last {recent_days} days (days from "
    "one measurement to the next: {measure_every}); at most {sample} users are compared in pairs. The learning "
    "dividend is that of {dividend_days} days after the loop.\n\n"
    "Intervals are Student's at 95% over seeds. Differences are paired: both arms meet the same users and the same "
    "luck, so that they are known better than either level. Every number is in a table of the run's folder, as CSV: "
    "`timeline.csv` has each seed's value of each metric on each day, `days.csv` and `welfare.csv` their means, "
    "differences and intervals."
)


def named_figures(sections: list[Section]) -> dict[str, Figure]:
    """Every figure of the sections by a name for its file."""
    named: dict[str, Figure] = {}
    for place, section in enumerate(sections, 1):
        for number, figure in enumerate(_figures(section.blocks), 1):
            named[f"{place:02d}-{number}"] = figure
    return named


def _figures(blocks: tuple[Block, ...]) -> list[Figure]:
    found: list[Figure] = []
    for block in blocks:
        if isinstance(block, Figure):
            found.append(block)
        elif isinstance(block, Details):
            found += _figures(block.blocks)
    return found
