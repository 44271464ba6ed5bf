"""An interaction log as a Minari data set that other people's offline learners read, and back, with nothing lost."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from recsim_lab.envs.seats import request_spaces
from recsim_lab.interaction_log import REQUEST_COLUMNS, SLOT_COLUMNS, InteractionLog, empty_log
from recsim_lab.policy import HISTORY_FIELDS, REQUEST_FIELDS, FeatureTable, Field

A = np.ndarray

OURS = "recsim_lab"
"""The name in the data set's metadata of what Minari's format has no place for."""


def write_minari(log: InteractionLog, dataset_id: str, root: Path | None = None, **about: Any) -> Any:
    """Write the log as a data set that appears whole, and return it (a `minari.MinariDataset`).

    An episode is a user. Observations are those of `SlateEnv`, rebuilt from the log; actions the slates; rewards the
    clicks. Infos say what else the log holds: `clicks`, `dwell`, `likes`, `left`, propensities and `source` as there,
    `world_reward`, and `row`, the place in the log; the first of each episode, that of its reset, is empty. What
    comes after a user's last slate is not in the log, so the last observation stands twice, and all episodes are
    truncated. Feature table, names of sources and widths are in the metadata.

    Args:
        dataset_id: as Minari's, e.g. "everyday/random-v0".
        root: folder of data sets; None: Minari's own, `MINARI_DATASETS_PATH` or `~/.minari/datasets`.
        about: Minari's metadata, such as `author={"..."}`, `code_permalink`, `description`.

    Raises:
        ImportError: if Minari is not installed.
        ValueError: if the log hides slots, or the data set is there already.
    """
    minari = _minari()
    from minari.dataset.minari_storage import MinariStorage
    from minari.storage.datasets_root_dir import get_dataset_path

    if log.served is not None:
        raise ValueError("a log to be written must be as served, got one that hides slots: write its as_served")
    target = get_dataset_path(dataset_id) if root is None else root / dataset_id
    if target.exists():
        raise ValueError(f"dataset_id must be new, got {dataset_id!r}, which is at {target}")
    scratch = target.with_name(target.name + ".partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    observation_space, action_space = _spaces(log)
    storage = MinariStorage.new(scratch / "data", observation_space, action_space)
    told = {"dataset_id": dataset_id, "minari_version": minari.__version__, "algorithm_name": ", ".join(log.sources)}
    storage.update_metadata(told | about | {OURS: _description(log)})
    storage.update_episodes(_episodes(log))
    os.replace(scratch, target)
    return minari.MinariDataset(target / "data")


def read_minari(dataset: Any, root: Path | None = None) -> InteractionLog:
    """The log of which `write_minari` made the data set, or of those episodes that it still has.

    Args:
        dataset: a `minari.MinariDataset`, or its id.
        root: as of `write_minari`, for an id.

    Raises:
        ImportError: if Minari is not installed.
        ValueError: if the data set was not made of a log.
    """
    minari = _minari()
    if isinstance(dataset, str):
        dataset = minari.load_dataset(dataset) if root is None else minari.MinariDataset(root / dataset / "data")
    description = dataset.storage.metadata.get(OURS)
    if description is None:
        raise ValueError(f"a data set must have been made of a log, got {dataset.spec.dataset_id!r}, which was not")
    empty = _empty(description)
    parts = [_columns(episode) for episode in dataset.iterate_episodes()]
    if not parts:
        return empty
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns.pop("row"), kind="stable")
    types = REQUEST_COLUMNS | SLOT_COLUMNS
    arrays: dict[str, Any] = {name: columns[name][order].astype(dtype) for name, dtype in types.items()}
    return InteractionLog(**(vars(empty) | arrays | {"sources": tuple(description["sources"])}))


def _minari() -> Any:
    try:
        import minari
    except ImportError as error:
        raise ImportError("data sets need Minari: pip install 'recsim_lab[rl]'") from error
    return minari


def _spaces(log: InteractionLog) -> tuple[gymnasium.Space, gymnasium.Space]:
    users = [len(column) for column in log.features.users.values()]
    num_users, num_items = max([*users, int(log.user.max(initial=0)) + 1]), log.features.num_items
    return (
        gymnasium.spaces.Dict(request_spaces(num_users, num_items, log.history, log.shown)),
        gymnasium.spaces.MultiDiscrete([num_items] * log.num_slots),
    )


def _episodes(log: InteractionLog) -> Iterator[Any]:
    """Minari's buffers, one user after the other."""
    from minari.data_collector.episode_buffer import EpisodeBuffer

    order = np.lexsort((log.step, log.session, log.user))
    users = np.split(order, np.flatnonzero(np.diff(log.user[order])) + 1) if len(log) else []
    requests = log.observations()
    infos = {name: getattr(log, name) for name in (*SLOT_COLUMNS, "left") if name != "slate"}
    infos |= {"world_reward": log.reward, "row": np.arange(len(log))}
    for rows in users:
        told = np.append(rows, rows[-1])
        observations = {name: getattr(requests, name)[told][:, None] for name in REQUEST_FIELDS}
        yield EpisodeBuffer(
            observations=observations | {name: getattr(requests, name)[told] for name in HISTORY_FIELDS},
            actions=log.slate[rows].astype(np.int64),
            rewards=log.clicks[rows].sum(axis=1, dtype=np.float64),
            terminations=np.zeros(len(rows), bool),
            truncations=np.arange(len(rows)) == len(rows) - 1,
            infos={name: np.concatenate([np.zeros_like(v[:1]), v[rows]]) for name, v in infos.items()},
        )


def _columns(episode: Any) -> dict[str, A]:
    """The columns of an episode's rows of the log, and `row`."""
    observations, infos = episode.observations, {name: values[1:] for name, values in episode.infos.items()}
    columns = {name: observations[name][:-1, 0] for name in REQUEST_FIELDS}
    return columns | infos | {"slate": episode.actions, "reward": infos["world_reward"]}


def _description(log: InteractionLog) -> dict[str, Any]:
    table = log.features
    sides = {"users": table.users, "items": table.items, "offer": _offer(table)}
    return {
        "user_fields": [vars(field) for field in table.user_fields],
        "item_fields": [vars(field) for field in table.item_fields],
        "titles": list(table.titles),
        "sources": list(log.sources),
        "num_slots": log.num_slots,
        "history": log.history,
        "shown": log.shown,
        "columns": {
            side: {name: [str(column.dtype), column.tolist()] for name, column in columns.items()}
            for side, columns in sides.items()
        },
    }


def _offer(table: FeatureTable) -> dict[str, A]:
    return {"release": table.release, "withdrawal": table.withdrawal}


def _empty(description: dict[str, Any]) -> InteractionLog:
    sides = {
        side: {name: np.array(values, dtype) for name, (dtype, values) in columns.items()}
        for side, columns in description["columns"].items()
    }
    table = FeatureTable(
        user_fields=tuple(Field(**field) for field in description["user_fields"]),
        item_fields=tuple(Field(**field) for field in description["item_fields"]),
        users=sides["users"],
        items=sides["items"],
        **sides["offer"],
        titles=tuple(description["titles"]),
    )
    return empty_log(table, description["num_slots"], description["history"], description["shown"])
