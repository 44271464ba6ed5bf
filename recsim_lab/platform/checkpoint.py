"""A platform's state at a day's end, on disk: whole or not there, and enough to go on with the same results."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from recsim_lab.interaction_log import InteractionLog, read_log
from recsim_lab.platform.platform import Service
from recsim_lab.policy import Agent


def keep(folder: Path, service: Service, log: InteractionLog | None) -> None:
    """Write the day's log and a checkpoint; the name `latest` moves to it only when all of it is there."""
    if log is not None:
        log.write(folder / "log")
    place = folder / "checkpoints" / f"day={service.day}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    state: dict[str, Any] = {f"state/{name}": values for name, values in service.sessions.state.items()}
    np.savez(place / "state.npz", due=service.due, **state)
    agents = {"policy": service.policy, "learner": service.learner}
    agents |= {f"pending-{i}": agent for i, (_, agent) in enumerate(service.pending)}
    for name, agent in agents.items():
        if isinstance(agent, Agent):
            agent.save(place / name)
    description = {
        "day": service.day,
        "num_retrainings": service.num_retrainings,
        "pending": [tick for tick, _ in service.pending],
        "daily": service.daily,
    }
    (place / "service.json").write_text(json.dumps(description))
    scratch = folder / "latest.partial"
    scratch.write_text(place.name)
    os.replace(scratch, folder / "latest")
    for old in (folder / "checkpoints").iterdir():
        if old.name != place.name:
            shutil.rmtree(old, ignore_errors=True)


def restore(folder: Path, service: Service) -> None:
    """Bring a new service to the last checkpoint in the folder, if there is one; later days of the log are dropped.

    Raises:
        ValueError: if the checkpoint is of another world (its arrays differ in name or shape).
    """
    import copy

    latest = folder / "latest"
    if not latest.exists():
        shutil.rmtree(folder / "log", ignore_errors=True)
        return
    place = folder / "checkpoints" / latest.read_text()
    description = json.loads((place / "service.json").read_text())
    with np.load(place / "state.npz") as arrays:
        state = {name.removeprefix("state/"): arrays[name] for name in arrays.files if name != "due"}
        expected = {name: values.shape for name, values in service.sessions.state.items()}
        if (found := {name: values.shape for name, values in state.items()}) != expected:
            raise ValueError(f"the checkpoint at {place} must hold the arrays {expected}, got {found}")
        service.sessions.state = state
        service.due = arrays["due"]
    for name, agent in (("policy", service.policy), ("learner", service.learner)):
        if isinstance(agent, Agent):
            agent.load(place / name)
    service.pending = []
    for i, tick in enumerate(description["pending"]):
        agent = copy.deepcopy(service.learner)
        assert agent is not None
        agent.load(place / f"pending-{i}")
        service.pending.append((tick, agent))
    service.day, service.num_retrainings = description["day"], description["num_retrainings"]
    service.daily = description["daily"]
    for partition in (folder / "log").glob("day=*"):
        if int(partition.name.removeprefix("day=")) >= service.day:
            shutil.rmtree(partition)
    if (folder / "log" / "log.json").exists():
        days = sorted(int(p.name.removeprefix("day=")) for p in (folder / "log").glob("day=*"))
        service.log = [read_log(folder / "log", range(day, day + 1)) for day in days]
