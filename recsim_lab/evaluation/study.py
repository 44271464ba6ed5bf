"""Run a grid of worlds, logging policies, agents and seeds: collect a log, learn from it, score offline, deploy."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim_lab.evaluation.offline import (
    FoldRequests,
    Metrics,
    mean_of_folds,
    protocol_metrics,
    requests_of_fold,
    retrieved_by,
)
from recsim_lab.evaluation.online import expected_clicks, follow
from recsim_lab.evaluation.oracle import REFERENCES, Oracle, make_reference
from recsim_lab.evaluation.protocols import Fold, Protocol, TemporalSplit, simple_protocols
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.truth import Moments, Recorder
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
NO_TARGET = "none"
"""The training target of what was not trained."""
REPLICATE = "replicate"
"""The name of the second luck, under which every deployment is repeated."""
EXPECTED = "truth/frozen-users/expected_clicks"
"""What the first slates after the log earn in expectation, before anybody has answered one."""


@dataclass(frozen=True)
class Factories:
    """How the study makes worlds and policies, given from outside: functions that can be pickled by name.

    `rules` wraps a policy in the business rules that bind all of them, the oracle included (an agent stays an
    agent); `restrict` applies the same rules to rebuilt requests offline. `family` and `target` (what it
    was trained on: "catalogue", "impressions" or "none") tell of an agent's name.
    """

    world: Callable[[str, int], World]
    agent: Callable[[str, int], Agent]
    family: Callable[[str], str]
    target: Callable[[str], str]
    rules: Callable[[Policy], Policy]
    restrict: Callable[[Observation, int], Observation]


@dataclass(frozen=True)
class Plan:
    """What to run.

    Each world, logging policy and seed gets one log of `log_days` days, collected by a policy that learns every night
    from its own log: on its first day it knows nothing. Each agent learns from all but the last `test_days` days, is
    scored under `protocols` (none given: the simple ones), and exactly these weights then serve twins of the same users
    for `online_days` days after the log's end (`frozen`). Protocols of other splits train and score copies of their
    own. What they are compared with is a model that learns from the whole log before it is deployed (`refit`), as teams
    do; it is there where a protocol asks for it. With `retrain_every` that model (or the frozen one, without it) is
    deployed once more and learns every so many days from the log and from what it shows itself (`retrained`). With
    `replicate` the `frozen` and `refit` deployments are repeated under other luck. `rules` says whether the business
    rules bind, in the log, offline and online. `retriever` finds the candidates of protocols that ask for it. `history`
    is how many clicks an observation shows: enough for a week, so that a rule against repeats can keep what it says.
    """

    worlds: tuple[str, ...]
    agents: tuple[str, ...]
    seeds: tuple[int, ...]
    logging_policies: tuple[str, ...] = ("random",)
    log_days: int = 40
    test_days: int = 8
    online_days: int = 8
    retrain_every: int = 0
    replicate: bool = False
    rules: bool = True
    protocols: tuple[Protocol, ...] = ()
    cutoffs: tuple[int, ...] = (5, 10, 20)
    max_requests: int = 1000
    retriever: str = "item-knn"
    probe_share: float = 0.1
    references: tuple[str, ...] = ("oracle",)
    history: int = 128

    def __post_init__(self) -> None:
        for name in ("worlds", "agents", "seeds", "logging_policies"):
            values = getattr(self, name)
            if not values:
                raise ValueError(f"{name} must hold at least one, got none")
            if twice := [value for i, value in enumerate(values) if value in values[:i]]:
                raise ValueError(f"{name} must be distinct, got {twice[0]!r} more than once")
        if not 0 < self.test_days < self.log_days:
            raise ValueError(
                f"test_days must be at least 1 and less than log_days, got {self.test_days} of {self.log_days}"
            )
        if unknown := set(self.references) - set(REFERENCES):
            raise ValueError(f"references must be among {', '.join(REFERENCES)}, got {', '.join(sorted(unknown))}")
        if twice := [value for i, value in enumerate(self.references) if value in self.references[:i]]:
            raise ValueError(f"references must be distinct, got {twice[0]!r} more than once")
        if self.online_days < 1:
            raise ValueError(f"online_days must be at least 1, got {self.online_days}")
        names = [protocol.name for protocol in self.scoring]
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            raise ValueError(f"protocols must have different names, got {twice[0]!r} more than once")
        wrong = [p for p in self.scoring if getattr(p.split, "test_days", self.test_days) != self.test_days]
        if wrong:
            raise ValueError(f"protocols must test on the plan's {self.test_days} days, got {wrong[0]}")

    @property
    def scoring(self) -> tuple[Protocol, ...]:
        """The protocols that agents are scored under."""
        return self.protocols or simple_protocols(self.test_days)


@dataclass(frozen=True)
class Unit:
    """One piece of work: an agent or a reference in a world, after a log, under a seed; None: the log itself."""

    world: str
    seed: int
    agent: str | None
    logging_policy: str = "random"

    @property
    def folder(self) -> str:
        return f"{safe_name(self.world)}/{safe_name(self.logging_policy)}/seed={self.seed}"

    @property
    def file_name(self) -> str:
        return f"{self.folder}/{'log' if self.agent is None else safe_name(self.agent)}.json"


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
    logs = [
        Unit(world, seed, None, logging)
        for world in plan.worlds
        for logging in plan.logging_policies
        for seed in plan.seeds
    ]
    everyone = (*plan.agents, *plan.references)
    units = [Unit(log.world, log.seed, agent, log.logging_policy) for log in logs for agent in everyone]
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
    return _collect(units, folder)


def check_plan(plan: Plan, factories: Factories) -> None:
    """Raise the ValueError of the first agent or world that can't be made, before anything is run or written."""
    for spec in (*plan.agents, *plan.logging_policies, plan.retriever):
        factories.family(spec)
        factories.agent(spec, plan.seeds[0])
    for world in plan.worlds:
        factories.world(world, plan.seeds[0])


def run_unit(unit: Unit, plan: Plan, factories: Factories, folder: Path) -> None:
    """Do one unit and write its file."""
    if not plan.rules:
        factories = replace(factories, rules=_as_it_is, restrict=_unrestricted)
    stage = _logged(unit.world, unit.seed, unit.logging_policy, plan, factories, folder / "units" / unit.folder)
    if unit.agent is None:
        result: dict[str, Any] = {"num_slates": len(stage.log)}
    elif unit.agent in plan.references:
        result = _reference_arm(unit.agent, stage, factories)
    else:
        result = _agent_arms(unit.agent, unit.seed, stage, factories)
    RunFolder(folder / "units").write_text(unit.file_name, json.dumps(result))


@dataclass(frozen=True)
class _Stage:
    """A world at the end of its log, the truth of the log's moments, and the test requests of every fold."""

    plan: Plan
    world: World
    platform: Platform
    log: InteractionLog
    moments: Moments
    tested: tuple[tuple[tuple[Protocol, ...], tuple[FoldRequests, ...]], ...]
    """The protocols of each split, with the requests of its folds."""


@lru_cache(maxsize=1)
def _logged(world_name: str, seed: int, logging: str, plan: Plan, factories: Factories, folder: Path) -> _Stage:
    """The log of a world and seed, collected or read back; kept for the next unit of the same worker."""
    world = factories.world(world_name, seed)
    truth, service = folder / "moments.npz", folder / "platform"
    if not truth.exists():
        # The truth is seen only while users are served, so a log that was cut short begins anew.
        shutil.rmtree(service, ignore_errors=True)
    recorder = Recorder()
    platform = Platform(
        world,
        factories.rules(factories.agent(logging, seed)),
        seed=seed,
        retraining=Retraining(1),
        history=plan.history,
        folder=service,
        probe=recorder,
    )
    platform.run(plan.log_days)
    if not truth.exists():
        recorder.moments(world).save(truth)
    log, moments = platform.log(), Moments.load(truth, world)
    moments.check(log)
    return _Stage(plan, world, platform, log, moments, _tested(plan, log, moments, factories, seed))


def _tested(
    plan: Plan, log: InteractionLog, moments: Moments, factories: Factories, seed: int
) -> tuple[tuple[tuple[Protocol, ...], tuple[FoldRequests, ...]], ...]:
    by_split = []
    for split in dict.fromkeys(protocol.split for protocol in plan.scoring):
        protocols = tuple(protocol for protocol in plan.scoring if protocol.split == split)
        folds, num = split.folds(log), retrieved_by(protocols)
        tested = tuple(
            requests_of_fold(
                log,
                split,
                fold,
                factories.restrict,
                max_requests=max(1, plan.max_requests // len(folds)),
                seed=seed,
                moments=moments,
                retriever=_learned(plan.retriever, seed, log, fold, factories) if num else None,
                num_retrieved=num,
            )
            for fold in folds
        )
        by_split.append((protocols, tested))
    return tuple(by_split)


def _learned(spec: str, seed: int, log: InteractionLog, fold: Fold, factories: Factories) -> Agent:
    agent = factories.agent(spec, seed)
    agent.learn(log.take(fold.train))
    return agent


def _agent_arms(spec: str, seed: int, stage: _Stage, factories: Factories) -> dict[str, Any]:
    """Offline scores of the agent under every protocol, and its online arms."""
    plan = stage.plan
    (deployed,) = TemporalSplit(plan.test_days).folds(stage.log)
    trained: dict[str, Agent] = {}

    def copy_of(fold: Fold) -> Agent:
        """Folds that learn from the same rows share one training."""
        key = _digest(fold)
        if key not in trained:
            trained[key] = _learned(spec, seed, stage.log, fold, factories)
        return trained[key]

    own: dict[str, float] = {}
    others: dict[str, float] = {}
    for protocols, tested in stage.tested:
        found = [_metrics_of(copy_of(one.fold), one, protocols, plan.cutoffs, factories) for one in tested]
        for protocol in protocols:
            means = mean_of_folds([metrics[protocol] for metrics in found])
            columns = {f"{protocol.prefix}/{name}": value for name, value in means.items()}
            (own if all(_digest(one.fold) == _digest(deployed) for one in tested) else others).update(columns)

    policies: dict[str, Agent] = {"frozen": copy_of(deployed)}
    if others:
        policies["refit"] = factories.agent(spec, seed)
        policies["refit"].learn(stage.log)
    arms = []
    for deployment, agent in policies.items():
        ruled = factories.rules(agent)
        arm = _arm(stage, deployment, ruled, None, factories)
        arm["scores"] |= own | (others if deployment == "refit" else {})
        arm["scores"][EXPECTED] = expected_clicks(stage.platform, ruled)
        arms.append(arm)
    if plan.retrain_every:
        start = factories.rules(policies.get("refit", policies["frozen"]))
        arm = _arm(stage, "retrained", start, Retraining(plan.retrain_every), factories)
        arm["scores"] |= own | others
        arms.append(arm)
    return {"family": factories.family(spec), "target": factories.target(spec), "arms": arms}


def _digest(fold: Fold) -> str:
    return hashlib.sha256(np.packbits(fold.train).tobytes()).hexdigest()


def _metrics_of(
    agent: Agent, tested: FoldRequests, protocols: Sequence[Protocol], cutoffs: tuple[int, ...], factories: Factories
) -> dict[Protocol, Metrics]:
    return protocol_metrics(agent, factories.rules(agent), tested, protocols, cutoffs)


def _reference_arm(name: str, stage: _Stage, factories: Factories) -> dict[str, Any]:
    twin = stage.platform.fork(stage.platform.service.policy)
    twin.service.policy = factories.rules(make_reference(name, stage.world, twin.service.sessions))
    return {"family": ORACLE, "target": NO_TARGET, "arms": [_served(stage, "frozen", twin, factories)]}


def _arm(
    stage: _Stage, deployment: str, ruled: Policy, retraining: Retraining | None, factories: Factories
) -> dict[str, Any]:
    """Serve the days after the log, and once more under other luck where the plan says so."""
    arm = _served(stage, deployment, stage.platform.fork(ruled, retraining), factories)
    if stage.plan.replicate and retraining is None:
        _, again = follow(stage.platform.fork(ruled, luck=REPLICATE), None, stage.plan.online_days)
        arm["scores"] |= {f"{REPLICATE}/{name}": value for name, value in again.items()}
    return arm


def _served(stage: _Stage, deployment: str, twin: Platform, factories: Factories) -> dict[str, Any]:
    def oracle(sessions: Sessions) -> Policy:
        return factories.rules(Oracle(stage.world).watch(sessions))

    _, online = follow(twin, oracle, stage.plan.online_days, stage.plan.probe_share)
    return {
        "deployment": deployment,
        "num_retrainings": twin.service.num_retrainings,
        "scores": {f"online/{name}": value for name, value in online.items()},
        "daily": twin.service.daily,
    }


def _as_it_is(policy: Policy) -> Policy:
    return policy


def _unrestricted(observation: Observation, num_slots: int) -> Observation:
    return observation


def _collect(units: list[Unit], folder: Path) -> "tuple[pd.DataFrame, pd.DataFrame]":
    import pandas as pd

    scores, daily = [], []
    for unit in units:
        result = json.loads((folder / "units" / unit.file_name).read_text())
        for arm in result["arms"]:
            keys = {
                "world": unit.world,
                "logging_policy": unit.logging_policy,
                "agent": unit.agent,
                "family": result["family"],
                "target": result["target"],
                "seed": unit.seed,
            }
            keys |= {"deployment": arm["deployment"], "num_retrainings": arm["num_retrainings"]}
            scores.append(keys | arm["scores"])
            # The number of retrainings is that of the arm, not of the day.
            daily += [keys | row | keys for row in arm["daily"]]
    return pd.DataFrame(scores), pd.DataFrame(daily)
