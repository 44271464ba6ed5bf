"""A platform's state at a day's end, on disk: whole or not there, and enough to go on with the same results."""

import copy
import json
import os
import shutil
import zlib
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
        "identity": _identity(service),
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
        ValueError: if the checkpoint is of another world, seed or kind of service.
    """
    latest = folder / "latest"
    if not latest.exists():
        shutil.rmtree(folder / "log", ignore_errors=True)
        return
    place = folder / "checkpoints" / latest.read_text()
    description = json.loads((place / "service.json").read_text())
    for name, expected in _identity(service).items():
        if (found := description["identity"][name]) != expected:
            raise ValueError(f"the checkpoint at {place} must have {name} {expected!r}, got {found!r}")
    with np.load(place / "state.npz") as arrays:
        service.sessions.state = {name: arrays[f"state/{name}"] for name in service.sessions.state}
        service.due = arrays["due"]
    for name, agent in (("policy", service.policy), ("learner", service.learner)):
        if isinstance(agent, Agent):
            agent.load(place / name)
    service.pending = []
    for i, tick in enumerate(description["pending"]):
        agent = copy.deepcopy(service.learner)
        assert agent is not None  # both or neither: part of the identity
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


def _identity(service: Service) -> dict[str, Any]:
    """What must not differ between a service and the checkpoint it goes on from."""
    sessions, world = service.sessions, service.sessions.world
    truth = zlib.crc32(world.population.latent.tobytes(), zlib.crc32(world.catalogue.latent.tobytes()))
    return {
        "world": world.name,
        "num_users": len(sessions),
        "num_items": world.catalogue.num_items,
        "num_slots": sessions.num_slots,
        "history": sessions.history,
        "arrays": {name: list(values.shape) for name, values in sorted(sessions.state.items())},
        "seed": int(sessions.state["seed"].max(initial=0)),
        "checksum of the latent vectors": truth,
        "retraining": service.learner is not None,
    }
