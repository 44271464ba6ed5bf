"""How scenarios teach agents in an environment: by acting in it, with curves and checkpoints."""

from pathlib import Path
from typing import Any

import pandas as pd

from agents.acting.base import ActingAgent
from agents.acting.diary import CURVES, Diary
from agents.wrapper import Wrapper
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.evaluation.learning import LearningPlan, LearningUnit, run_learning
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.policy import Agent, Policy
from scenarios.command_line import counting, plain_errors, run_folder
from scenarios.factories import FACTORIES


def teach(agent: Agent, env: SlateVectorEnv, num_steps: int, folder: Path) -> None:
    """Let the agent act for so many steps, without the policies around it, which serve only; a run that was killed goes
    on from its checkpoint in the folder.

    Raises:
        ValueError: if it can't learn by acting.
    """
    inside: Policy = agent
    while isinstance(inside, Wrapper):
        inside = inside.policy
    if not isinstance(inside, ActingAgent):
        raise ValueError(
            f"agent must be one that learns by acting (reinforce, slate-q, wolpertinger), got {agent.name!r}: "
            "others learn from logs alone, `--from-log 1`"
        )
    inside.train(env, num_steps, Diary(folder))


def learned(scenario: str, config: Any) -> tuple[RunFolder, LearningPlan, dict[str, Any], pd.DataFrame]:
    """Run the plan of a scenario's config, which has a `name`, a `plan()` and `num_workers`.

    Returns the run's folder, the plan, the content of `config.json`, and the lives.
    """
    with plain_errors():
        plan = config.plan()
        run = run_folder(scenario, config.name)
        provenance = run.begin(config)
        with counting("Learning and lives") as count:
            lives = run_learning(
                plan,
                FACTORIES,
                teach,
                run.path,
                config.num_workers,
                lambda unit, done, total: count(f"seed {unit.seed} {unit.policy} {unit.num_steps}", done, total),
            )
    return run, plan, provenance, lives


def curves_of(plan: LearningPlan, folder: Path) -> pd.DataFrame:
    """The curves of all that have acted, after the largest number of steps, with columns `policy` and `seed`."""
    units = [
        LearningUnit(seed, learner.label, learner, max(plan.num_steps))
        for seed in plan.seeds
        for learner in plan.learners
    ]
    files = {unit: folder / "units" / unit.folder / CURVES for unit in units}
    # A learner whose every slate comes from the log, once rounded, has none.
    known = {unit: file for unit, file in files.items() if file.exists()}
    parts = [pd.read_csv(file).assign(policy=unit.policy, seed=unit.seed) for unit, file in known.items()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
