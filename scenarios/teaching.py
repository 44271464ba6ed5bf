"""How agents are taught in an environment: by acting in it, with curves and checkpoints."""

from pathlib import Path

import pandas as pd

from agents.acting.base import ActingAgent
from agents.acting.diary import CURVES, Diary
from agents.wrapper import Wrapper
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.evaluation.learning import LearningPlan, LearningUnit
from recsim_lab.policy import Agent, Policy


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


def curves_of(plan: LearningPlan, folder: Path) -> pd.DataFrame:
    """The curves of all that have acted, after the largest number of steps, with columns `policy` and `seed`."""
    units = [
        LearningUnit(seed, learner.label, learner, max(plan.num_steps))
        for seed in plan.seeds
        for learner in plan.learners
        if learner.from_log < 1
    ]
    files = {unit: folder / "units" / unit.folder / CURVES for unit in units}
    parts = [pd.read_csv(file).assign(policy=unit.policy, seed=unit.seed) for unit, file in files.items()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
