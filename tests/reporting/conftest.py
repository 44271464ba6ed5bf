"""Invented tables of the shapes that a study hands to the report."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas
import pytest

from recsim_lab.evaluation.attribution import PARTS
from recsim_lab.evaluation.bubble.metrics import METRICS
from recsim_lab.evaluation.feedback.controls import controls_table
from recsim_lab.evaluation.feedback.days import days_table, welfare_table
from recsim_lab.evaluation.feedback.differences import differences_table
from recsim_lab.evaluation.feedback.frontier import frontier_table
from recsim_lab.evaluation.feedback.narrowing import narrowing_table
from recsim_lab.evaluation.feedback.plan import NOBODY, NULL_TWIN, START, Arm, FeedbackPlan
from recsim_lab.evaluation.feedback.prices import WORTH, remedies_table
from recsim_lab.evaluation.feedback.study import FIGURES, WELFARE, Outcome

SETTING = {"world": "everyday", "logging_policy": "popularity", "deployment": "retrained", "num_retrainings": 20}
AGENTS = {
    "random": "random",
    "popularity": "popularity",
    "popularity:days=7": "popularity",
    "itemknn:neighbours=20": "itemknn",
    "ease": "ease",
    "mf:dim=32,target=impressions": "mf",
    "mf:dim=64,target=sampled": "mf",
    "oracle": "oracle",
}
PROTOCOLS = ("temporal-full", "random-sampled")
OFFLINE_METRICS = ("ndcg@10", "auc")
ONLINE_METRICS = ("clicks_per_slate", "regret")


@pytest.fixture
def scores() -> pandas.DataFrame:
    """`temporal-full` orders the agents as `clicks_per_slate` does, `random-sampled` the other way round."""
    noise = np.random.default_rng(5)
    rows = []
    for (place, (agent, family)), seed in itertools.product(enumerate(AGENTS.items()), range(3)):
        clicks = 0.1 + 0.05 * place + 0.002 * noise.normal()
        row = SETTING | {"agent": agent, "family": family, "seed": seed}
        row |= {f"offline/temporal-full/{metric}": clicks / 2 for metric in OFFLINE_METRICS}
        row |= {f"offline/random-sampled/{metric}": 1 - clicks for metric in OFFLINE_METRICS}
        rows.append(row | {"online/clicks_per_slate": clicks, "online/regret": 1 - clicks})
    return pandas.DataFrame(rows)


@pytest.fixture
def correlations() -> pandas.DataFrame:
    """Strong agreement under `temporal-full`, next to none (intervals across zero) under `random-sampled`."""
    rows = []
    for protocol, offline, online in itertools.product(PROTOCOLS, OFFLINE_METRICS, ONLINE_METRICS):
        value = 0.9 if protocol == "temporal-full" else -0.1
        value -= 0.01 * OFFLINE_METRICS.index(offline) + 0.02 * ONLINE_METRICS.index(online)
        row = SETTING | {"protocol": protocol, "offline_metric": offline, "online_metric": online}
        for statistic in ("spearman", "kendall", "pearson"):
            row |= {statistic: value, f"{statistic}_low": value - 0.2, f"{statistic}_high": min(1.0, value + 0.2)}
        row |= {"pairwise_accuracy": 0.9, "pairwise_accuracy_low": 0.8, "pairwise_accuracy_high": 1.0}
        rows.append(row | {"ceiling": 0.97, "num_agents": 7, "num_seeds": 3})
    return pandas.DataFrame(rows)


@pytest.fixture
def daily() -> pandas.DataFrame:
    noise = np.random.default_rng(6)
    return pandas.DataFrame(
        [
            SETTING
            | {"agent": agent, "family": family, "seed": seed, "day": day}
            | {"clicks_per_slate": 0.1 + 0.05 * place + 0.01 * noise.normal()}
            for (place, (agent, family)), seed, day in itertools.product(enumerate(AGENTS.items()), range(3), range(12))
        ]
    )


@pytest.fixture
def attribution() -> pandas.DataFrame:
    """A number that agrees by .4, most of whose gap is that foreseeing is not recommending."""
    values = dict(zip(PARTS, (0.1, 0.05, -0.05, 0.25, 0.15, 0.1), strict=True)) | {"total": 0.6}
    number = {"protocol": "random-full", "offline_metric": "ndcg@10", "online_metric": "clicks_per_slate"}
    return pandas.DataFrame(
        [number | {"part": part, "value": v, "low": v - 0.1, "high": v + 0.1} for part, v in values.items()]
    )


CONTROLS = (
    *(Arm(name, name, role="control") for name in ("random", "oracle", "organic", "top-topic")),
    Arm("popularity", "popularity", role="control"),
    Arm("frozen", "mf", learns=False, role="control"),
    Arm(NULL_TWIN, "mf", luck="null", role="control"),
)
Planted = tuple[FeedbackPlan, dict[str, pandas.DataFrame]]


@pytest.fixture(scope="session")
def planted_loop() -> Callable[..., Planted]:
    """A plan and its tables, of a loop whose values are planted.

    `moved` shifts a metric of an arm from its first day on, or by a number for each day: the noise of a seed is common
    to all arms but for a hundredth of `noise`, which is the arm's own. `unknown` are metrics of arms that are NaN.
    """

    def plant(
        arms: tuple[Arm, ...] = (Arm("wide", "mf:epsilon=0.2"), Arm("dear", "mf:mmr=0.3")),
        moved: dict[tuple[str, str], float | tuple[float, ...]] | None = None,
        unknown: tuple[tuple[str, str], ...] = (),
        num_seeds: int = 3,
        control_seeds: int = 3,
        noise: float = 1.0,
    ) -> Planted:
        plan = FeedbackPlan(
            world="planted",
            seeds=tuple(range(num_seeds)),
            arms=(Arm("no remedy", "mf"), *arms, *CONTROLS),
            control_seeds=control_seeds,
            loop_days=6,
            measure_every=2,
            recent_days=2,
            price_days=2,
        )
        rng, moved, rows = np.random.default_rng(3), moved or {}, []
        common = {(metric.level, metric.name): rng.normal(size=num_seeds) for metric in METRICS}
        runs = [(unit.arm, unit.seed) for unit in plan.units()]
        runs += [(run, seed) for run in (START, NOBODY) for seed in plan.seeds]

        def told(arm: str, seed: int, day: int, level: str, metric: str, base: float) -> float:
            if (arm, metric) in unknown:
                return float("nan")
            luck = common.get((level, metric), np.zeros(num_seeds))[seed] + 0.01 * rng.normal()
            shift = np.broadcast_to(moved.get((arm, metric), 0.0), plan.loop_days)[day - 1]
            return base + float(shift) + 0.01 * noise * luck

        for arm, seed in runs:
            beside = arm in (START, NOBODY)
            for day, metric in itertools.product(plan.measured_days, METRICS):
                if metric.level == "preference" or not beside:
                    key = (metric.level, metric.direction, metric.name)
                    rows.append((arm, seed, day, *key, told(arm, seed, day, metric.level, metric.name, 0.5)))
            for day, metric in itertools.product(range(1, 7) if not beside else (), (*WELFARE, *FIGURES)):
                rows.append(
                    (arm, seed, day, "welfare", "platform", metric, told(arm, seed, day, "welfare", metric, 1.0))
                )
        names = ["arm", "seed", "day", "level", "direction", "metric", "value"]
        timeline = pandas.DataFrame(rows, columns=names)
        outcomes = [
            Outcome(
                unit,
                {
                    "daily": [{"num_slates": 10, "clicks_per_slate": 0.3}] * plan.loop_days,
                    "rewards": {},
                    "worth": dict.fromkeys(WORTH, 0.2),
                },
                {},
            )
            for unit in plan.units()
        ]
        tables = {
            "days": days_table(timeline, plan),
            "welfare": welfare_table(timeline, plan),
            "remedies": remedies_table(timeline, outcomes, plan),
            "controls": controls_table(timeline, plan),
            "differences": differences_table(timeline, plan),
            "narrowing": narrowing_table(timeline, plan),
            "frontier": frontier_table(timeline, plan),
            "examples": _examples(plan),
        }
        return plan, tables

    return plant


def _examples(plan: FeedbackPlan) -> pandas.DataFrame:
    """A mainstream and a niche user who like topic 2 most, and did not come before day 4."""
    taste = {0: 0.1, 1: 0.2, 2: 0.6, 3: 0.1}
    rows = [
        (unit.arm, unit.seed, user, group, day, topic, np.nan if day < 4 else 0.25, share)
        for unit in plan.units()
        for user, group in ((7, "mainstream"), (8, "niche"))
        for day in (0, *plan.measured_days)
        for topic, share in taste.items()
    ]
    return pandas.DataFrame(rows, columns=["arm", "seed", "user", "group", "day", "topic", "shown", "taste"])
