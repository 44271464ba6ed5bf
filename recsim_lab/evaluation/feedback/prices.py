"""What each remedy costs now and earns later, against the loop without a remedy on the same users."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from recsim_lab.evaluation.dividend import AMONG_GREEDY, published_dividend
from recsim_lab.evaluation.feedback.differences import paired
from recsim_lab.evaluation.feedback.plan import Arm, FeedbackPlan
from recsim_lab.evaluation.feedback.study import Outcome
from recsim_lab.evaluation.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

NONE_IN_HORIZON = "none in horizon"
RANDOM = "random"
"""The control that the published dividend reads."""
REFIT, VALUE = ("refit_clicks", "refit_rank_agreement"), ("value_error", "value_refused")
WORTH = (*REFIT, *VALUE)


def engagement(timeline: "pd.DataFrame") -> "pd.DataFrame":
    """Clicks per user of the population on each day: a row for each arm and seed."""
    return timeline[timeline["metric"] == "clicks_per_user"].pivot(index=["arm", "seed"], columns="day", values="value")


def remedies_table(timeline: "pd.DataFrame", outcomes: list[Outcome], plan: FeedbackPlan) -> "pd.DataFrame":
    """One row for each arm but the baseline, with paired intervals over seeds.

    In clicks per user: `cost` a day in the first `price_days`, `gain` a day in the last, `total` over all days, and
    each in % of the baseline (`..._percent`). `break_even` is the first day on which the interval of what was earned
    more so far lies above zero. `dividend` is the learning dividend, in clicks per slate (see `evaluation.dividend`),
    `published` stands beside it for arms that explore evenly; `..._seeds` in how many seeds each is known (the second
    where the random control ran). `refit_` columns tell how much better a model learned
    from the arm's log alone serves the users before the loop, or orders items for them. `value_error` is the
    relative error of what some slates of the days after the loop tell of another policy (see `worth.evaluability`), in
    the seeds where they tell any; `value_refused` the share of those where they can't; beside them stand the baseline's
    in the same seeds (`..._baseline`).
    """
    import pandas as pd

    daily = engagement(timeline)
    worth = pd.DataFrame(
        {(outcome.unit.arm, outcome.unit.seed): outcome.result["worth"] for outcome in outcomes}
    ).T.rename_axis(["arm", "seed"])
    return pd.DataFrame([_row(arm, daily, worth, outcomes, plan) for arm in plan.arms[1:]])


def _row(
    arm: Arm, daily: "pd.DataFrame", worth: "pd.DataFrame", outcomes: list[Outcome], plan: FeedbackPlan
) -> dict[str, Any]:
    more, base = daily_difference(daily, arm.name, plan)
    first, last = slice(None, plan.price_days), slice(-plan.price_days, None)
    row: dict[str, Any] = {
        "arm": arm.name,
        "policy": arm.policy,
        "role": arm.role,
        "dial": arm.dial,
        "setting": arm.turned_to,
        "num_seeds": len(more),
    }
    cost = -more[:, first].mean(axis=1)
    row |= _told("cost", cost) | _told("cost_percent", 100 * cost / base[:, first].mean(axis=1))
    row |= _told("gain", more[:, last].mean(axis=1))
    row |= _told("gain_percent", 100 * more[:, last].mean(axis=1) / base[:, last].mean(axis=1))
    row |= _told("total", more.sum(axis=1)) | _told("total_percent", 100 * more.sum(axis=1) / base.sum(axis=1))
    row["break_even"] = str(break_even(more))
    rewards = [outcome.result["rewards"] for outcome in outcomes if outcome.unit.arm == arm.name]
    dividends = (np.array([crossed_dividend(told) for told in rewards]), _published(arm, outcomes, plan))
    for name, values in zip(("dividend", "published"), dividends, strict=True):
        row |= _told(name, values) | {f"{name}_seeds": int(np.isfinite(values).sum())}
    for name in REFIT:
        row |= _told(name, np.subtract(*paired(worth, arm.name, plan.baseline.name, name)))
    for name in VALUE:
        own, other = paired(worth, arm.name, plan.baseline.name, name)
        known = ~np.isnan(own)
        row |= _told(name, own[known]) | {f"{name}_baseline": mean_interval(other[known]).estimate}
    return row


def daily_difference(
    daily: "pd.DataFrame", arm: str, plan: FeedbackPlan
) -> tuple[Float64[A, "seeds days"], Float64[A, "seeds days"]]:
    """What an arm earns more than the baseline on each day, and what the baseline earns."""
    mine, base = daily.loc[arm].align(daily.loc[plan.baseline.name], join="inner", axis=0)
    return mine.to_numpy() - base.to_numpy(), base.to_numpy()


def break_even(more: Float64[A, "seeds days"]) -> int | str:
    """The first day, from 1, on which the interval of the sum so far lies above zero; or there is none."""
    for day, values in enumerate(np.cumsum(more, axis=1).T, start=1):
        if mean_interval(values).low > 0:
            return day
    return NONE_IN_HORIZON


def crossed_dividend(rewards: dict[str, float]) -> float:
    """What the arm's own model earns more than the baseline's, among its users and the baseline's in the mean."""
    gains = (
        rewards.get(f"own_model{among}", math.nan) - rewards.get(f"greedy_model{among}", math.nan)
        for among in ("", AMONG_GREEDY)
    )
    return sum(gains) / 2


def _published(arm: Arm, outcomes: list[Outcome], plan: FeedbackPlan) -> Float64[A, " seeds"]:
    """D(epsilon) of the last `price_days`, in clicks per slate, where the arm is a setting of epsilon."""
    if arm.dial != "epsilon":
        return np.zeros(0)
    earned = {
        (outcome.unit.arm, outcome.unit.seed): _clicks_per_slate(outcome.result["daily"][-plan.price_days :])
        for outcome in outcomes
    }
    seeds = [seed for name, seed in earned if name == RANDOM]
    return np.array(
        [
            published_dividend(
                earned[arm.name, seed], earned[plan.baseline.name, seed], earned[RANDOM, seed], arm.turned_to
            )
            for seed in seeds
        ]
    )


def _clicks_per_slate(days: list[dict[str, Any]]) -> float:
    served = [day for day in days if day["num_slates"]]
    slates = sum(day["num_slates"] for day in served)
    return sum(day["clicks_per_slate"] * day["num_slates"] for day in served) / slates if slates else math.nan


def _told(name: str, values: Float64[A, " seeds"]) -> dict[str, float]:
    interval = mean_interval(values)
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
