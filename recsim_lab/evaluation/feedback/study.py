"""All arms of a feedback loop over seeds, and the tables of what came out."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim_lab.evaluation.bubble.concentration import stability
from recsim_lab.evaluation.feedback.loop import Days, run_arm
from recsim_lab.evaluation.feedback.plan import NULL_TWIN, FeedbackPlan, LoopUnit
from recsim_lab.evaluation.plan import Factories
from recsim_lab.evaluation.units import claim, finished

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

WELFARE = ("clicks_per_user", "dwell_per_user", "niche_clicks_gap")
"""Of a day: clicks and minutes per user of the population, and niche users' clicks minus mainstream users'."""
FIGURES = ("clicks_per_slate", "satisfaction", "num_users", "num_churned", "return_days", "true_utility", "regret")
"""What else is told of a day, as in `Platform.daily`; `num_users` and `num_churned` as shares of the population."""
STABILITY = "stability"
"""Spearman's correlation of items' clicks under the baseline and under its null twin: told of the baseline."""
Progress = Callable[[LoopUnit, int, int], None]
"""Called with the last unit, the number of units done and of all, after each."""


@dataclass(frozen=True)
class Outcome:
    """What is known of one arm in one seed."""

    unit: LoopUnit
    result: dict[str, Any]
    users: dict[str, A]


def check_feedback(plan: FeedbackPlan, factories: Factories) -> None:
    """Raise the ValueError of the first agent or world that can't be made, before anything is run or written."""
    for spec in (plan.logging, plan.student, plan.target, *(arm.policy for arm in plan.arms if not arm.is_reference)):
        factories.agent(spec, plan.seeds[0])
    factories.world(plan.world, plan.seeds[0])


def run_feedback(
    plan: FeedbackPlan,
    factories: Factories,
    folder: Path,
    num_workers: int = 1,
    progress: Progress | None = None,
    each_day: Days | None = None,
) -> list[Outcome]:
    """Run what is missing of the plan; returns the outcome of every arm in every seed.

    A killed run goes on where it stopped: with the arms that have no result, each from its last whole day. Of days
    (`each_day`) only a run of one worker tells.

    Raises:
        ValueError: if the folder holds the results of another plan, or an agent or a world can't be made (before
            anything is run).
    """
    check_feedback(plan, factories)
    claim(folder, plan)
    units = sorted(plan.units(), key=lambda unit: unit.seed)
    # The baselines first: the others' rewards are measured against their models.
    first, rest = ([u for u in units if (u.arm == plan.baseline.name) == which] for which in (True, False))
    tell = each_day if num_workers <= 1 else None
    run = partial(run_arm, plan=plan, factories=factories, folder=folder, each_day=tell)
    done = 0
    for stage in (first, rest):
        missing = [unit for unit in stage if not _file(folder, unit).exists()]
        done += len(stage) - len(missing)
        for unit in finished(missing, run, num_workers):
            done += 1
            if progress is not None:
                progress(unit, done, len(units))
    return [_read(folder, unit) for unit in units]


def _file(folder: Path, unit: LoopUnit) -> Path:
    return folder / "units" / unit.folder / "result.json"


def _read(folder: Path, unit: LoopUnit) -> Outcome:
    file = _file(folder, unit)
    with np.load(file.parent / "users.npz") as arrays:
        return Outcome(unit, json.loads(file.read_text()), dict(arrays))


def timeline_table(outcomes: list[Outcome], plan: FeedbackPlan) -> "pd.DataFrame":
    """`arm, seed, day, level, direction, metric, value`: the bubble on its days, welfare every day (from 1)."""
    import pandas as pd

    columns = ["arm", "seed", "day", "level", "direction", "metric", "value"]
    rows = [row for outcome in outcomes for row in _rows(outcome, plan)]
    return pd.DataFrame([*rows, *_stability(outcomes, plan)], columns=columns)


def _rows(outcome: Outcome, plan: FeedbackPlan) -> Iterator[tuple[Any, ...]]:
    arm, seed = outcome.unit.arm, outcome.unit.seed
    for moment in outcome.result["bubble"]:
        for row in moment["rows"]:
            yield arm, seed, moment["day"], *(row[name] for name in ("level", "direction", "metric", "value"))
        for run, told in moment["apart"].items():
            for row in told:
                yield run, seed, moment["day"], *(row[name] for name in ("level", "direction", "metric", "value"))
    num_users = len(outcome.users["preference"])
    for place, day in enumerate(outcome.result["daily"]):
        values = {name: float(outcome.users[name][place]) for name in WELFARE}
        values |= {name: day[name] for name in FIGURES}
        values |= {name: values[name] / num_users for name in ("num_users", "num_churned")}
        for metric, value in values.items():
            yield arm, seed, place + 1, "welfare", "platform", metric, value


def _stability(outcomes: list[Outcome], plan: FeedbackPlan) -> Iterator[tuple[Any, ...]]:
    """How alike items' shares of clicks are under the baseline and under its null twin, which differ in luck alone."""
    users = {(outcome.unit.arm, outcome.unit.seed): outcome.users for outcome in outcomes}
    for seed in plan.seeds:
        if (NULL_TWIN, seed) not in users:
            continue
        pair = [users[arm, seed] for arm in (plan.baseline.name, NULL_TWIN)]
        num_items = 1 + max(int(run["item"].max(initial=-1)) for run in pair)
        for day in plan.measured_days:
            recent = [(run["day"] > day - plan.recent_days) & (run["day"] <= day) for run in pair]
            counts = [
                np.bincount(run["item"][rows], minlength=num_items) for run, rows in zip(pair, recent, strict=True)
            ]
            yield plan.baseline.name, seed, day, "consumption", "between", STABILITY, stability(*counts)


def at_end(timeline: "pd.DataFrame", plan: FeedbackPlan) -> "pd.DataFrame":
    """The metrics of the bubble on the last day: one row for each arm and seed, a column for each metric."""
    last = timeline[(timeline["level"] != "welfare") & (timeline["day"] == plan.loop_days)]
    return last.pivot(index=["arm", "seed"], columns=["level", "direction", "metric"], values="value")


def examples_table(outcomes: list[Outcome], plan: FeedbackPlan) -> "pd.DataFrame":
    """`arm, seed, user, group, day, topic, shown, taste` of a few users: the shares of topics among what they were
    shown in the last days (NaN when they did not come), and in their taste; on day 0 their taste alone."""
    import pandas as pd

    parts = []
    for outcome in outcomes:
        users = outcome.users
        moments = [(0, np.full(users["taste_at_start"].shape, np.nan), users["taste_at_start"])]
        for moment in outcome.result["bubble"]:
            told = {name: np.array(values, np.float64) for name, values in moment["examples"].items()}
            total = told["shown"].sum(axis=1, keepdims=True)
            shown = np.divide(told["shown"], total, out=np.full(told["shown"].shape, np.nan), where=total > 0)
            moments.append((moment["day"], shown, told["taste"]))
        for day, shown, taste in moments:
            user, topic = np.indices(taste.shape)
            parts.append(
                pd.DataFrame(
                    {
                        "arm": outcome.unit.arm,
                        "seed": outcome.unit.seed,
                        "user": users["examples"][user.ravel()],
                        "group": np.where(users["mainstream"], "mainstream", "niche")[user.ravel()],
                        "day": day,
                        "topic": topic.ravel(),
                        "shown": shown.ravel(),
                        "taste": taste.ravel(),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)
