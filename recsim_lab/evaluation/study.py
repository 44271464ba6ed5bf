"""Run a grid of worlds, logging policies, agents and seeds: collect a log, learn from it, score offline, deploy."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsim_lab.evaluation.cell import run_unit
from recsim_lab.evaluation.plan import Factories, Plan, Unit
from recsim_lab.evaluation.units import claim, finished
from recsim_lab.platform import Platform

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[Unit, int, int], None]
"""Called with the last unit, the number of units done and of all: for those found done, then after each."""


AXES = ("worlds", "logging_policies", "seeds", "agents", "references")
"""The fields of a plan that say which units there are; all others belong to what each of them is."""


@dataclass(frozen=True)
class Tables:
    """What a study found.

    A row of `scores` for each agent, deployment and seed, of `daily` for each day of it, of `estimates` for each agent,
    seed and off-policy estimator, and of `protocols` for each log and protocol, in words and with the number of
    requests in which it found something relevant.
    """

    scores: "pd.DataFrame"
    daily: "pd.DataFrame"
    estimates: "pd.DataFrame"
    protocols: "pd.DataFrame"


def run_study(
    plan: Plan, factories: Factories, folder: Path, num_workers: int = 1, progress: Progress | None = None
) -> Tables:
    """Run what is missing of the plan.

    Each unit's result is a file of its own under `folder/units`, so a run that was killed goes on where it stopped, and
    one that gets another agent, world, seed or logging policy runs only what is new. Workers are spawned, with one
    Numba and one torch thread each.

    Raises:
        ValueError: if the folder holds a study of another plan, or an agent or a world can't be made
            (before anything is run).
    """
    check_plan(plan, factories)
    claim(folder, plan, AXES)
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
    return _collect(plan, logs, units, folder)


def check_plan(plan: Plan, factories: Factories) -> None:
    """Raise the ValueError of the first agent or world that can't be made or served, before anything is run or
    written."""
    for spec in (*plan.agents, *plan.logging_policies, plan.retriever):
        factories.family(spec)
        factories.agent(spec, plan.seeds[0])
    for world in plan.worlds:
        Platform(factories.world(world, plan.seeds[0]), factories.agent(plan.retriever, plan.seeds[0]))


def _collect(plan: Plan, logs: list[Unit], units: list[Unit], folder: Path) -> Tables:
    import pandas as pd

    def result_of(unit: Unit) -> dict[str, Any]:
        return json.loads((folder / "units" / unit.file_name).read_text())

    words = {protocol.prefix: protocol.said for protocol in plan.scoring}
    protocols = [
        {
            "world": log.world,
            "logging_policy": log.logging_policy,
            "seed": log.seed,
            "protocol": prefix.partition("/")[2],
            "reads": prefix.partition("/")[0],
            "num_requests": num_requests,
            "words": words[prefix],
        }
        for log in logs
        for prefix, num_requests in result_of(log)["requests"].items()
    ]
    scores, daily, estimates = [], [], []
    for unit in units:
        result = result_of(unit)
        named = {
            "world": unit.world,
            "logging_policy": unit.logging_policy,
            "agent": unit.agent,
            "family": result["family"],
            "target": result["target"],
            "seed": unit.seed,
        }
        estimates += [named | row for row in result.get("estimates", ())]
        for arm in result["arms"]:
            keys = named | {"deployment": arm["deployment"], "num_retrainings": arm["num_retrainings"]}
            scores.append(keys | arm["scores"])
            # The number of retrainings is that of the arm, not of the day.
            daily += [keys | row | keys for row in arm["daily"]]
    return Tables(pd.DataFrame(scores), pd.DataFrame(daily), pd.DataFrame(estimates), pd.DataFrame(protocols))
