"""A platform's state at a day's end, on disk: whole or not there, and enough to go on with the same results."""

import copy
import json
import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from recsim_lab.interaction_log import InteractionLog, read_log
from recsim_lab.platform.fingerprint import fingerprint
from recsim_lab.platform.platform import Retraining, Service, forget
from recsim_lab.policy import Agent

WORLD_FIELDS_TOLD_APART = ("name", "num_slots", "catalogue", "population")


def keep(folder: Path, service: Service, log: InteractionLog | None, identity: dict[str, str]) -> None:
    """Write the day's log and a checkpoint; the name `latest` moves to it only when all of it is there."""
    # The folder of checkpoints comes first: it says whose the log is, should the first day's end be interrupted.
    place = folder / "checkpoints" / f"day={service.day}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    if log is not None:
        log.write(folder / "log", replace=True)
    state: dict[str, Any] = {f"state/{name}": values for name, values in service.sessions.state.items()}
    np.savez(place / "state.npz", due=service.due, **state)
    agents = {"policy": service.policy, "learner": service.learner}
    agents |= {f"pending-{i}": agent for i, (_, agent) in enumerate(service.pending)}
    for name, agent in agents.items():
        if isinstance(agent, Agent):
            agent.save(place / name)
    description = {
        "identity": identity,
        "day": service.day,
        "num_retrainings": service.num_retrainings,
        "pending": [tick for tick, _ in service.pending],
        "daily": service.daily,
    }
    (place / "service.json").write_text(json.dumps(description))
    scratch = folder / "latest.partial"
    scratch.write_text(place.name)
    os.replace(scratch, folder / "latest")
    for old in (folder / "checkpoints").glob("day=*"):
        if old.name != place.name:
            shutil.rmtree(old, ignore_errors=True)


def is_kept(folder: Path) -> bool:
    """Whether the folder holds a checkpoint, from which a platform goes on."""
    return (folder / "latest").exists()


def restore(folder: Path, service: Service, identity: dict[str, str], days_in_memory: int | None = None) -> None:
    """Bring a new service to the last checkpoint in the folder, if there is one; later days of the log are dropped.

    Raises:
        ValueError: if the checkpoint is of a service with another identity, or there is a log without a checkpoint.
    """
    if not is_kept(folder):
        _drop_first_day(folder, service.day)
        return
    place = folder / "checkpoints" / (folder / "latest").read_text()
    description = json.loads((place / "service.json").read_text())
    for name, expected in identity.items():
        if (found := description["identity"].get(name, "none")) != expected:
            raise ValueError(f"the checkpoint at {place} must have {name} {expected}, got {found}")
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
    days = sorted(int(p.parent.name.removeprefix("day=")) for p in (folder / "log").glob("day=*/log.parquet"))
    oldest = 0 if days_in_memory is None else service.day - days_in_memory
    for day in days:
        if oldest <= day < service.day:
            service.log.append(read_log(folder / "log", range(day, day + 1)))
        elif day >= service.day:
            (folder / "log" / f"day={day}" / "log.parquet").unlink()
    forget(service, days_in_memory)


def _drop_first_day(folder: Path, first: int) -> None:
    """Remove the log of a run that was stopped at the end of its first day, before its first checkpoint.

    Raises:
        ValueError: if the folder holds a log that no such run has left.
    """
    log = folder / "log"
    there = {str(file.relative_to(log)) for file in log.rglob("*") if not file.is_dir()}
    if not there:
        return
    # All files of a log of one day, and what they are called until they are whole.
    own = {"log.json", "features.npz", f"day={first}/log.parquet"}
    own |= {"log.json.partial", "features.partial.npz", f"day={first}/log.parquet.partial"}
    if not (folder / "checkpoints").exists() or there - own:
        raise ValueError(
            f"{folder} must hold no log, or one with its checkpoint, got a log without a checkpoint at {log}; "
            "use another folder, or move that log away"
        )
    for file in there:
        (log / file).unlink()


def identity_of(service: Service, retraining: Retraining | None) -> dict[str, str]:
    """What must not differ between a new service and the checkpoint it goes on from, by name."""
    sessions, world = service.sessions, service.sessions.world
    parts: dict[str, Any] = {
        "world": world.name,
        "num_users": len(sessions),
        "num_items": world.catalogue.num_items,
        "num_slots": sessions.num_slots,
        "history": sessions.history,
        "seed": sessions.state["seed"].max(initial=0),
        "retraining": retraining,
        "policy": service.policy,
    }
    for side in ("catalogue", "population"):
        value = getattr(world, side)
        parts |= {f"{side}.{f.name}": getattr(value, f.name) for f in fields(value)}
    # The world's number of slots is a default only: what counts is that of the sessions.
    parts |= {f.name: getattr(world, f.name) for f in fields(world) if f.name not in WORLD_FIELDS_TOLD_APART}
    parts["arrays"] = {name: values.shape for name, values in sorted(sessions.state.items())}
    return {name: fingerprint(value) for name, value in parts.items()}
