"""Experiments on twins: what tests with two policies say, and what each policy alone does to the same users.

In each world and seed a log is collected; every agent learns from it and serves the whole population, which gives the
true effect of one above another. Then each pair shares the population, divided by user, or every slate, interleaved. An
A/B test in which nobody learns needs no run of its own: its users live as they do where their policy serves everybody,
with the same luck.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from recsim_lab.evaluation.plan import Factories
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.units import claim, finished, safe_name
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform, Retraining
from recsim_lab.policy import TICKS_PER_DAY, Agent
from recsim_lab.streams import groups_of

A = np.ndarray


@dataclass(frozen=True)
class Designs:
    """How two agents become one policy, given from outside: functions that can be pickled by name.

    `by_user` divides users in halves as `groups_of` does under its salt, and lets agents learn from all users, or from
    a tick on from their own; `interleave` drafts every slate; `margin` counts clicks on slots of the one agent minus
    those of the other, by their names in the log.
    """

    by_user: Callable[[tuple[Agent, Agent], str, int | None], Agent]
    interleave: Callable[[tuple[Agent, Agent]], Agent]
    margin: Callable[[InteractionLog, str, str], Int[A, " rows"]]


@dataclass(frozen=True)
class TrialPlan:
    """What to run.

    In each world and seed `logging_policy` serves for `log_days`, and agents learn from that. `pairs` are of a control
    and a challenger, who then serve for `days` days, once without learning and once learning every `retrain_every`
    days from the last `window_days` (None: from all). What users did in the log is the covariate of CUPED. `interleave`
    says whether they also share slates.
    """

    worlds: tuple[str, ...]
    seeds: tuple[int, ...]
    pairs: tuple[tuple[str, str], ...]
    logging_policy: str = "random"
    log_days: int = 6
    days: int = 8
    retrain_every: int = 2
    window_days: int | None = None
    history: int = 128
    interleave: bool = True

    def __post_init__(self) -> None:
        for name in ("worlds", "seeds", "pairs"):
            values = getattr(self, name)
            if not values:
                raise ValueError(f"{name} must hold at least one, got none")
            if twice := [value for i, value in enumerate(values) if value in values[:i]]:
                raise ValueError(f"{name} must be distinct, got {twice[0]!r} more than once")
        if same := [control for control, challenger in self.pairs if control == challenger]:
            raise ValueError(f"pairs must be of two agents, got {same[0]!r} against itself")
        if self.log_days < 1:
            raise ValueError(f"log_days must be at least 1, got {self.log_days}")
        if not 1 <= self.retrain_every < self.days:
            raise ValueError(
                f"retrain_every must be at least 1 and less than days, got {self.retrain_every} of {self.days}"
            )
        if self.window_days is not None and self.window_days < 1:
            raise ValueError(f"window_days must be at least 1 or None, got {self.window_days}")

    @property
    def agents(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(agent for pair in self.pairs for agent in pair))


Learning = Literal["frozen", "pooled", "diverted"]
"""Nobody learns; all learn from the log of all; from its start on, each from that of its own users."""


@dataclass(frozen=True)
class Trial:
    """One agent that serves all users (`"alone"`), or two that share them (`"a/b"`) or their slates
    (`"interleaved"`)."""

    agents: tuple[str, ...]
    design: Literal["alone", "a/b", "interleaved"]
    learning: Learning

    @property
    def label(self) -> str:
        return f"{' against '.join(self.agents)}, {self.design}, {self.learning}"


@dataclass(frozen=True)
class TrialUnit:
    """One piece of work: a trial in a world under a seed; None: the log before all of them."""

    world: str
    seed: int
    trial: Trial | None

    @property
    def file_name(self) -> str:
        label = "log" if self.trial is None else self.trial.label
        return f"{safe_name(self.world)}/seed={self.seed}/{safe_name(label)}.json"


Results = Mapping[TrialUnit, dict[str, Any]]
"""Of each unit `clicks` and `slates`, by day and user; of interleaved ones also the `user`, `session` and `margin` (the
challenger's clicks minus the control's) of each session."""

Progress = Callable[[TrialUnit, int, int], None]
"""Called with the last unit, the number of units done and of all."""


def trials(plan: TrialPlan) -> list[Trial]:
    """All trials of one world and seed."""
    alone = [Trial((agent,), "alone", learning) for learning in ("frozen", "pooled") for agent in plan.agents]
    divided = [Trial(pair, "a/b", learning) for pair in plan.pairs for learning in ("pooled", "diverted")]
    if not plan.interleave:
        return alone + divided
    return alone + divided + [Trial(pair, "interleaved", some) for pair in plan.pairs for some in ("frozen", "pooled")]


def arms_of(pair: tuple[str, str], seed: int, num_users: int) -> Int[A, " users"]:
    """Who is the control's (0) and the challenger's (1) in the A/B tests of a pair."""
    return groups_of(np.arange(num_users), _salt(pair, seed), (0.5, 0.5))


def check_trials(plan: TrialPlan, factories: Factories) -> None:
    """Raise the ValueError of the first agent or world that can't be made, before anything is run or written."""
    for spec in (plan.logging_policy, *plan.agents):
        factories.agent(spec, plan.seeds[0])
    for world in plan.worlds:
        factories.world(world, plan.seeds[0])


def run_trials(
    plan: TrialPlan,
    factories: Factories,
    designs: Designs,
    folder: Path,
    num_workers: int = 1,
    progress: Progress | None = None,
) -> Results:
    """Run what is missing of the plan.

    Each unit's result is a file of its own under `folder/units`, so a run that was killed goes on where it stopped.

    Raises:
        ValueError: if the folder holds the results of another plan, or an agent or a world can't be made (before
            anything is run).
    """
    check_trials(plan, factories)
    claim(folder, plan)
    logs = [TrialUnit(world, seed, None) for world in plan.worlds for seed in plan.seeds]
    units = [TrialUnit(unit.world, unit.seed, trial) for unit in logs for trial in trials(plan)]
    run = partial(run_unit, plan=plan, factories=factories, designs=designs, folder=folder)
    done = 0
    for stage in (logs, units):
        missing = [unit for unit in stage if not (folder / "units" / unit.file_name).exists()]
        done += len(stage) - len(missing)
        for unit in finished(missing, run, num_workers):
            done += 1
            if progress is not None:
                progress(unit, done, len(logs) + len(units))
    return {unit: json.loads((folder / "units" / unit.file_name).read_text()) for unit in logs + units}


def run_unit(unit: TrialUnit, plan: TrialPlan, factories: Factories, designs: Designs, folder: Path) -> None:
    """Do one unit and write its file."""
    base = folder / "units" / safe_name(unit.world) / f"seed={unit.seed}"
    platform, log = _logged(unit.world, unit.seed, plan, factories, base / "platform")
    num_users = len(platform.service.sessions)
    if unit.trial is None:
        result = _by_day(log, 0, plan.log_days, num_users)
    else:
        served = _served(unit.trial, unit.seed, platform, log, plan, factories, designs)
        result = _by_day(served, plan.log_days, plan.days, num_users)
        if unit.trial.design == "interleaved":
            control, challenger = (factories.agent(spec, unit.seed).name for spec in unit.trial.agents)
            result |= _sessions(served, designs.margin(served, challenger, control))
    RunFolder(folder / "units").write_text(unit.file_name, json.dumps(result))


def _served(
    trial: Trial,
    seed: int,
    platform: Platform,
    log: InteractionLog,
    plan: TrialPlan,
    factories: Factories,
    designs: Designs,
) -> InteractionLog:
    """The days after the log under the trial's policy."""
    agents = [factories.agent(spec, seed) for spec in trial.agents]
    for agent in agents:
        agent.learn(log)
    if trial.design == "alone":
        policy = agents[0]
    elif trial.design == "interleaved":
        policy = designs.interleave((agents[0], agents[1]))
    else:
        diverted_from = plan.log_days * TICKS_PER_DAY if trial.learning == "diverted" else None
        salt = _salt((trial.agents[0], trial.agents[1]), seed)
        policy = designs.by_user((agents[0], agents[1]), salt, diverted_from)
    retraining = None if trial.learning == "frozen" else Retraining(plan.retrain_every, plan.window_days)
    return platform.fork(factories.rules(policy), retraining).run(plan.log_days + plan.days)


@lru_cache(maxsize=1)
def _logged(
    world_name: str, seed: int, plan: TrialPlan, factories: Factories, folder: Path
) -> tuple[Platform, InteractionLog]:
    """The platform of a world and seed after its log, collected or read back; kept for the next unit of a worker."""
    policy = factories.rules(factories.agent(plan.logging_policy, seed))
    world = factories.world(world_name, seed)
    platform = Platform(world, policy, seed=seed, history=plan.history, folder=folder)
    platform.run(plan.log_days)
    return platform, platform.log()


def _by_day(log: InteractionLog, first_day: int, days: int, num_users: int) -> dict[str, Any]:
    cell = (log.day - first_day) * num_users + log.user
    counts = {"clicks": log.clicks.sum(axis=1), "slates": np.ones(len(log))}
    return {
        name: np.bincount(cell, values, days * num_users).astype(np.int64).reshape(days, num_users).tolist()
        for name, values in counts.items()
    }


def _sessions(log: InteractionLog, margin: Int[A, " rows"]) -> dict[str, Any]:
    """The margin of each session."""
    keys, number = np.unique(np.stack([log.user, log.session], axis=1), axis=0, return_inverse=True)
    total = np.bincount(number.ravel(), margin, len(keys)).astype(np.int64)
    return {"user": keys[:, 0].tolist(), "session": keys[:, 1].tolist(), "margin": total.tolist()}


def _salt(pair: tuple[str, str], seed: int) -> str:
    return f"{' against '.join(pair)}, seed {seed}"
