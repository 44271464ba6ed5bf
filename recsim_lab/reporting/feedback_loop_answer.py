"""What a feedback loop's report opens with: plain sentences that claim no more than the intervals allow."""

import numpy as np
from scipy import stats

from recsim_lab.evaluation.feedback.prices import NONE_IN_HORIZON
from recsim_lab.reporting.bubble_words import MAIN
from recsim_lab.reporting.feedback_loop_run import FROZEN, LoopRun
from recsim_lab.reporting.figures.base import counted
from recsim_lab.reporting.words import Estimate, listed

_NARROWER = {"coverage": -1.0, "effective_catalogue": -1.0, "jaccard_random": 1.0}
"""The sign of a change towards a narrower world."""
_MANY = 4
"""Names that a sentence bears; all are in the tables."""


def answer(run: LoopRun) -> str:
    """Paragraphs: what was done, what narrowed, what remedies cost and bought, what can't be said."""
    parts = (what_was_done(run), what_narrowed(run), what_remedies_cost(run), what_they_buy(run), what_is_open(run))
    return "\n\n".join(part for part in parts if part)


def what_was_done(run: LoopRun) -> str:
    plan = run.plan
    return (
        f"A model (`{plan.baseline.policy}`) served a simulated population (`{plan.world}`) for {plan.loop_days} days "
        f"and learned every {_days(plan.retrain_every)} from what it had shown. Twins of the same users, with the same "
        f"luck, were served under {len(run.remedies)} {'remedy' if len(run.remedies) == 1 else 'remedies'} and by "
        f"{counted(len(run.controls), 'control')}. All was repeated in {counted(run.num_seeds, 'seed')}, each with a "
        "world, a log and a training of its own."
    )


def _days(number: int) -> str:
    return "day" if number == 1 else f"{number} days"


def what_narrowed(run: LoopRun) -> str:
    """The loop against the same model that is never retrained."""
    told = {metric: run.narrowing("exposure", metric) for metric in MAIN}
    known = {metric: less for metric, (_, _, less) in told.items() if not np.isnan(less.value)}
    if not known:
        return f"How much the loop narrows can't be told: there is no {FROZEN} twin to compare it with."
    towards = {metric: _NARROWER[metric] * less.value for metric, less in known.items()}
    sure = [metric for metric, less in known.items() if less.sure and towards[metric] > 0]
    against = [metric for metric, less in known.items() if less.sure and towards[metric] < 0]
    if len(sure) == len(known):
        verdict = "Retraining on its own shows narrowed what is shown, beyond chance on all these counts"
    elif sure:
        verdict = (
            f"Retraining on its own shows narrowed what is shown beyond chance on {len(sure)} of {len(known)} counts"
        )
    elif against:
        verdict = "Retraining on its own shows widened what is shown on some counts, beyond chance"
    elif all(value > 0 for value in towards.values()):
        verdict = "Retraining on its own shows seems to narrow what is shown, but luck alone could look like that"
    else:
        verdict = "Whether retraining on its own shows narrows what is shown, these seeds can't tell"
    (share, frozen_share, less_share), (items, frozen_items, less_items), (common, frozen_common, less_common) = (
        told[metric] for metric in MAIN
    )
    return (
        f"{verdict}. In the last {run.plan.recent_days} days the loop showed {share.text}% of the items on offer, its "
        f"twin that was never retrained {frozen_share.text}%: {less_share.text} points {_ends(less_share)}. What it "
        f"showed was as diverse as {items.text} items shown all alike, against {frozen_items.text}: {less_items.text} "
        f"{_ends(less_items)}. Of the items that two users were shown, they shared {common.text}%, against "
        f"{frozen_common.text}%: {less_common.text} points {_ends(less_common)}."
    )


def _ends(told: Estimate) -> str:
    if np.isnan(told.low):
        return "(no interval from one seed)"
    return f"(95% interval {told.ends}{'' if told.sure else ', could be chance'})"


def what_remedies_cost(run: LoopRun) -> str:
    """Which cost early clicks, which earn more in all, which break even."""
    if not run.remedies:
        return ""
    days, early = run.plan.price_days, {arm: run.price(arm, "cost_percent", sign=-1.0) for arm in run.remedies}
    total = {arm: run.price(arm, "total_percent") for arm in run.remedies}
    sentences = [
        _split(early, f"In the first {days} days", "cost clicks", "earned clicks"),
        _split(total, f"Over all {run.plan.loop_days} days", "cost clicks", "earned clicks"),
    ]
    paid = {arm: run.break_even(arm) for arm in run.remedies if run.break_even(arm) != NONE_IN_HORIZON}
    if paid:
        told = listed([f"{arm} (from day {day})" for arm, day in paid.items()], _MANY)
        rest = len(run.remedies) - len(paid)
        sentences.append(
            f"The clicks earned so far lie above those without a remedy, beyond chance, for {told}"
            + (f"; {rest} of {len(run.remedies)} do not get there within the loop." if rest else ".")
            + " This is looked at on every day, so that chance alone has many tries."
        )
    else:
        sentences.append("No remedy earns more than none, beyond chance, by any day of the loop.")
    return "Remedies, clicks per user: " + " ".join(sentences)


def _split(told: dict[str, Estimate], when: str, cost: str, earned: str) -> str:
    """Who lost and who won beyond chance, and how many are left."""
    lost = sorted((arm for arm, e in told.items() if e.high < 0), key=lambda arm: told[arm].value)
    won = sorted((arm for arm, e in told.items() if e.low > 0), key=lambda arm: -told[arm].value)
    parts = []
    if lost:
        parts.append(f"{_with_values(lost, told)} {cost} beyond chance")
    if won:
        parts.append(f"{_with_values(won, told)} {earned} beyond chance")
    rest = [arm for arm in told if arm not in (*lost, *won)]
    if not parts:
        return f"{when} none differs from no remedy beyond chance: {_with_values(rest, told)}."
    left = f"; {counted(len(rest), 'other')} could be chance" if rest else ""
    return f"{when} {', and '.join(parts)}{left}."


def _with_values(arms: list[str], told: dict[str, Estimate]) -> str:
    return listed([f"{arm} ({told[arm].text}%)" for arm in arms], _MANY)


def what_they_buy(run: LoopRun) -> str:
    """Which remedies widen what is shown."""
    if not run.remedies:
        return ""
    words = []
    for metric, name, unit in (
        ("coverage", "the share of items on offer that is shown", " points"),
        ("effective_catalogue", "the effective catalogue", " items"),
        ("jaccard_random", "what two users are shown in common", " points"),
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
        best = told[wider[0]]
        words.append(
            f"{len(wider)} of {len(told)} {moved} {name} (most: {wider[0]}, {best.text}{unit}, 95% interval "
            f"{best.ends})"
        )
    return f"What they buy, on the last {run.plan.recent_days} days and beyond chance: {'; '.join(words)}."


def what_is_open(run: LoopRun) -> str:
    """What so few seeds, so many comparisons and one world can't tell."""
    seeds, sentences = run.num_seeds, []
    if seeds < 2:
        sentences.append("One seed gives no intervals: nothing here can be told from luck.")
    else:
        times = float(stats.t.ppf(0.975, seeds - 1))
        sentences.append(
            f"With {seeds} seeds an interval reaches {times:.1f} standard errors to either side (2.0 with many seeds)."
        )
        if np.isfinite(run.reaches):
            sentences.append(
                f"Clicks over the whole loop are known to ±{run.reaches:.1f}% for the remedy that is known least: an "
                "effect smaller than that can hide."
            )
        told = [told for told in _comparisons(run) if not np.isnan(told.low)]
        beyond = sum(told.sure for told in told)
        sentences.append(
            f"Of {len(told)} comparisons of a remedy with none (every metric of the bubble, each by itself), {beyond} "
            f"lie beyond chance, where about {0.05 * len(told):.0f} would if nothing differed: trust the single one "
            "only where its interval is far from zero."
        )
    failed = _failed(run)
    if failed:
        sentences.append(
            f"{counted(failed, 'metric')} did not see a bubble that was made on purpose, or saw one where there was "
            "none (see the controls)."
        )
    sentences.append("One kind of world and one model: how far this carries to others was not looked at.")
    return "What this can't say. " + " ".join(sentences)


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
