"""Declared public features as tensors, and the embeddings that feature models read them through."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn
from torch.nn.functional import embedding

from recsim_lab.policy import FeatureTable, Field

A = np.ndarray
T = torch.Tensor


@dataclass(frozen=True)
class Columns:
    """The features of users, or of items, as tensors with a leading axis of them.

    `codes` holds categorical fields, `numbers` numeric ones, `shares` multi-valued ones: of k values that an item
    has, each counts 1/k.
    """

    codes: Int[T, "rows categorical"]
    numbers: Float[T, "rows numeric"]
    shares: tuple[Float[T, "rows _"], ...]

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Table:
    """A `FeatureTable` as tensors: an item is on offer from the minute of its `release` until that of its `withdrawal`;
    0 is the release of all that was there from the start."""

    users: Columns
    items: Columns
    release: Int[T, " items"]
    withdrawal: Int[T, " items"]

    def on_offer(self, items: Int[T, "*rows candidates"], tick: Int[T, " rows"]) -> Bool[T, "rows candidates"]:
        """Which items were on offer in the minutes of requests; items have no axis of rows where all share them."""
        return (self.release[items] <= tick[:, None]) & (tick[:, None] < self.withdrawal[items])


@dataclass(frozen=True)
class Schema:
    """All that a network must know of the data before it is made."""

    num_users: int
    num_items: int
    num_devices: int
    user_fields: tuple[Field, ...] = ()
    item_fields: tuple[Field, ...] = ()
    user_moments: tuple[tuple[float, float], ...] = ()
    """Mean and standard deviation of each numeric field of users, by which it is standardised."""
    item_moments: tuple[tuple[float, float], ...] = ()
    num_crosses: int = 0
    """Numbers that come with each request and item together, beside their features."""

    @staticmethod
    def of(features: FeatureTable, num_users: int, num_devices: int, fields: bool = True) -> "Schema":
        """The schema of a catalogue and of users with ids below `num_users`, with or without the declared fields."""
        user_fields, item_fields = (features.user_fields, features.item_fields) if fields else ((), ())
        return Schema(
            num_users,
            features.num_items,
            num_devices,
            user_fields,
            item_fields,
            _moments(user_fields, features.users),
            _moments(item_fields, features.items),
        )

    @staticmethod
    def parse(saved: Mapping[str, Any]) -> "Schema":
        """The inverse of `asdict`, also after a passage through JSON."""
        return Schema(
            saved["num_users"],
            saved["num_items"],
            saved["num_devices"],
            tuple(Field(**f) for f in saved["user_fields"]),
            tuple(Field(**f) for f in saved["item_fields"]),
            tuple((mean, deviation) for mean, deviation in saved["user_moments"]),
            tuple((mean, deviation) for mean, deviation in saved["item_moments"]),
            saved.get("num_crosses", 0),
        )

    def describe(self) -> dict[str, Any]:
        return asdict(self)

    def with_users(self, num_users: int) -> "Schema":
        return replace(self, num_users=num_users)

    def table(self, features: FeatureTable, device: str) -> Table:
        """The features as tensors on a device.

        Raises:
            ValueError: if the table lacks a field, or has codes beyond a field's cardinality.
        """
        for side, known, given in (
            ("user", self.user_fields, features.user_fields),
            ("item", self.item_fields, features.item_fields),
        ):
            if not set(known) <= set(given):
                raise ValueError(f"{side} fields must hold those that were learned from, {known}, got {given}")
        users = _columns(self.user_fields, features.users, self.user_moments, device)
        items = _columns(self.item_fields, features.items, self.item_moments, device, features.num_items)
        release, withdrawal = (
            torch.tensor(ticks, dtype=torch.long, device=device)
            for ticks in (np.maximum(features.release, 0), features.withdrawal)
        )
        return Table(users, items, release, withdrawal)


def categorical(fields: Sequence[Field]) -> list[Field]:
    return [f for f in fields if f.kind == "categorical"]


def multivalued(fields: Sequence[Field]) -> list[Field]:
    return [f for f in fields if f.kind == "multi"]


def numeric(fields: Sequence[Field]) -> list[Field]:
    return [f for f in fields if f.kind == "numeric"]


class FieldEmbedding(nn.Module):
    """A vector for each code of each field, all in one table.

    Categorical fields are looked up; a multi-valued one is the mean of the vectors of its values.
    """

    def __init__(
        self, cardinalities: Sequence[int], multi_cardinalities: Sequence[int], dim: int, scale: float
    ) -> None:
        super().__init__()
        starts = np.cumsum([0, *cardinalities])
        self.starts: T
        self.register_buffer("starts", torch.tensor(starts[:-1], dtype=torch.long), persistent=False)
        self.codes = nn.Parameter(scale * torch.randn(int(starts[-1]), dim))
        self.values = nn.ParameterList([scale * torch.randn(n, dim) for n in multi_cardinalities])

    @property
    def num_fields(self) -> int:
        return len(self.starts) + len(self.values)

    def forward(self, codes: Int[T, "*rows categorical"], shares: Sequence[T]) -> Float[T, "*rows fields dim"]:
        # Indexing would add up its gradients in any order where torch has several threads; this does not.
        vectors = embedding(codes + self.starts, self.codes)
        if not len(self.values):
            return vectors
        means = [share @ table for share, table in zip(shares, self.values, strict=True)]
        return torch.cat([vectors, torch.stack(means, dim=-2)], dim=-2)


def _columns(
    fields: Sequence[Field],
    columns: Mapping[str, A],
    moments: Sequence[tuple[float, float]],
    device: str,
    num_rows: int = 0,
) -> Columns:
    num_rows = max(num_rows, *(len(column) for column in columns.values())) if columns else num_rows
    codes = np.zeros((num_rows, len(categorical(fields))), np.int64)
    for place, field in enumerate(categorical(fields)):
        codes[:, place] = columns[field.name]
        if num_rows and not 0 <= codes[:, place].min() <= codes[:, place].max() < field.cardinality:
            raise ValueError(
                f"codes of {field.name!r} must be in [0, {field.cardinality}), "
                f"got {codes[:, place].min()} to {codes[:, place].max()}"
            )
    numbers = np.zeros((num_rows, len(numeric(fields))), np.float32)
    for place, (field, (mean, deviation)) in enumerate(zip(numeric(fields), moments, strict=True)):
        if not (finite := np.isfinite(columns[field.name])).all():
            raise ValueError(f"numbers of {field.name!r} must be finite, got {columns[field.name][~finite][0]}")
        numbers[:, place] = (columns[field.name] - mean) / deviation
    shares = []
    for field in multivalued(fields):
        values = columns[field.name].astype(np.float32)
        if values.shape[1] != field.cardinality:
            raise ValueError(f"{field.name!r} must have {field.cardinality} columns, got {values.shape[1]}")
        shares.append(torch.tensor(values / np.maximum(values.sum(axis=1, keepdims=True), 1), device=device))
    return Columns(torch.tensor(codes, device=device), torch.tensor(numbers, device=device), tuple(shares))


def _moments(fields: Sequence[Field], columns: Mapping[str, A]) -> tuple[tuple[float, float], ...]:
    return tuple((float(np.mean(columns[f.name])), float(np.std(columns[f.name])) or 1.0) for f in numeric(fields))
