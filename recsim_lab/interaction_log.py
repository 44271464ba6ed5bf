"""What happened on the platform: one row per slate, as columns, in memory and as a Parquet data set."""

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from recsim_lab.policy import TICKS_PER_DAY, FeatureTable, Field, Observation, Recommendation

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

REQUEST_COLUMNS = {
    "tick": np.int64,
    "user": np.int32,
    "session": np.int32,
    "step": np.int32,
    "device": np.int8,
    "reward": np.float32,
    "left": np.bool_,
}
SLOT_COLUMNS = {
    "slate": np.int32,
    "propensity": np.float32,
    "prefix_propensity": np.float64,
    "propensity_error": np.float32,
    "source": np.int16,
    "clicks": np.bool_,
    "dwell": np.float32,
    "likes": np.bool_,
}


@dataclass(frozen=True)
class InteractionLog:
    """Slates in order of time, with what users did.

    `tick` in minutes; `dwell` in minutes, 0 without a click; `left` says that the session ended after this slate;
    `reward` is the world's own (clicks; the rating in worlds of ratings). Propensities and sources as in
    `Recommendation`; `sources` names them. `history` and `shown` are the widths of the observations served.

    A log of which only some sources are to be learned from (`only`) hides the slots of the others: their slate is -1,
    as if nothing had stood there. `served` is then the same rows as they were.
    """

    tick: Int[A, " rows"]
    user: Int[A, " rows"]
    session: Int[A, " rows"]
    step: Int[A, " rows"]
    device: Int[A, " rows"]
    reward: Float[A, " rows"]
    left: Bool[A, " rows"]
    slate: Int[A, "rows slots"]
    propensity: Float[A, "rows slots"]
    prefix_propensity: Float[A, "rows slots"]
    propensity_error: Float[A, "rows slots"]
    source: Int[A, "rows slots"]
    clicks: Bool[A, "rows slots"]
    dwell: Float[A, "rows slots"]
    likes: Bool[A, "rows slots"]
    features: FeatureTable
    sources: tuple[str, ...]
    history: int
    shown: int
    served: "InteractionLog | None" = None

    def __len__(self) -> int:
        return len(self.tick)

    @property
    def num_slots(self) -> int:
        return self.slate.shape[1]

    @property
    def day(self) -> Int[A, " rows"]:
        return self.tick // TICKS_PER_DAY

    def take(self, rows: A | slice) -> "InteractionLog":
        """Some rows (indexes or a mask)."""
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in (*REQUEST_COLUMNS, *SLOT_COLUMNS)}
        return replace(self, **arrays, served=None if self.served is None else self.served.take(rows))

    def between(self, first_tick: int, end_tick: int) -> "InteractionLog":
        """The rows with `first_tick <= tick < end_tick`."""
        return self.take((self.tick >= first_tick) & (self.tick < end_tick))

    @property
    def as_served(self) -> "InteractionLog":
        """The same rows with nothing hidden: what users really saw and clicked."""
        return self if self.served is None else self.served

    def only(self, sources: Collection[str]) -> "InteractionLog":
        """The slots of these sources alone, for who may learn from nothing else.

        The slots of others hold no item (-1), no click and no propensity, so they are examples of nothing. What users
        did stays true: `observations` still tells all their clicks, whoever's, and rows keep their rewards.
        """
        kept = np.array([name in sources for name in self.sources], bool)[self.source] & (self.slate >= 0)
        nothing = {
            "slate": -1,
            "propensity": np.nan,
            "prefix_propensity": np.nan,
            "propensity_error": np.nan,
            "clicks": False,
            "dwell": 0,
            "likes": False,
        }
        hidden: dict[str, Any] = {
            name: np.where(kept, getattr(self, name), value).astype(getattr(self, name).dtype)
            for name, value in nothing.items()
        }
        return replace(self, **hidden, served=self.as_served)

    def observations(self, rows: Int[A, " requests"] | None = None) -> Observation:
        """The requests as they were served, rebuilt from what the log holds of their users' pasts.

        Equal to what the policy saw if the log starts with the users' first visits and lacks none of their slates;
        what it lacks, the requests lack too. What it hides, they do not.
        """
        if self.served is not None:
            return self.served.observations(rows)
        rows = np.arange(len(self)) if rows is None else rows
        clicked, clicked_tick, shown = self._pasts(rows)
        return Observation(
            user=self.user[rows],
            session=self.session[rows],
            step=self.step[rows],
            tick=self.tick[rows],
            device=self.device[rows],
            clicked=clicked,
            clicked_tick=clicked_tick,
            shown=shown,
            features=self.features,
            blocked=np.zeros((len(rows), 0), np.int32),
        )

    def _pasts(
        self, rows: Int[A, " requests"]
    ) -> tuple[Int32[A, "requests history"], Int32[A, "requests history"], Int32[A, "requests shown"]]:
        """The clicks before each request, their ticks, and the slates of its session so far."""
        if not self.history and not self.shown:
            nothing = np.zeros((len(rows), 0), np.int32)
            return nothing, nothing, nothing
        order = np.lexsort((self.step, self.session, self.user))
        place = np.empty(len(self), np.int64)
        place[order] = np.arange(len(self))
        at = place[rows]

        user = self.user[order]
        first_of_user = np.searchsorted(user, user)
        where, slot = np.nonzero(self.clicks[order])
        before = np.searchsorted(where, at)  # clicks in earlier rows, all users
        start = np.searchsorted(where, first_of_user[at])
        newest = before[:, None] + np.arange(-self.history, 0)
        mine = newest >= start[:, None]
        newest = np.where(mine, newest, 0)
        items = self.slate[order][where, slot]
        ticks = self.tick[order][where]

        # Slates of this session so far; the oldest drop out where they are too many.
        session = self.session[order]
        opens = np.append(True, (user[1:] != user[:-1]) | (session[1:] != session[:-1]))[: len(self)]
        first_of_session = np.flatnonzero(opens)[np.cumsum(opens)[at] - 1]
        num_kept = np.minimum(at - first_of_session, self.shown // max(self.num_slots, 1))
        back = at[:, None] - num_kept[:, None] + np.arange(self.shown // max(self.num_slots, 1))
        known = back < at[:, None]
        slates = np.where(known[:, :, None], self.slate[order][np.where(known, back, 0)], -1)

        def pick(values: A, fill: int) -> A:
            return np.where(mine, values[newest], fill) if len(values) else np.full(mine.shape, fill)

        return (
            pick(items, -1).astype(np.int32),
            pick(ticks, -1).astype(np.int32),
            slates.reshape(len(rows), back.shape[1] * self.num_slots).astype(np.int32),
        )

    def to_frame(self) -> "pd.DataFrame":
        """One row per impression; `row` is the slate's place in the log, `slot` counts from 0.

        Raises:
            ValueError: if the log hides slots, which a frame could not tell from what was served.
        """
        import pandas as pd

        if self.served is not None:
            raise ValueError("a log to be a frame must be as served, got one that hides slots: take its as_served")

        num_rows, num_slots = self.slate.shape
        columns: dict[str, A] = {"row": np.repeat(np.arange(num_rows), num_slots)}
        columns |= {name: np.repeat(getattr(self, name), num_slots) for name in REQUEST_COLUMNS}
        columns["slot"] = np.tile(np.arange(num_slots, dtype=np.int16), num_rows)
        columns |= {name: getattr(self, name).ravel() for name in SLOT_COLUMNS}
        return pd.DataFrame(columns).rename(columns={"slate": "item", "clicks": "click", "likes": "like"})

    @staticmethod
    def from_frame(frame: "pd.DataFrame", like: "InteractionLog") -> "InteractionLog":
        """The inverse of `to_frame`; features, source names and widths are taken from `like`."""
        frame = frame.rename(columns={"item": "slate", "click": "clicks", "like": "likes"})
        missing = sorted({"row", "slot", *REQUEST_COLUMNS, *SLOT_COLUMNS} - set(frame.columns))
        if missing:
            raise ValueError(f"the frame must have the columns of to_frame(), missing {missing}")
        frame = frame.sort_values(["row", "slot"], kind="stable")
        num_slots = int(frame["slot"].max()) + 1 if len(frame) else like.num_slots
        num_rows = frame["row"].nunique()
        if not np.array_equal(frame["slot"], np.tile(np.arange(num_slots), num_rows)):
            raise ValueError(
                f"every row must have slots 0 to {num_slots - 1}, got {len(frame)} impressions in {num_rows} rows"
            )
        arrays: dict[str, Any] = {
            name: frame[name].to_numpy(dtype)[::num_slots] for name, dtype in REQUEST_COLUMNS.items()
        }
        arrays |= {n: frame[n].to_numpy(dtype).reshape(-1, num_slots) for n, dtype in SLOT_COLUMNS.items()}
        return replace(like, **arrays, served=None)

    def write(self, folder: Path, *, replace: bool = False) -> None:
        """Add the log to a Parquet data set: one file a day, `day=<n>/log.parquet`, each of which appears whole.

        With `replace`, a day that is there is replaced whole by this log's.

        Raises:
            ValueError: if the data set there has other fields, titles or widths, or (without `replace`) already
                holds a day of this log, or this log hides slots; then no day is written.
        """
        if self.served is not None:
            raise ValueError("a log to be written must be as served, got one that hides slots: write its as_served")
        folder.mkdir(parents=True, exist_ok=True)
        _write_description(folder, self)
        there = [int(day) for day in np.unique(self.day) if (folder / f"day={day}" / "log.parquet").exists()]
        if there and not replace:
            raise ValueError(
                f"the data set at {folder} must not hold the log's days yet unless replace=True, got day "
                + ", ".join(map(str, there))
            )
        for day in np.unique(self.day):
            target = folder / f"day={day}" / "log.parquet"
            target.parent.mkdir(exist_ok=True)
            _write_atomically(target, self.take(self.day == day))


def read_log(folder: Path, days: range | None = None) -> InteractionLog:
    """Read a Parquet data set, or only the given days of one that is larger than memory.

    Raises:
        FileNotFoundError: if there is no data set at `folder`.
    """
    import pyarrow.parquet as pq

    description = folder / "log.json"
    if not description.exists():
        raise FileNotFoundError(f"no interaction log at {folder}: {description.name} is missing")
    empty = _read_description(folder)
    found = sorted(int(p.parent.name.removeprefix("day=")) for p in folder.glob("day=*/log.parquet"))
    wanted = [day for day in found if days is None or day in days]
    parts = []
    for day in wanted:
        table = pq.read_table(folder / f"day={day}" / "log.parquet", partitioning=None)
        arrays: dict[str, Any] = {n: table[n].to_numpy().astype(dtype) for n, dtype in REQUEST_COLUMNS.items()}
        arrays |= {
            name: table[name]
            .combine_chunks()
            .flatten()
            .to_numpy(zero_copy_only=False)
            .astype(dtype)
            .reshape(len(table), -1)
            for name, dtype in SLOT_COLUMNS.items()
        }
        sources = tuple(json.loads(table.schema.metadata[b"sources"]))
        parts.append(replace(empty, **arrays, sources=sources))
    return concatenate(parts) if parts else empty


def concatenate(logs: Sequence[InteractionLog]) -> InteractionLog:
    """Logs of one catalogue, one after the other; their sources are renumbered to one list of names.

    Raises:
        ValueError: if there is none, or their slates differ in length.
    """
    if not logs:
        raise ValueError("logs must hold at least one log, got none")
    if len(lengths := {log.num_slots for log in logs}) > 1:
        raise ValueError(f"logs must have slates of one length, got {sorted(lengths)}")
    sources = tuple(dict.fromkeys(name for log in logs for name in log.sources))
    names = (*REQUEST_COLUMNS, *SLOT_COLUMNS)
    arrays: dict[str, Any] = {name: np.concatenate([getattr(log, name) for log in logs]) for name in names}
    arrays["source"] = np.concatenate(
        [
            np.array([sources.index(s) for s in log.sources], np.int16)[log.source] if log.sources else log.source
            for log in logs
        ]
    )
    hides = any(log.served is not None for log in logs)
    served = concatenate([log.as_served for log in logs]) if hides else None
    return replace(logs[0], **arrays, sources=sources, served=served)


def empty_log(features: FeatureTable, num_slots: int, history: int, shown: int) -> InteractionLog:
    """A log in which nothing has happened yet."""
    arrays: dict[str, Any] = {name: np.zeros(0, dtype) for name, dtype in REQUEST_COLUMNS.items()}
    arrays |= {name: np.zeros((0, num_slots), dtype) for name, dtype in SLOT_COLUMNS.items()}
    return InteractionLog(**arrays, features=features, sources=(), history=history, shown=shown)


def record(
    observation: Observation,
    answer: Recommendation,
    outcome: dict[str, Any],
) -> InteractionLog:
    """The rows of one batch of requests; `outcome` has `clicks`, `dwell`, `likes`, `reward` and `left`."""
    return InteractionLog(
        **{name: getattr(observation, name) for name in ("tick", "user", "session", "step", "device")},
        slate=answer.items,
        propensity=answer.propensity,
        prefix_propensity=answer.prefix_propensity,
        propensity_error=answer.propensity_error,
        source=answer.source,
        **outcome,
        features=observation.features,
        sources=answer.sources,
        history=observation.clicked.shape[1],
        shown=observation.shown.shape[1],
    )


def _write_atomically(target: Path, log: InteractionLog) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.array(getattr(log, name)) for name in REQUEST_COLUMNS}
    columns |= {
        name: pa.FixedSizeListArray.from_arrays(pa.array(getattr(log, name).ravel()), log.num_slots)
        for name in SLOT_COLUMNS
    }
    scratch = target.with_name(target.name + ".partial")
    pq.write_table(pa.table(columns, metadata={"sources": json.dumps(log.sources)}), scratch)
    os.replace(scratch, target)


def _write_description(folder: Path, log: InteractionLog) -> None:
    """The feature table (as .npz) and what else the rows' files do not hold (as .json), unless they are there."""
    table = log.features
    description = {
        "user_fields": [vars(field) for field in table.user_fields],
        "item_fields": [vars(field) for field in table.item_fields],
        "titles": list(table.titles),
        "num_slots": log.num_slots,
        "history": log.history,
        "shown": log.shown,
    }
    target = folder / "log.json"
    if target.exists():
        there = json.loads(target.read_text())
        if different := [name for name, value in description.items() if there[name] != value]:
            raise ValueError(f"the log must have the {', '.join(different)} of the data set at {folder}")
        return

    arrays: dict[str, Any] = {f"user/{name}": column for name, column in table.users.items()}
    arrays |= {f"item/{name}": column for name, column in table.items.items()}
    arrays |= {"release": table.release, "withdrawal": table.withdrawal}
    scratch = folder / "features.partial.npz"
    np.savez_compressed(scratch, **arrays)
    os.replace(scratch, folder / "features.npz")
    scratch = folder / "log.json.partial"
    scratch.write_text(json.dumps(description))
    os.replace(scratch, target)


def _read_description(folder: Path) -> InteractionLog:
    description = json.loads((folder / "log.json").read_text())
    with np.load(folder / "features.npz") as arrays:
        sides: dict[str, dict[str, A]] = {"user": {}, "item": {}}
        for key in arrays.files:
            side, _, name = key.partition("/")
            if name:
                sides[side][name] = arrays[key]
        table = FeatureTable(
            user_fields=tuple(Field(**field) for field in description["user_fields"]),
            item_fields=tuple(Field(**field) for field in description["item_fields"]),
            users=sides["user"],
            items=sides["item"],
            release=arrays["release"],
            withdrawal=arrays["withdrawal"],
            titles=tuple(description["titles"]),
        )
    return empty_log(table, description["num_slots"], description["history"], description["shown"])
