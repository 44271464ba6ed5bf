"""Is a world worth a study? Its oracle ladder, and whether models, users and logs leave room for an answer.

    python -m scenarios.world_card                    `everyday`, 5 seeds: about 10 minutes on 2 cores

Oracles that know only part of the truth show what each component of utility is worth in clicks; agents show whether
models of different kinds differ; a loop of 50 days shows how many users leave. A row that misses its bound is
marked. The defaults of `everyday` were chosen by this card; the agreement of offline with online had no part in it.
Results lie in `runs/world_card/<name>/card.csv`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recsim_lab.evaluation.oracle import REFERENCES
from recsim_lab.evaluation.plan import Plan, Unit
from recsim_lab.evaluation.study import check_plan, run_study
from recsim_lab.evaluation.world_card import Requirement, world_card
from scenarios.command_line import console, counting, parse, plain_errors, run_folder, show_table
from scenarios.factories import FACTORIES
from scenarios.offline_online import LIGHT_AGENTS


@dataclass(frozen=True)
class Config:
    """What to run."""

    name: str = "everyday"
    """Folder of the run under runs/world_card/."""
    world: str = "everyday"
    """A preset."""
    agents: tuple[str, ...] = LIGHT_AGENTS
    """Agents with their variants; random, popularity, ease and mf must be among them."""
    seeds: int = 5
    """Number of seeds."""
    num_workers: int = min(os.cpu_count() or 1, 8)
    """Processes."""


def main() -> None:
    config = parse({"standard": Config()}, "Is a world worth a study?")
    seeds = tuple(range(config.seeds))
    ladder = Plan((config.world,), config.agents, seeds, references=REFERENCES, max_requests=100, probe_share=0.02)
    loop = Plan(
        (config.world,), ("mf",), seeds, log_days=10, test_days=1, online_days=50, retrain_every=1, references=(),
        max_requests=100, probe_share=0.0,
    )  # fmt: skip
    with plain_errors():
        check_plan(ladder, FACTORIES)
        run = run_folder("world_card", config.name)
        run.begin(config)
    with counting("Ladder and agents") as count:
        scores = run_study(
            ladder, FACTORIES, run.path / "ladder", config.num_workers, lambda u, i, n: count(u.agent or "log", i, n)
        ).scores
    with counting("Daily retrained MF, to day 60") as count:
        daily = run_study(
            loop, FACTORIES, run.path / "loop", config.num_workers, lambda u, i, n: count(u.agent or "log", i, n)
        ).daily
    card = world_card(scores, _churned(daily, config.world), _clicks_in_log(run.path, config.world, seeds))
    run.write_table("card", pd.DataFrame([vars(row) | {"holds": row.holds} for row in card]))
    show_table(
        f"World card of {config.world}, {config.seeds} seeds",
        ("", "value", "95% interval", "bound", ""),
        [_row(requirement) for requirement in card],
    )
    missed = sum(not requirement.holds for requirement in card)
    console.print("every bound holds" if not missed else f"[bold red]{missed} bounds are missed[/bold red]")


def _churned(daily: pd.DataFrame, world: str) -> pd.DataFrame:
    """The share of the population that has left for good on the last day, per seed."""
    last = daily[(daily["deployment"] == "retrained") & (daily["day"] == daily["day"].max())]
    num_users = FACTORIES.world(world, 0).population.num_users
    return last.assign(churned=last["num_churned"] / num_users)[["seed", "churned"]]


def _clicks_in_log(path: Path, world: str, seeds: tuple[int, ...]) -> pd.Series:
    from recsim_lab.interaction_log import read_log

    num_users = FACTORIES.world(world, 0).population.num_users
    folders = [path / "ladder" / "units" / Unit(world, seed, None).folder / "platform" / "log" for seed in seeds]
    return pd.Series([read_log(folder).clicks.sum() / num_users for folder in folders])


def _row(requirement: Requirement) -> tuple[str, ...]:
    bounds = []
    if np.isfinite(requirement.at_least):
        bounds.append(f"≥ {requirement.at_least:g}")
    if np.isfinite(requirement.at_most):
        bounds.append(f"≤ {requirement.at_most:g}")
    known = np.isfinite(requirement.low)
    return (
        requirement.name,
        f"{requirement.value:.3f}",
        f"{requirement.low:.3f} to {requirement.high:.3f}" if known else "",
        ", ".join(bounds),
        "" if not bounds else "holds" if requirement.holds else "[bold red]missed[/bold red]",
    )


if __name__ == "__main__":
    main()
