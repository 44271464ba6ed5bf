"""Agents that learn by acting, from logs or from both, judged by the lives of users whom they have never met."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.evaluation.lives import divided, live
from recsim_lab.evaluation.oracle import REFERENCES, make_reference
from recsim_lab.evaluation.plan import Factories
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.statistics import paired_interval
from recsim_lab.evaluation.units import claim, finished, safe_name
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform
from recsim_lab.policy import NEVER, Agent, FeatureTable, Policy
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

TEST_LUCK = 2**32
"""Added to a seed for the luck of the users on whom policies are judged; no training uses such a seed."""
RANDOM = "random"
"""The agent that has nothing to learn."""
_MOST_LOG_DAYS = 400


@dataclass(frozen=True)
class Learner:
    """An agent and the share of its slates that it learns from a log before it acts itself; 1: from nothing else."""

    agent: str
    from_log: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.from_log <= 1:
            raise ValueError(f"from_log must be in [0, 1], got {self.from_log}")

    @property
    def label(self) -> str:
        how = {0.0: "", 1.0: " from the log"}
        return self.agent + how.get(self.from_log, f", {self.from_log:.0%} from the log")


@dataclass(frozen=True)
class LearningPlan:
    """What to run.

    In each seed's world half of the users are there to learn from: `num_seats` at a time by acting, each seat for
    `num_steps` slates and lives cut off at `max_steps`; or from a log of as many slates in all that `logging` showed.
    The other half are served by each policy over their lives, with the same luck. Several `num_steps` give a curve,
    each point a training of its own. `references` need not learn: those of `make_reference`, and `random`.
    """

    world: str
    learners: tuple[Learner, ...]
    references: tuple[str, ...] = ("oracle", "random")
    seeds: tuple[int, ...] = (0,)
    num_seats: int = 128
    num_steps: tuple[int, ...] = (500,)
    max_steps: int = 500
    reward: str = "world"
    logging: str = "random"

    def __post_init__(self) -> None:
        for name in ("learners", "seeds", "num_steps"):
            if not getattr(self, name):
                raise ValueError(f"{name} must hold at least one, got none")
        for name in ("num_seats", "max_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if min(self.num_steps) < 1:
            raise ValueError(f"num_steps must be at least 1, got {min(self.num_steps)}")
        if unknown := sorted(set(self.references) - {*REFERENCES, RANDOM}):
            raise ValueError(
                f"references must need no learning, as {', '.join((*REFERENCES, RANDOM))} do, got {unknown[0]!r}"
            )
        labels = [*(learner.label for learner in self.learners), *self.references]
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise ValueError(f"learners and references must be distinct, got {twice[0]!r} more than once")


@dataclass(frozen=True)
class LearningUnit:
    """A policy in a seed's world: a learner after so many steps, or a reference (None, 0 steps)."""

    seed: int
    policy: str
    learner: Learner | None = None
    num_steps: int = 0

    @property
    def folder(self) -> str:
        return f"seed={self.seed}/{safe_name(self.policy)}" + (f"/{self.num_steps}" if self.learner else "")


Teach = Callable[[Agent, SlateVectorEnv, int, Path], None]
"""Lets an agent act in an environment for so many steps, and keeps curves and checkpoints in a folder."""


def run_learning(
    plan: LearningPlan,
    factories: Factories,
    teach: Teach,
    folder: Path,
    num_workers: int = 1,
    progress: Callable[[LearningUnit, int, int], None] | None = None,
) -> "pd.DataFrame":
    """Run what is missing of the plan, and give its `lives`: one row for each policy, number of steps and seed.

    Each unit keeps its curves, its policy and what each user earned under `folder/units`. A training that was killed
    goes on from its last checkpoint.

    Raises:
        ValueError: if the folder holds another plan, or an agent or world can't be made (before anything is run).
    """
    import pandas as pd

    for learner in plan.learners:
        factories.agent(learner.agent, plan.seeds[0])
    factories.world(plan.world, plan.seeds[0])
    claim(folder, plan)
    units = [
        unit
        for seed in plan.seeds
        for unit in (
            *(LearningUnit(seed, name) for name in plan.references),
            *(
                LearningUnit(seed, learner.label, learner, steps)
                for steps in plan.num_steps
                for learner in plan.learners
            ),
        )
    ]
    missing = [unit for unit in units if not _file(folder, unit).exists()]
    done = len(units) - len(missing)
    for unit in finished(
        missing, partial(_run, plan=plan, factories=factories, teach=teach, folder=folder), num_workers
    ):
        done += 1
        if progress is not None:
            progress(unit, done, len(units))
    return pd.DataFrame([json.loads(_file(folder, unit).read_text()) for unit in units])


def compared(lives: "pd.DataFrame", judged: str, num_steps: int) -> "pd.DataFrame":
    """How much more `judged` earns after so many steps than each other policy, per life and on the first slate, with
    95% t intervals over seeds, which are paired: the same users with the same luck."""
    import pandas as pd

    some = lives[(lives["num_steps"] == num_steps) | (lives["num_steps"] == 0)]
    rows = []
    for policy in dict.fromkeys(some["policy"]):
        row: dict[str, Any] = {"policy": policy, "num_steps": num_steps}
        for name in ("reward", "first", "num_slates"):
            values = some.pivot(index="seed", columns="policy", values=name)
            interval = paired_interval(values[judged].to_numpy(float), values[policy].to_numpy(float))
            row |= {name: float(values[policy].mean()), f"{name}_gain": interval.estimate}
            row |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
        rows.append(row)
    return pd.DataFrame(rows)


def _file(folder: Path, unit: LearningUnit) -> Path:
    return folder / "units" / unit.folder / "lives.json"


def _run(unit: LearningUnit, plan: LearningPlan, factories: Factories, teach: Teach, folder: Path) -> None:
    world = factories.world(plan.world, unit.seed)
    to_learn_from, to_serve = divided(world, 0.5, unit.seed)
    own = folder / "units" / unit.folder
    own.mkdir(parents=True, exist_ok=True)
    agent = (
        None
        if unit.learner is None
        else _taught(unit, unit.learner, to_learn_from, to_serve, plan, factories, teach, own)
    )

    def serving(sessions: Sessions) -> Policy:
        if agent is not None:
            return agent
        if unit.policy == RANDOM:
            return factories.agent(RANDOM, unit.seed)
        return make_reference(unit.policy, to_serve, sessions)

    lives = live(to_serve, serving, TEST_LUCK + unit.seed, plan.max_steps, plan.reward)
    scratch = own / "users.partial.npz"
    np.savez_compressed(scratch, **vars(lives))
    os.replace(scratch, own / "users.npz")
    means = {name: float(values.mean()) for name, values in vars(lives).items()}
    told = {"policy": unit.policy, "num_steps": unit.num_steps, "seed": unit.seed} | means
    RunFolder(own).write_text("lives.json", json.dumps(told))


def _taught(
    unit: LearningUnit,
    learner: Learner,
    world: World,
    served: World,
    plan: LearningPlan,
    factories: Factories,
    teach: Teach,
    folder: Path,
) -> Agent:
    agent = factories.agent(learner.agent, unit.seed)
    from_log = round(learner.from_log * unit.num_steps)
    if from_log:
        log = logged(world, factories.agent(plan.logging, unit.seed), from_log * plan.num_seats, unit.seed)
        agent.learn(of_strangers(log, served.features, served.population.num_users))
    if from_log < unit.num_steps:
        env = SlateVectorEnv(
            plan.num_seats, world, max_steps=plan.max_steps, reward=plan.reward, autoreset_mode="Disabled"
        )
        teach(agent, env, unit.num_steps - from_log, folder)
    agent.save(folder / "policy.safetensors")
    return agent


def of_strangers(log: InteractionLog, served: FeatureTable, num_served: int) -> InteractionLog:
    """The log with its users numbered after those who will be served: an agent that knows users by their number must
    take nobody for somebody else."""
    users = {name: np.concatenate([served.users[name], own]) for name, own in log.features.users.items()}
    return replace(log, user=log.user + np.int32(num_served), features=replace(log.features, users=users))


def logged(world: World, policy: Policy, num_slates: int, seed: int) -> InteractionLog:
    """The first `num_slates` slates that a policy shows to the users of a world.

    Raises:
        ValueError: if the users are gone for good before.
    """
    platform = Platform(world, policy, seed=seed)
    num_days = 1
    platform.run(num_days)
    while len(log := platform.log()) < num_slates:
        if (platform.service.due == NEVER).all() or num_days > _MOST_LOG_DAYS:
            raise ValueError(
                f"num_steps must leave users to be logged: of {num_slates} slates all {world.population.num_users} "
                f"users saw {len(log)}; a world with more users may do"
            )
        num_days *= 2
        platform.run(num_days)
    return log.take(slice(0, num_slates))
