"""What trials on twins say: the effects that tests report beside the true ones, daily looks, and the users needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int

from recsim_lab.evaluation.experiments.ab import Effect, difference_in_means, difference_in_ratios, linearised
from recsim_lab.evaluation.experiments.cuped import adjusted
from recsim_lab.evaluation.experiments.interleaving import outcomes, preference
from recsim_lab.evaluation.experiments.power import power_curve, users_needed
from recsim_lab.evaluation.experiments.sequential import always_valid, tuned
from recsim_lab.evaluation.experiments.trials import Learning, Results, Trial, TrialPlan, TrialUnit, arms_of
from recsim_lab.evaluation.statistics import Interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

METRICS = ("clicks_per_user", "clicks_per_slate")
"""Users who never came count as zero in the first; the second is a ratio of sums over users."""


@dataclass(frozen=True)
class Outcomes:
    """Clicks and slates of each user, by day."""

    clicks: Float64[A, "days users"]
    slates: Float64[A, "days users"]

    def until(self, days: int) -> tuple[Float64[A, " users"], Float64[A, " users"]]:
        """Clicks and slates of the first so many days together."""
        return self.clicks[:days].sum(axis=0), self.slates[:days].sum(axis=0)

    def of_arms(self, other: "Outcomes", arm: Int[A, " users"]) -> "Outcomes":
        """What an A/B test without interference sees: these for users of arm 0, the other's for those of arm 1."""
        return Outcomes(np.where(arm == 1, other.clicks, self.clicks), np.where(arm == 1, other.slates, self.slates))


def effect(outcomes: Outcomes, arm: Int[A, " users"], metric: str) -> Effect:
    """Of arm 1 above arm 0, over all days."""
    clicks, slates = outcomes.until(len(outcomes.clicks))
    return difference_in_means(clicks, arm) if metric == METRICS[0] else difference_in_ratios(clicks, slates, arm)


def true_effect(control: Outcomes, challenger: Outcomes, metric: str) -> Interval:
    """Of serving everybody: the difference of twins, with an interval for users like these, each paired with itself."""
    values = []
    for alone in (control, challenger):
        clicks, slates = alone.until(len(alone.clicks))
        everybody = np.zeros(len(clicks), np.int64)
        values.append(clicks if metric == METRICS[0] else linearised(clicks, slates, everybody))
    return mean_interval(values[1] - values[0])


def effects_table(results: Results, plan: TrialPlan) -> "pd.DataFrame":
    """A row for each A/B test and metric: its `days`, its estimate, the `truth`, and the two parts of the difference.

    `sampling` is what the same division of users would have erred had no arm touched the other, `interference` the
    rest: what one arm's users changed for the other's, by what models learned from them.
    """
    import pandas as pd

    rows = []
    for world, seed, pair in _settings(plan):
        before = _outcomes(results, world, seed, None)
        arm = arms_of(pair, seed, before.clicks.shape[1])
        learnings: tuple[Learning, ...] = ("frozen", "pooled", "diverted")
        for learning in learnings:
            control, challenger = _twins(results, world, seed, pair, learning)
            apart = control.of_arms(challenger, arm)
            seen = apart if learning == "frozen" else _outcomes(results, world, seed, Trial(pair, "a/b", learning))
            for metric in METRICS:
                truth, told = true_effect(control, challenger, metric), effect(seen, arm, metric)
                without = effect(apart, arm, metric).difference.estimate
                by_cuped = _adjusted(seen, before, arm, metric)
                rows.append(
                    _keys(world, seed, pair)
                    | {"days": plan.days, "learning": learning, "metric": metric, "control_mean": told.means[0]}
                    | _interval(told.difference)
                    | {"standard_error": told.standard_error, "p_value": told.p_value}
                    | _interval(by_cuped[0].difference, "cuped_")
                    | {"cuped_standard_error": by_cuped[0].standard_error, "variance_ratio": by_cuped[1]}
                    | {"truth": truth.estimate, "sampling": without - truth.estimate}
                    | {"interference": told.difference.estimate - without}
                )
    return pd.DataFrame(rows)


def preferences_table(results: Results, plan: TrialPlan) -> "pd.DataFrame":
    """A row for each interleaved trial and unit (user, session): the challenger's preference and who won."""
    import pandas as pd

    rows = []
    for world, seed, pair in _settings(plan):
        for learning in ("frozen", "pooled"):
            margin, user, session = _margins(results, world, seed, pair, learning)
            for unit in ("user", "session"):
                told = preference(margin, user, session if unit == "session" else None)
                rows.append(
                    _keys(world, seed, pair)
                    | {"learning": learning, "unit": unit}
                    | _interval(told.delta)
                    | {"standard_error": told.standard_error, "p_value": told.p_value, "sign_test": told.sign_test}
                    | {"wins": told.wins, "losses": told.losses, "ties": told.ties, "num_users": told.num_users}
                )
    return pd.DataFrame(rows)


def looks_table(results: Results, plan: TrialPlan) -> "pd.DataFrame":
    """A row for each day of each A/B test without learning: clicks per slate so far, and the intervals for one look
    (`fixed_low`, `fixed_high`) and for all of them (`low`, `high`, always valid, tuned for the last day's error)."""
    import pandas as pd

    rows = []
    for world, seed, pair in _settings(plan):
        control, challenger = _twins(results, world, seed, pair, "frozen")
        arm = arms_of(pair, seed, control.clicks.shape[1])
        seen = control.of_arms(challenger, arm)
        told = [difference_in_ratios(*seen.until(day + 1), arm) for day in range(plan.days)]
        estimates, errors = (
            np.array(some) for some in zip(*((t.difference.estimate, t.standard_error) for t in told), strict=True)
        )
        if not np.isfinite(errors[-1]) or errors[-1] == 0:
            continue
        always = always_valid(estimates, errors, tuned(float(errors[-1])))
        for day, one in enumerate(told):
            rows.append(
                _keys(world, seed, pair)
                | {"day": plan.log_days + day, "estimate": one.difference.estimate, "standard_error": errors[day]}
                | {"fixed_low": one.difference.low, "fixed_high": one.difference.high}
                | {"low": always.low[day], "high": always.high[day], "p_value": always.p_value[day]}
            )
    return pd.DataFrame(rows)


def power_tables(
    results: Results, plan: TrialPlan, sizes: Sequence[int], num_draws: int = 400
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """(how often each test finds the right winner, by its number of users; the users it needs for 80% by formula).

    All of the trials without learning. Tests by user draw from twins: half of them from the control's, half from the
    challenger's, so that what is to be detected is the true difference of these users. Interleaving draws users with
    their sessions. The right winner is that of the true effect on clicks per user, for all tests alike.
    """
    import pandas as pd

    curves, needed = [], []
    for world, seed, pair in _settings(plan):
        control, challenger = _twins(results, world, seed, pair, "frozen")
        before = _outcomes(results, world, seed, None)
        num_users = control.clicks.shape[1]
        direction = -1 if true_effect(control, challenger, METRICS[0]).estimate < 0 else 1
        arm = np.repeat([0, 1], num_users)
        both, twice = (
            Outcomes(*(np.concatenate(parts, axis=1) for parts in ((a.clicks, b.clicks), (a.slates, b.slates))))
            for a, b in ((control, challenger), (before, before))
        )
        clicks, slates = both.until(plan.days)
        samples: list[tuple[str, A, A | None, Interval]] = []
        for metric, values in zip(METRICS, (clicks, linearised(clicks, slates, arm)), strict=True):
            truth = true_effect(control, challenger, metric)
            samples.append((f"a/b {metric}", values, arm, truth))
            samples.append((f"a/b {metric}, CUPED", _adjusted_values(both, twice, arm, metric)[0], arm, truth))
        margin, user, _ = _margins(results, world, seed, pair, "frozen")
        by_user = outcomes(margin, user)[0]
        samples.append(("interleaving", by_user, None, preference(margin, user).delta))
        for protocol, values, groups, truth in samples:
            keys = _keys(world, seed, pair) | {"protocol": protocol}
            curve = power_curve(values, groups, sizes, direction, num_draws=num_draws, seed=seed)
            curves += [keys | row for row in curve.to_dict("records")]
            error = (
                float(np.std(values, ddof=1) / np.sqrt(len(values)))
                if groups is None
                else difference_in_means(values, groups).standard_error
            )
            found = users_needed(truth, error, len(values))
            right = np.sign(truth.estimate) == direction
            needed.append(
                keys
                | {"effect": truth.estimate, "effect_low": truth.low, "effect_high": truth.high, "right": bool(right)}
                | {"users": found.estimate, "low": found.low, "high": found.high, "drawn": _reached(curve)}
            )
    return pd.DataFrame(curves), pd.DataFrame(needed)


def _reached(curve: "pd.DataFrame", power: float = 0.8) -> float:
    """The users at which the curve first reaches this power, between sizes on a logarithmic scale; infinite where none
    of the sizes does."""
    above = np.flatnonzero(curve["power"] >= power)
    if not len(above):
        return float("inf")
    if above[0] == 0:
        return float(curve["users"].iloc[0])
    pair = curve.iloc[[above[0] - 1, above[0]]]
    return float(np.exp(np.interp(power, pair["power"], np.log(pair["users"]))))


def _adjusted_values(seen: Outcomes, before: Outcomes, arm: A, metric: str) -> tuple[A, float]:
    """The metric less what the same metric of the log's days explains, and what is left of its variance."""
    values, covariate = seen.until(len(seen.clicks)), before.until(len(before.clicks))
    if metric == METRICS[0]:
        told = adjusted(values[0], covariate[0], arm)
    else:
        told = adjusted(linearised(*values, arm), linearised(*covariate, np.zeros_like(arm)), arm)
    return told.values, told.variance_ratio


def _adjusted(seen: Outcomes, before: Outcomes, arm: A, metric: str) -> tuple[Effect, float]:
    values, ratio = _adjusted_values(seen, before, arm, metric)
    return difference_in_means(values, arm), ratio


def _settings(plan: TrialPlan) -> list[tuple[str, int, tuple[str, str]]]:
    return [(world, seed, pair) for world in plan.worlds for seed in plan.seeds for pair in plan.pairs]


def _keys(world: str, seed: int, pair: tuple[str, str]) -> dict[str, Any]:
    return {"world": world, "seed": seed, "control": pair[0], "challenger": pair[1]}


def _interval(interval: Interval, prefix: str = "") -> dict[str, float]:
    return {f"{prefix}{name}": value for name, value in vars(interval).items()}


def _outcomes(results: Results, world: str, seed: int, trial: Trial | None) -> Outcomes:
    result = results[TrialUnit(world, seed, trial)]
    return Outcomes(*(np.array(result[name], np.float64) for name in ("clicks", "slates")))


def _twins(
    results: Results, world: str, seed: int, pair: tuple[str, str], learning: Learning
) -> tuple[Outcomes, Outcomes]:
    """What each of the pair does alone; who serves all users has no others to learn from or be diverted from."""
    alone: Learning = "frozen" if learning == "frozen" else "pooled"
    control, challenger = (_outcomes(results, world, seed, Trial((agent,), "alone", alone)) for agent in pair)
    return control, challenger


def _margins(
    results: Results, world: str, seed: int, pair: tuple[str, str], learning: Learning
) -> tuple[Int[A, " sessions"], Int[A, " sessions"], Int[A, " sessions"]]:
    """Margin, user and number of each session of an interleaved trial."""
    result = results[TrialUnit(world, seed, Trial(pair, "interleaved", learning))]
    margin, user, session = (np.array(result[name], np.int64) for name in ("margin", "user", "session"))
    return margin, user, session
