"""One piece of a study's work: the log of a world, or an agent that learns from it, is scored, and is deployed."""

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from recsim_lab.evaluation.estimates import PROTOCOL, estimates_of
from recsim_lab.evaluation.offline import (
    FoldRequests,
    mean_of_folds,
    protocol_metrics,
    requests_of_fold,
    retrieved_by,
)
from recsim_lab.evaluation.online import expected_clicks, follow
from recsim_lab.evaluation.oracle import Oracle, make_reference
from recsim_lab.evaluation.plan import EXPECTED, NO_TARGET, ORACLE, REPLICATE, Factories, Plan, Unit
from recsim_lab.evaluation.protocols import Fold, Protocol, Split, TemporalSplit
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.truth import Moments, Recorder
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform, Retraining
from recsim_lab.policy import Agent, Observation, Policy
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World

A = np.ndarray


def run_unit(unit: Unit, plan: Plan, factories: Factories, folder: Path) -> None:
    """Do one unit and write its file."""
    if not plan.rules:
        factories = replace(factories, rules=_as_it_is, restrict=_unrestricted)
    stage = _logged(unit.world, unit.seed, unit.logging_policy, plan, factories, folder / "units" / unit.folder)
    if unit.agent is None:
        result: dict[str, Any] = {"num_slates": len(stage.log), "requests": _num_requests(stage)}
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
    logging: Policy | None
    """The policy that collected the log, if it never learned."""
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
    still = platform.service.policy if factories.target(logging) == NO_TARGET else None
    return _Stage(plan, world, still, platform, log, moments, _tested(plan, log, moments, factories, seed))


def _tested(
    plan: Plan, log: InteractionLog, moments: Moments, factories: Factories, seed: int
) -> tuple[tuple[tuple[Protocol, ...], tuple[FoldRequests, ...]], ...]:
    by_split = []
    for split in dict.fromkeys(protocol.split for protocol in plan.scoring):
        protocols = tuple(protocol for protocol in plan.scoring if protocol.split == split)
        folds, num = _folds(plan, split, log), retrieved_by(protocols)
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


def _recent(plan: Plan, log: InteractionLog) -> Bool[A, " rows"]:
    """The rows that agents learn from and are tested on."""
    return log.day >= plan.log_days - (plan.learn_days or plan.log_days)


def _folds(plan: Plan, split: Split, log: InteractionLog) -> list[Fold]:
    recent = _recent(plan, log)
    return [Fold(fold.train & recent, fold.test & recent) for fold in split.folds(log)]


def _num_requests(stage: _Stage) -> dict[str, int]:
    """How many requests of each protocol have something relevant, those of all folds taken together."""
    return {
        protocol.prefix: sum(requests.num_judged(protocol) for requests in tested)
        for protocols, tested in stage.tested
        for protocol in protocols
    }


def _learned(spec: str, seed: int, log: InteractionLog, fold: Fold, factories: Factories) -> Agent:
    agent = factories.agent(spec, seed)
    agent.learn(log.take(fold.train))
    return agent


def _agent_arms(spec: str, seed: int, stage: _Stage, factories: Factories) -> dict[str, Any]:
    """Offline scores of the agent under every protocol, and its online arms."""
    plan = stage.plan
    (deployed,) = _folds(plan, TemporalSplit(plan.test_days), stage.log)
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
        found = []
        for requests in tested:
            agent = copy_of(requests.fold)
            found.append(protocol_metrics(agent, factories.rules(agent), requests, protocols, plan.cutoffs))
        for protocol in protocols:
            means = mean_of_folds([metrics[protocol] for metrics in found])
            columns = {f"{protocol.prefix}/{name}": value for name, value in means.items()}
            (own if all(_digest(one.fold) == _digest(deployed) for one in tested) else others).update(columns)

    estimates = _estimates(factories.rules(copy_of(deployed)), deployed, seed, stage, factories)
    own |= {f"offline/{PROTOCOL}/{row['estimator']}": row["value"] for row in estimates if not row["reason"]}
    policies: dict[str, Agent] = {"frozen": copy_of(deployed)}
    if others:
        policies["refit"] = factories.agent(spec, seed)
        policies["refit"].learn(stage.log.take(_recent(plan, stage.log)))
    arms = []
    for deployment, agent in policies.items():
        ruled = factories.rules(agent)
        arm = _arm(stage, deployment, ruled, None, factories)
        arm["scores"] |= own | (others if deployment == "refit" else {})
        arm["scores"][EXPECTED] = expected_clicks(stage.platform, ruled)
        arms.append(arm)
    if plan.retrain_every:
        start = factories.rules(policies.get("refit", policies["frozen"]))
        arm = _arm(stage, "retrained", start, Retraining(plan.retrain_every, plan.learn_days), factories)
        arm["scores"] |= own | others
        arms.append(arm)
    told = {"family": factories.family(spec), "target": factories.target(spec)}
    return told | {"arms": arms, "estimates": estimates}


def _estimates(ruled: Policy, fold: Fold, seed: int, stage: _Stage, factories: Factories) -> list[dict[str, Any]]:
    num = stage.plan.estimated_slates
    if not num:
        return []
    rows = np.flatnonzero(fold.test)
    if len(rows) > num:
        rows = np.sort(np.random.default_rng(seed).choice(rows, num, replace=False))
    return estimates_of(ruled, stage.log, rows, factories.restrict, stage.logging, stage.moments, seed)


def _digest(fold: Fold) -> str:
    return hashlib.sha256(np.packbits(fold.train).tobytes()).hexdigest()


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

    _, online = follow(twin, oracle, stage.plan.online_days, stage.plan.probe_share, final=True)
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
