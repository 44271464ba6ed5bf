"""What exploration costs and buys: the same users served with and without it, by models of their own logs.

The reward of a platform that explores differs from its greedy twin's for two reasons: explored slots show worse items,
and the model has learned from what they showed. The learning dividend is the second alone: users who were served at
epsilon go on to be served at epsilon, with the same luck, once by the model of this log and once by the model of the
greedy twin's log. These users have had what the first likes best, and not what the second would show. So it is
measured among the greedy twin's users too, where that speaks for the first; in the mean of both it cancels, as far as
it is the same in both.
"""

import json
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim_lab.evaluation.online import follow
from recsim_lab.evaluation.oracle import Oracle
from recsim_lab.evaluation.plan import Factories, Unit
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.study import Progress
from recsim_lab.evaluation.units import claim, finished, safe_name
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform, Retraining
from recsim_lab.policy import TICKS_PER_DAY, Agent, Policy
from recsim_lab.simulation.calibration.fidelity import gini
from recsim_lab.simulation.sessions import Sessions

if TYPE_CHECKING:
    import pandas as pd

NO_FIT = "the greedy twin's model does not fit in"
AMONG_GREEDY = "_among_greedy_users"
_MODELS = ("own", "greedy")
NAN = float("nan")


@dataclass(frozen=True)
class Explorer:
    """A way to explore around the greedy model; `epsilon` is the share of its slots that are random, None where these
    are not uniform and the published dividend has no meaning."""

    agent: str
    epsilon: float | None = None

    def __post_init__(self) -> None:
        if self.epsilon is not None and not 0 < self.epsilon <= 1:
            raise ValueError(f"epsilon must be in (0, 1] or None, got {self.epsilon}")


@dataclass(frozen=True)
class LoopPlan:
    """What to run.

    In each world and seed random slates (`uniform`) are logged for `log_days` days. Then each arm, which is `greedy`,
    one of the `explorers` or `uniform`, serves twins of the same users for `loop_days` days, and learns at first from
    that log and every `retrain_every` days from that log and its own. Rewards are those of the last `measure_days` of
    the loop; the learning dividend is measured in as many days after it, in which no model learns. Regret is known of a
    `probe_share` of the requests.
    """

    worlds: tuple[str, ...]
    seeds: tuple[int, ...]
    explorers: tuple[Explorer, ...]
    greedy: str = "mf"
    uniform: str = "random"
    log_days: int = 5
    loop_days: int = 20
    retrain_every: int = 2
    measure_days: int = 5
    probe_share: float = 0.1
    history: int = 128

    def __post_init__(self) -> None:
        for name in ("worlds", "seeds", "explorers"):
            if not getattr(self, name):
                raise ValueError(f"{name} must hold at least one, got none")
        for name, values in (("worlds", self.worlds), ("seeds", self.seeds), ("arms", self.arms)):
            if twice := [value for i, value in enumerate(values) if value in values[:i]]:
                raise ValueError(f"{name} must be distinct, got {twice[0]!r} more than once")
        if self.log_days < 1:
            raise ValueError(f"log_days must be at least 1, got {self.log_days}")
        for name in ("retrain_every", "measure_days"):
            if not 1 <= getattr(self, name) <= self.loop_days:
                raise ValueError(f"{name} must be in [1, loop_days], got {getattr(self, name)} of {self.loop_days}")

    @property
    def arms(self) -> tuple[str, ...]:
        """The agents of all arms: the greedy one, the explorers, the uniform one."""
        return self.greedy, *(explorer.agent for explorer in self.explorers), self.uniform


def published_dividend(reward: float, greedy: float, uniform: float, epsilon: float) -> float:
    """D(epsilon) = r_epsilon - [(1 - epsilon) r_0 + epsilon r_random]: what is earned above a mixture of two rewards.

    Beside the learning dividend it contains all else in which a slate of both kinds of items is not such a mixture:
    a random item takes a click from a greedy one or gives way to it (substitution), slots are not looked at alike
    (position), and users get tired of what is alike (boredom).
    """
    return reward - ((1 - epsilon) * greedy + epsilon * uniform)


def served_by(platform: Platform, policy: Policy, days: int) -> float:
    """Clicks per slate that a policy which does not learn earns in the next days; the platform stays as it is."""
    _, online = follow(platform.fork(policy), None, days)
    return online["clicks_per_slate"]


def dividend_rewards(
    twin: Platform, greedy: Platform, other: Agent, days: int, rules: Callable[[Policy], Policy]
) -> dict[str, float]:
    """What the users at the end of two loops, an explorer's and the greedy one, give in the next days to the models of
    both inside the same exploration.

    `other` is an explorer that has not learned, and takes the greedy model's place; empty where that does not fit.
    """
    learner, model = twin.service.learner, greedy.service.learner
    assert learner is not None and model is not None
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        try:
            other.load(Path(folder) / "model")
        except ValueError:
            # Some explorers learn something besides the model, of which the greedy twin's file holds nothing.
            return {}
    return {
        f"{name}_model{among}": served_by(users, policy, days)
        for among, users in (("", twin), (AMONG_GREEDY, greedy))
        for name, policy in zip(_MODELS, (learner, rules(other)), strict=True)
    }


def exposure(log: InteractionLog, first_day: int, end_day: int) -> dict[str, float]:
    """Of the items that were on offer at any moment of these days: the share that was shown (`coverage`), and how
    unequally (`exposure_gini`)."""
    features = log.features
    start, end = first_day * TICKS_PER_DAY, end_day * TICKS_PER_DAY
    on_offer = (features.release < end) & (features.withdrawal > start)
    shown = np.bincount(log.between(start, end).slate.ravel(), minlength=features.num_items)[on_offer]
    return {"coverage": float((shown > 0).mean()), "exposure_gini": gini(shown)}


def check_loops(plan: LoopPlan, factories: Factories) -> None:
    """Raise the ValueError of the first agent or world that can't be made, before anything is run or written."""
    for spec in plan.arms:
        factories.family(spec)
        factories.agent(spec, plan.seeds[0])
    for world in plan.worlds:
        factories.world(world, plan.seeds[0])


def run_loops(
    plan: LoopPlan, factories: Factories, folder: Path, num_workers: int = 1, progress: Progress | None = None
) -> "tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]":
    """Run what is missing of the plan; returns the tables `arms`, `daily` and `dividends`, of each world and seed.

    Each arm's result is a file of its own under `folder/units`, so a run that was killed goes on where it stopped.

    Raises:
        ValueError: if the folder holds the results of another plan, or an agent or a world can't be made (before
            anything is run).
    """
    check_loops(plan, factories)
    claim(folder, plan)
    pairs = [(world, seed) for world in plan.worlds for seed in plan.seeds]
    # Greedy arms first: each collects the log of its world and seed, which the others read.
    stages = [
        [Unit(world, seed, agent) for world, seed in pairs for agent in agents]
        for agents in (plan.arms[:1], plan.arms[1:])
    ]
    run = partial(run_arm, plan=plan, factories=factories, folder=folder)
    done, total = 0, sum(map(len, stages))
    for stage in stages:
        missing = [unit for unit in stage if not (folder / "units" / unit.file_name).exists()]
        done += len(stage) - len(missing)
        for unit in finished(missing, run, num_workers):
            done += 1
            if progress is not None:
                progress(unit, done, total)
    results = {
        Unit(world, seed, agent): json.loads((folder / "units" / Unit(world, seed, agent).file_name).read_text())
        for world, seed in pairs
        for agent in plan.arms
    }
    return _collect(results, plan, factories)


def run_arm(unit: Unit, plan: LoopPlan, factories: Factories, folder: Path) -> None:
    """Let one arm go through its loop, and write its file."""
    assert unit.agent is not None
    base = folder / "units" / safe_name(unit.world) / f"seed={unit.seed}"
    run = _greedy_loop if unit.agent == plan.greedy else _loop
    twin, daily = run(unit, plan, factories, base / "platform")
    end = plan.log_days + plan.loop_days
    result: dict[str, Any] = {"daily": daily, "num_retrainings": twin.service.num_retrainings}
    result["exposure"] = exposure(twin.log(), end - plan.measure_days, end)
    if unit.agent not in (plan.greedy, plan.uniform):
        greedy, _ = _greedy_loop(replace(unit, agent=plan.greedy), plan, factories, base / "platform")
        other = factories.agent(unit.agent, unit.seed)
        result["rewards"] = dividend_rewards(twin, greedy, other, plan.measure_days, factories.rules)
    RunFolder(folder / "units").write_text(unit.file_name, json.dumps(result))


def _loop(unit: Unit, plan: LoopPlan, factories: Factories, folder: Path) -> tuple[Platform, list[dict[str, Any]]]:
    """The platform after the loop of an arm, and its days."""
    assert unit.agent is not None
    platform, log = _logged(unit.world, unit.seed, plan, factories, folder)
    agent = factories.agent(unit.agent, unit.seed)
    agent.learn(log)
    twin = platform.fork(factories.rules(agent), Retraining(plan.retrain_every))

    def oracle(sessions: Sessions) -> Policy:
        return factories.rules(Oracle(twin.world).watch(sessions))

    daily = []
    for _ in range(plan.loop_days):
        _, online = follow(twin, oracle, 1, plan.probe_share)
        daily.append(twin.service.daily[-1] | {"regret": online["regret"]})
    return twin, daily


_greedy_loop = lru_cache(maxsize=1)(_loop)
"""That of the greedy arm, kept for the next arm of a worker."""


@lru_cache(maxsize=1)
def _logged(
    world_name: str, seed: int, plan: LoopPlan, factories: Factories, folder: Path
) -> tuple[Platform, InteractionLog]:
    """The platform of a world and seed after its log, collected or read back; kept for the next arm of a worker."""
    world = factories.world(world_name, seed)
    policy = factories.rules(factories.agent(plan.uniform, seed))
    platform = Platform(world, policy, seed=seed, history=plan.history, folder=folder)
    platform.run(plan.log_days)
    return platform, platform.log()


def _collect(
    results: Mapping[Unit, dict[str, Any]], plan: LoopPlan, factories: Factories
) -> "tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]":
    import pandas as pd

    epsilons = {explorer.agent: explorer.epsilon for explorer in plan.explorers} | {plan.greedy: 0.0, plan.uniform: 1.0}
    arms, daily, dividends = [], [], []
    earned: dict[Unit, float] = {}
    for unit, result in results.items():
        assert unit.agent is not None
        keys = {"world": unit.world, "agent": unit.agent, "family": factories.family(unit.agent), "seed": unit.seed}
        last = result["daily"][-plan.measure_days :]
        earned[unit] = _mean_of_days(last, "clicks_per_slate")
        epsilon = epsilons[unit.agent]
        row = keys | {"epsilon": NAN if epsilon is None else epsilon, "clicks_per_slate": earned[unit]}
        row |= {"regret": _mean_of_days(last, "regret")}
        row |= {f"{name}_of_loop": _mean_of_days(result["daily"], name) for name in ("clicks_per_slate", "regret")}
        arms.append(row | result["exposure"] | {"num_retrainings": result["num_retrainings"]})
        # The number of retrainings of each day is not that of the arm, which figures go by.
        daily += [
            keys | {key: value for key, value in day.items() if key != "num_retrainings"} for day in result["daily"]
        ]
    for unit, result in results.items():
        if "rewards" not in result:
            continue
        told, epsilon = result["rewards"], epsilons[str(unit.agent)]
        here, there = (
            told.get(f"own_model{among}", NAN) - told.get(f"greedy_model{among}", NAN) for among in ("", AMONG_GREEDY)
        )
        greedy, uniform = (earned[Unit(unit.world, unit.seed, agent)] for agent in (plan.greedy, plan.uniform))
        dividends.append(
            {
                "world": unit.world,
                "agent": unit.agent,
                "seed": unit.seed,
                "epsilon": NAN if epsilon is None else epsilon,
            }
            | {f"{name}_model{a}": told.get(f"{name}_model{a}", NAN) for a in ("", AMONG_GREEDY) for name in _MODELS}
            | {"learning_dividend": here, f"learning_dividend{AMONG_GREEDY}": there, "crossed": (here + there) / 2}
            | {"above_greedy": earned[unit] - greedy}
            | {"published": NAN if epsilon is None else published_dividend(earned[unit], greedy, uniform, epsilon)}
            | {"remark": "" if told else NO_FIT}
        )
    return pd.DataFrame(arms), pd.DataFrame(daily), pd.DataFrame(dividends)


def _mean_of_days(days: list[dict[str, Any]], name: str) -> float:
    """The mean over all slates of these days; days of which nothing is known are left out."""
    known = [(day[name], day["num_slates"]) for day in days if day["num_slates"] and not math.isnan(day[name])]
    if not known:
        return NAN
    values, weights = np.array(known).T
    return float(np.average(values, weights=weights))
