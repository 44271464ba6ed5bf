"""Run a grid of worlds, agents and seeds: collect a log, learn from it, score offline, deploy, measure."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsim_lab.evaluation.offline import Candidates, Requests, offline_metrics, rebuild_requests
from recsim_lab.evaluation.online import follow
from recsim_lab.evaluation.oracle import REFERENCES, Oracle, make_reference
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.slates import slate_metrics
from recsim_lab.evaluation.splits import LeaveLastOut, RandomSplit, Split, TemporalSplit
from recsim_lab.evaluation.units import claim, finished, safe_name
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform, Retraining
from recsim_lab.policy import Agent, Observation, Policy
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World

if TYPE_CHECKING:
    import pandas as pd

ORACLE = "oracle"
"""The family of all reference policies."""


@dataclass(frozen=True)
class Factories:
    """How the study makes worlds and policies, given from outside: functions that can be pickled by name.

    `rules` wraps a policy in the business rules that bind all of them, the oracle included (an agent stays an
    agent); `restrict` applies the same rules to rebuilt requests offline.
    """

    world: Callable[[str, int], World]
    agent: Callable[[str, int], Agent]
    family: Callable[[str], str]
    rules: Callable[[Policy], Policy]
    restrict: Callable[[Observation, int], Observation]


@dataclass(frozen=True)
class Plan:
    """What to run.

    Each world and seed gets one log of `log_days` days, collected by `logging_policy`, which learns every night
    from its own log: on its first day it knows nothing. Each agent learns from all but the last `test_days` days and
    is scored on those; exactly these weights then serve twins of the same users for `online_days` days after the
    log's end (`frozen`). Copies of the agent that learn from the training parts of the other splits are scored, but
    not deployed. With `retrain_every` the agent is deployed once more and learns
    every so many days from the log and from what it shows itself (`retrained`). `history` is how many clicks an
    observation shows: enough for a week, so that a rule against repeats can keep what it says.
    """

    worlds: tuple[str, ...]
    agents: tuple[str, ...]
    seeds: tuple[int, ...]
    logging_policy: str = "random"
    log_days: int = 40
    test_days: int = 8
    online_days: int = 8
    retrain_every: int = 0
    num_sampled: int = 100
    cutoffs: tuple[int, ...] = (5, 10, 20)
    max_requests: int = 1000
    probe_share: float = 0.1
    references: tuple[str, ...] = ("oracle",)
    history: int = 128
    split_names: tuple[str, ...] = ("temporal", "last-out", "random")

    def __post_init__(self) -> None:
        if TemporalSplit.name not in self.split_names:
            raise ValueError(f"split_names must hold 'temporal', whose model is deployed, got {self.split_names}")
        for name in ("worlds", "agents", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"{name} must hold at least one, got none")
        for name in ("worlds", "agents", "seeds", "references"):
            values = getattr(self, name)
            if twice := [value for i, value in enumerate(values) if value in values[:i]]:
                raise ValueError(f"{name} must be distinct, got {twice[0]!r} more than once")
        if not 0 < self.test_days < self.log_days:
            raise ValueError(
                f"test_days must be at least 1 and less than log_days, got {self.test_days} of {self.log_days}"
            )
        if unknown := set(self.references) - set(REFERENCES):
            raise ValueError(f"references must be among {', '.join(REFERENCES)}, got {', '.join(sorted(unknown))}")
        if self.online_days < 1:
            raise ValueError(f"online_days must be at least 1, got {self.online_days}")

    @property
    def splits(self) -> tuple[Split, ...]:
        every: tuple[Split, ...] = (TemporalSplit(self.test_days), LeaveLastOut(), RandomSplit())
        return tuple(split for split in every if split.name in self.split_names)

    @property
    def candidates(self) -> tuple[Candidates, ...]:
        return Candidates(), Candidates(self.num_sampled)


@dataclass(frozen=True)
class Unit:
    """One piece of work: an agent or a reference in a world under a seed; None: the log itself."""

    world: str
    seed: int
    agent: str | None

    @property
    def file_name(self) -> str:
        agent = "log" if self.agent is None else self.agent
        return f"{safe_name(self.world)}/seed={self.seed}/{safe_name(agent)}.json"


Progress = Callable[[Unit, int, int], None]
"""Called with the last unit, the number of units done and of all: for those found done, then after each."""


def run_study(
    plan: Plan, factories: Factories, folder: Path, num_workers: int = 1, progress: Progress | None = None
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Run what is missing of the plan; returns the tables `scores` and `daily`.

    Each unit's result is a file of its own under `folder/units`, so a run that was killed goes on where it stopped.
    Workers are spawned, with one Numba and one torch thread each.

    Raises:
        ValueError: if the folder holds a study of another plan, or an agent or a world can't be made
            (before anything is run).
    """
    check_plan(plan, factories)
    claim(folder, plan)
    logs = [Unit(world, seed, None) for world in plan.worlds for seed in plan.seeds]
    units = [Unit(unit.world, unit.seed, agent) for unit in logs for agent in (*plan.agents, *plan.references)]
    run = partial(run_unit, plan=plan, factories=factories, folder=folder)
    done = 0
    for stage in (logs, units):
        missing = [unit for unit in stage if not (folder / "units" / unit.file_name).exists()]
        done += len(stage) - len(missing)
        if progress is not None and len(missing) < len(stage):
            progress(stage[-1], done, len(logs) + len(units))
        for unit in finished(missing, run, num_workers):
            done += 1
            if progress is not None:
                progress(unit, done, len(logs) + len(units))
    return _collect(units, folder, plan.logging_policy)


def check_plan(plan: Plan, factories: Factories) -> None:
    """Raise the ValueError of the first agent or world that can't be made, before anything is run or written."""
    for spec in (*plan.agents, plan.logging_policy):
        factories.family(spec)
        factories.agent(spec, plan.seeds[0])
    for world in plan.worlds:
        factories.world(world, plan.seeds[0])


def run_unit(unit: Unit, plan: Plan, factories: Factories, folder: Path) -> None:
    """Do one unit and write its file."""
    base = folder / "units" / safe_name(unit.world) / f"seed={unit.seed}"
    stage = _logged(unit.world, unit.seed, plan, factories, base / "platform")
    if unit.agent is None:
        result: dict[str, Any] = {"num_slates": len(stage.log)}
    elif unit.agent in plan.references:
        result = _reference_arm(unit.agent, stage, factories)
    else:
        result = _agent_arms(unit.agent, unit.seed, stage, factories)
    RunFolder(folder / "units").write_text(unit.file_name, json.dumps(result))


@dataclass(frozen=True)
class _Stage:
    """A world at the end of its log, and the test requests of each split."""

    plan: Plan
    world: World
    platform: Platform
    log: InteractionLog
    training: dict[str, InteractionLog]
    requests: dict[str, Requests]


@lru_cache(maxsize=1)
def _logged(world_name: str, seed: int, plan: Plan, factories: Factories, folder: Path) -> _Stage:
    """The log of a world and seed, collected or read back; kept for the next unit of the same worker."""
    world = factories.world(world_name, seed)
    logging = factories.rules(factories.agent(plan.logging_policy, seed))
    platform = Platform(world, logging, seed=seed, retraining=Retraining(1), history=plan.history, folder=folder)
    platform.run(plan.log_days)
    log = platform.log()
    parts = {split.name: split.parts(log) for split in plan.splits}
    return _Stage(
        plan,
        world,
        platform,
        log,
        {name: log.take(train) for name, (train, _) in parts.items()},
        {
            name: rebuild_requests(log, test, factories.restrict, plan.max_requests, seed)
            for name, (_, test) in parts.items()
        },
    )


def _agent_arms(spec: str, seed: int, stage: _Stage, factories: Factories) -> dict[str, Any]:
    """Offline scores of the agent under every protocol, and its online arms."""
    plan = stage.plan
    offline: dict[str, float] = {}
    agents = {}
    for split in plan.splits:
        agents[split.name] = agent = factories.agent(spec, seed)
        agent.learn(stage.training[split.name])
        scored = offline_metrics(agent, stage.requests[split.name], plan.candidates, plan.cutoffs)
        for candidates, metrics in scored.items():
            offline |= {f"offline/{split.name}-{candidates}/{name}": value for name, value in metrics.items()}
        if split.name == TemporalSplit.name:
            shown = slate_metrics(agent, stage.log, split.parts(stage.log)[1], seed=seed)
            offline |= {f"offline/{split.name}-slate/{name}": value for name, value in shown.items()}
    deployed = factories.rules(agents[TemporalSplit.name])
    arms = []
    for retraining in [None, Retraining(plan.retrain_every)] if plan.retrain_every else [None]:
        arm = _arm(stage, stage.platform.fork(deployed, retraining), factories)
        arm["scores"] |= offline
        arms.append(arm)
    return {"family": factories.family(spec), "arms": arms}


def _reference_arm(name: str, stage: _Stage, factories: Factories) -> dict[str, Any]:
    twin = stage.platform.fork(stage.platform.service.policy)
    twin.service.policy = factories.rules(make_reference(name, stage.world, twin.service.sessions))
    return {"family": ORACLE, "arms": [_arm(stage, twin, factories)]}


def _arm(stage: _Stage, twin: Platform, factories: Factories) -> dict[str, Any]:
    """Serve the days after the log and measure them."""

    def oracle(sessions: Sessions) -> Policy:
        return factories.rules(Oracle(stage.world).watch(sessions))

    _, online = follow(twin, oracle, stage.plan.online_days, stage.plan.probe_share)
    return {
        "deployment": "frozen" if twin.retraining is None else "retrained",
        "num_retrainings": twin.service.num_retrainings,
        "scores": {f"online/{name}": value for name, value in online.items()},
        "daily": twin.service.daily,
    }


def _collect(units: list[Unit], folder: Path, logging_policy: str) -> "tuple[pd.DataFrame, pd.DataFrame]":
    import pandas as pd

    scores, daily = [], []
    for unit in units:
        result = json.loads((folder / "units" / unit.file_name).read_text())
        for arm in result["arms"]:
            keys = {
                "world": unit.world,
                "logging_policy": logging_policy,
                "agent": unit.agent,
                "family": result["family"],
                "seed": unit.seed,
            }
            keys |= {"deployment": arm["deployment"], "num_retrainings": arm["num_retrainings"]}
            scores.append(keys | arm["scores"])
            # The number of retrainings is that of the arm, not of the day.
            daily += [keys | row | keys for row in arm["daily"]]
    return pd.DataFrame(scores), pd.DataFrame(daily)
