"""What a feedback loop's report opens with: plain sentences that claim no more than the intervals allow."""

from dataclasses import replace

import numpy as np
from scipy import stats

from recsim_lab.evaluation.feedback.plan import ALL_DATA
from recsim_lab.evaluation.feedback.prices import NONE_IN_HORIZON
from recsim_lab.reporting.bubble_words import MAIN, estimate
from recsim_lab.reporting.feedback_loop.run import FROZEN, LoopRun
from recsim_lab.reporting.figures.base import counted
from recsim_lab.reporting.words import Estimate, listed

_NARROWER = {"coverage": -1.0, "effective_catalogue": -1.0, "jaccard_random": 1.0}
"""The sign of a change towards a narrower world."""
_UNITS = (" points", " items", " points")
"""Those of `MAIN`."""
_MANY = 8
"""Names that a sentence bears; all are in the tables."""


def answer(run: LoopRun) -> str:
    """Paragraphs: what paid, what narrowed, what remedies cost, what they bought, what can't be said."""
    parts = (what_paid(run), what_narrowed(run), what_remedies_cost(run), what_they_buy(run), what_is_open(run))
    return "\n\n".join(part for part in parts if part)


def what_paid(run: LoopRun) -> str:
    """Which remedies earned more in the whole loop, and what the others cost, cheapest first."""
    total = {arm: run.price(arm, "total_percent") for arm in run.remedies}
    won = sorted((arm for arm, e in total.items() if e.low > 0), key=lambda arm: -total[arm].value)
    lost = sorted((arm for arm, e in total.items() if e.high < 0), key=lambda arm: -total[arm].value)
    rest = [arm for arm in total if arm not in (*won, *lost)]
    if not run.remedies:
        return ""
    parts = []
    if won:
        parts.append(f"{_with_values(won, total)} earned more clicks than {run.baseline}, beyond chance")
    if lost:
        parts.append(f"{_with_values(lost, total)} lost clicks, beyond chance")
    if rest:
        parts.append(f"for {_with_values(rest, total)} it could be chance")
    days = run.plan.loop_days
    return f"In the {days} days of this world, {'; '.join(parts)}.{_later(run, lost)}"


def _later(run: LoopRun, lost: list[str]) -> str:
    """Whether those that lost over the whole loop were ahead on some day, and what they earn at its end."""
    if not lost:
        return ""
    ahead = [f"{arm} from day {run.break_even(arm)}" for arm in lost if run.break_even(arm) != NONE_IN_HORIZON]
    paid = f"some were ahead for a while ({listed(ahead)})" if ahead else "none had paid for itself by any day"
    late = {arm: run.price(arm, "gain_percent") for arm in lost}
    return f" Of those that lost, {paid}; {_split(late, f'in the last {run.plan.price_days} days')}"


def what_narrowed(run: LoopRun) -> str:
    """The loop against the same model that is never retrained, in what is shown and in tastes."""
    told = {metric: run.narrowing("exposure", metric) for metric in MAIN}
    known = {metric: less for metric, (_, _, less) in told.items() if not np.isnan(less.value)}
    if not known:
        return f"How much the loop narrows can't be told: there is no {FROZEN} twin to compare it with."
    towards = {metric: _NARROWER[metric] * less.value for metric, less in known.items()}
    sure = [metric for metric, less in known.items() if less.sure and towards[metric] > 0]
    against = [metric for metric, less in known.items() if less.sure and towards[metric] < 0]
    if len(sure) == len(known):
        verdict = (
            "Learning from what it had shown narrowed what the model shows to all users together, beyond chance on all "
            "three counts"
        )
    elif sure:
        counts = f"{len(sure)} of {len(known)} counts"
        verdict = f"Learning from what it had shown narrowed what the model shows to all, beyond chance on {counts}"
    elif against:
        verdict = "Learning from what it had shown widened what the model shows, beyond chance on some counts"
    elif all(value > 0 for value in towards.values()):
        verdict = (
            "Learning from what it had shown seems to narrow what the model shows, but chance could look like that"
        )
    else:
        verdict = "Whether learning from what it had shown narrows what the model shows, this run can't tell"
    (share, frozen_share, less_share), (items, frozen_items, less_items), (common, frozen_common, less_common) = (
        told[metric] for metric in MAIN
    )
    fewer = (
        f" The twin ran in {run.control_seeds} of {run.num_seeds} seeds." if run.control_seeds < run.num_seeds else ""
    )
    if run.plan.window_days < run.plan.loop_days:
        fewer += (
            f" The twin keeps what it learned before the loop, of which the loop's window holds nothing after "
            f"{run.plan.window_days} days: losing that data is part of the difference.{_without_forgetting(run)}"
        )
    return (
        f"{verdict}. In the last {run.plan.recent_days} days it showed {share.text}% of the items on offer, its twin "
        f"that was never retrained {frozen_share.text}%: {less_share.text} points {_ends(less_share)}. What it showed "
        f"was as diverse as {items.text} items shown all alike, against {frozen_items.text}: {less_items.text} "
        f"{_ends(less_items)}. Of the items that either of two users was shown, {common.text}% were shown to both, "
        f"against {frozen_common.text}%: {less_common.text} points {_ends(less_common)}."
        f"{_within(run)}{_tastes(run)}{fewer}"
    )


def _without_forgetting(run: LoopRun) -> str:
    """What a twin that learns from all days shows more, or less, than the loop; empty where there is none."""
    told = {metric: run.difference(ALL_DATA, "exposure", metric) for metric in MAIN}
    if any(np.isnan(more.value) for more in told.values()):
        return ""
    share, items, common = (
        f"{more.text}{unit} {_ends(more)}" for more, unit in zip(told.values(), _UNITS, strict=True)
    )
    return (
        f" Against the loop, a twin that learns from all days and forgets nothing shows {share} of the items on offer, "
        f"{items} of effective catalogue, and {common} to both of two users."
    )


def _within(run: LoopRun) -> str:
    """How many topics each user was shown, beside the same users' twins."""
    loop, twin, less = run.narrowing("exposure", "topic_entropy")
    if np.isnan(less.value):
        return ""
    return (
        f" Each user by themselves was shown topics of entropy {loop.text}, against {twin.text}: {less.text} "
        f"{_ends(less)}."
    )


def _tastes(run: LoopRun) -> str:
    """Which part of the drift of tastes is due to learning from what was shown."""
    table = run.tables["narrowing"]
    drift = table[table["metric"] == "drift"].set_index("part") if len(table) else table
    if not len(drift) or np.isnan(drift.loc["total", "value"]):
        return ""
    total, part = (
        estimate("drift", *(float(drift.loc[name, end]) for end in ("value", "low", "high")), difference=True)
        for name in ("total", "retraining")
    )
    points = replace(part, value=100 * part.value, low=100 * part.low, high=100 * part.high, form="+.1f")
    return (
        f" Tastes moved by {abs(total.value):.1%} of their length, of which learning from what was shown accounts for "
        f"{points.text} points {_ends(points)}."
    )


def _ends(told: Estimate) -> str:
    if np.isnan(told.low):
        return "(no interval from one seed)"
    return f"(95% interval {told.ends}{'' if told.sure else ', could be chance'})"


def what_remedies_cost(run: LoopRun) -> str:
    """Which cost early clicks, which break even."""
    if not run.remedies:
        return ""
    days, early = run.plan.price_days, {arm: run.price(arm, "cost_percent", sign=-1.0) for arm in run.remedies}
    total = {arm: run.price(arm, "total_percent") for arm in run.remedies}
    sentences = [_split(early, f"in the first {days} days")]
    paid = {arm: run.break_even(arm) for arm in run.remedies if run.break_even(arm) != NONE_IN_HORIZON}
    if paid:
        told = listed([f"{arm} (from day {day})" for arm, day in paid.items()], _MANY)
        still = sum(total[arm].low > 0 for arm in paid)
        sentences.append(
            f"Within the loop, {len(paid)} of {len(run.remedies)} break even beyond chance, looked for on every day: "
            f"{told}; at its end, {still or 'none'} of them still {'lies' if still == 1 else 'lie'} above zero."
        )
    else:
        sentences.append("Within the loop, none breaks even beyond chance.")
    return "Remedies against none, in clicks per user: " + " ".join(sentences)


def _split(told: dict[str, Estimate], when: str) -> str:
    """Who lost and who won beyond chance, and how many are left."""
    lost = sorted((arm for arm, e in told.items() if e.high < 0), key=lambda arm: told[arm].value)
    won = sorted((arm for arm, e in told.items() if e.low > 0), key=lambda arm: -told[arm].value)
    rest = [arm for arm in told if arm not in (*lost, *won)]
    parts = [f"{_with_values(lost, told)} lost clicks"] if lost else []
    parts += [f"{_with_values(won, told)} earned more"] if won else []
    if not parts:
        return f"{when} none differs beyond chance: {_with_values(rest, told)}."
    left = f"; for {_with_values(rest, told)} it could be chance" if rest else ""
    return f"{when} {', and '.join(parts)}{left}."


def _with_values(arms: list[str], told: dict[str, Estimate]) -> str:
    return listed([f"{arm} ({told[arm].text}%)" for arm in arms], _MANY)


def what_they_buy(run: LoopRun) -> str:
    """Which remedies widen what is shown, what becomes of that among clicks, and who is shown fewer topics."""
    if not run.remedies:
        return ""
    words = []
    for metric, name, unit in (
        ("coverage", "the share of items on offer that is shown", " points"),
        ("effective_catalogue", "the effective catalogue", " items"),
        ("jaccard_random", "the share of items shown to both of two users", " points"),
    ):
        told = {arm: run.difference(arm, "exposure", metric) for arm in run.remedies}
        wider = sorted(
            (arm for arm, e in told.items() if e.sure and -_NARROWER[metric] * e.value > 0),
            key=lambda arm: _NARROWER[metric] * told[arm].value,
        )
        moved = "lowered" if metric == "jaccard_random" else "raised"
        if not wider:
            words.append(f"none {moved} {name}")
            continue
        most, least = wider[0], wider[-1]
        ends = f"{told[most].text}{unit} for {most}"
        if most != least:
            ends += f" to {told[least].text} for {least}"
        narrower = [arm for arm, e in told.items() if e.sure and arm not in wider]
        against = f", {listed(narrower, _MANY)} did the opposite" if narrower else ""
        words.append(f"{len(wider)} of {len(told)} {moved} {name} (by their means {ends}){against}")
    return (
        f"What they buy, in the last {run.plan.recent_days} days and beyond chance: {'; '.join(words)}."
        f"{_among_clicks(run)}{_fewer_topics(run)}"
    )


def _among_clicks(run: LoopRun) -> str:
    told = {arm: run.difference(arm, "consumption", "effective_catalogue") for arm in run.remedies}
    raised = [arm for arm, e in told.items() if e.sure and e.value > 0]
    lowered = [arm for arm, e in told.items() if e.sure and e.value < 0]
    if not raised and not lowered:
        return " What was clicked is not more diverse under any of them, nor less, beyond chance."
    parts = [f"raised by {_with_units(raised, told)}"] if raised else []
    parts += [f"lowered by {_with_units(lowered, told)}"] if lowered else []
    return f" Shown is not clicked: the effective catalogue of what was clicked is {', and '.join(parts)}."


def _fewer_topics(run: LoopRun) -> str:
    told = {arm: run.difference(arm, "exposure", "topic_entropy") for arm in run.remedies}
    fewer = [arm for arm, e in told.items() if e.sure and e.value < 0]
    return f" Each user by themselves is shown fewer topics under {listed(fewer, _MANY)}." if fewer else ""


def _with_units(arms: list[str], told: dict[str, Estimate]) -> str:
    return listed([f"{arm} ({told[arm].text} items)" for arm in arms], _MANY)


def what_is_open(run: LoopRun) -> str:
    """What so few seeds, so many comparisons and one world can't tell."""
    seeds, sentences = run.num_seeds, []
    if seeds < 2:
        sentences.append("one seed gives no intervals, so that nothing can be told from chance.")
    else:
        times = float(stats.t.ppf(0.975, seeds - 1))
        wide = f"with {seeds} seeds an interval reaches {times:.1f} standard errors to either side (2.0 with very many)"
        if np.isfinite(run.reaches):
            wide += f", and a remedy's clicks over the loop are known to ±{run.reaches:.1f}% at worst"
        told = [told for told in _comparisons(run) if not np.isnan(told.low)]
        sentences.append(f"{wide}: effects smaller than that can hide.")
        if told:
            sentences.append(
                f"Of {len(told)} comparisons of a remedy with none (every metric of the bubble), "
                f"{sum(e.sure for e in told)} lie beyond chance (zero outside the 95% interval), where about "
                f"{0.05 * len(told):.0f} would if nothing differed."
            )
    if failed := _failed(run):
        sentences.append(
            f"{counted(failed, 'metric')} failed a test with a known answer in the {run.control_seeds} seeds of the "
            "controls (see whether the metrics can be trusted)."
        )
    if weighted := [arm for arm in run.remedies if "weighting=ips" in run.plan.by_name[arm].policy]:
        sentences.append(
            f"Inverse propensities ({listed(weighted)}) weigh clicks by how unlikely it was to show them: where few "
            "slots are random, clicks there decide nearly all that is learned. What this earns is no evidence for or "
            "against such training on logs that explore more."
        )
    sentences.append("One kind of world and one model: whether it carries to others was not looked at.")
    return "What this can't say: " + " ".join(sentences)


def _comparisons(run: LoopRun) -> list[Estimate]:
    levels = ("exposure", "consumption", "preference")
    return [
        run.difference(arm, level, metric)
        for arm in run.remedies
        for level in levels
        for _, _, metric in run.metrics(level)
    ]


def _failed(run: LoopRun) -> int:
    controls = run.tables["controls"]
    return int(((controls["flagged"] == 0) | (controls["null_flagged"] == 1)).sum())
