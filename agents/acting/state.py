"""What an agent that learns by acting sees of a request, and the network that turns it into a state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn.functional import embedding

from agents.fields import Columns, FieldEmbedding, Schema, Table, categorical, multivalued, numeric
from agents.sequences import NUM_GAPS, gap_of
from agents.transformer import PackedTransformer, TransformerConfig, pack
from recsim_lab.policy import TICKS_PER_DAY, Field, Observation

A = np.ndarray
T = torch.Tensor

NUM_SLATES_BACK = 15
"""Slates of this visit that a click is placed in; see `States.age`."""
NUM_AGES = 1 + NUM_SLATES_BACK + NUM_GAPS
RECENT_SLATES = 5
"""Slates of this visit whose number of clicks is told."""
_NUM_NUMBERS = 5 + 2 * RECENT_SLATES
_SCALE = 0.05
"""Standard deviation of vectors before training."""


@final
@dataclass(frozen=True)
class States:
    """Requests reduced to what the network reads, one row each; all of it follows from the `Observation`.

    `item` are the newest clicks, newest last, padded with -1 on the left. `age` is 0 for padding, 1 to 15 for a click
    so many slates ago in this visit, and above that the power of two of the minutes since an earlier visit. `numbers`
    tell the place in the visit and in the life, the hour, and how many of the last slates were clicked how often.
    """

    user: Int[A, " rows"]
    tick: Int[A, " rows"]
    item: Int[A, "rows newest"]
    age: Int[A, "rows newest"]
    numbers: Float[A, "rows numbers"]

    @staticmethod
    def of(observation: Observation, newest: int, num_slots: int) -> "States":
        """The requests with at most `newest` clicks of each, whose slates had `num_slots` slots."""
        item = observation.clicked[:, -newest:]
        if (missing := newest - item.shape[1]) > 0:
            item = np.pad(item, ((0, 0), (missing, 0)), constant_values=-1)
        tick = np.full(item.shape, -1, np.int64)
        tick[:, max(missing, 0) :] = observation.clicked_tick[:, -newest:]
        slates_ago, num_clicks, is_known = _in_this_visit(observation, item, tick, num_slots)
        elapsed = torch.as_tensor(np.where(item >= 0, observation.tick[:, None] - tick, -1))
        age = np.where(slates_ago > 0, slates_ago, 1 + NUM_SLATES_BACK + gap_of(elapsed).numpy())
        angle = 2 * np.pi * (observation.tick % TICKS_PER_DAY) / TICKS_PER_DAY
        numbers = [
            np.log1p(observation.step),
            np.log1p(observation.session),
            np.sin(angle),
            np.cos(angle),
            (item >= 0).mean(axis=1),
            *(num_clicks.T / num_slots),
            *is_known.T,
        ]
        return States(
            observation.user.astype(np.int32),
            observation.tick.astype(np.int64),
            item.astype(np.int32),
            np.where(item >= 0, age, 0).astype(np.int8),
            np.stack(numbers, axis=1).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: A | slice) -> "States":
        return replace(self, **{name: value[rows] for name, value in vars(self).items()})

    @staticmethod
    def joined(parts: Sequence["States"]) -> "States":
        """One after the other."""
        return States(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})

    def put(self, rows: A | slice, others: "States") -> None:
        """Write others over some rows."""
        for name, value in vars(self).items():
            value[rows] = getattr(others, name)


def _in_this_visit(
    observation: Observation, item: Int[A, "rows newest"], tick: Int[A, "rows newest"], num_slots: int
) -> tuple[Int[A, "rows newest"], Float[A, "rows recent"], Float[A, "rows recent"]]:
    """How many slates ago each click of this visit was (0: in none that is known), the number of clicks on each of the
    last slates, newest first, and whether there was such a slate.

    A log of clicks does not tell which showing of an item was clicked: the last is taken.
    """
    shown = observation.shown
    num_shown = (shown >= 0).sum(axis=1) // num_slots
    here = (item >= 0) & (tick == observation.tick[:, None])
    slates_ago = np.zeros(item.shape, np.int64)
    row, place = np.nonzero(here)
    if len(row):
        hit = shown[row] == item[row, place, None]
        last = shown.shape[1] - 1 - hit[:, ::-1].argmax(axis=1)
        slates_ago[row, place] = np.where(hit.any(axis=1), num_shown[row] - last // num_slots, 0)
    slates_ago = np.minimum(slates_ago, NUM_SLATES_BACK)
    recent = 1 + np.arange(RECENT_SLATES)
    num_clicks = (slates_ago[:, :, None] == recent).sum(axis=1)
    return slates_ago, num_clicks.astype(np.float32), (num_shown[:, None] >= recent).astype(np.float32)


@final
class ItemVectors(nn.Module):
    """A vector for each item: that of its id (if `ids`), of each of its fields, and of its numbers, added up."""

    def __init__(self, schema: Schema, dim: int, ids: bool) -> None:
        super().__init__()
        fields = schema.item_fields
        self.ids = nn.Parameter(_SCALE * torch.randn(schema.num_items, dim)) if ids else None
        self.fields = _field_vectors(fields, dim)
        self.numbers = nn.Parameter(_SCALE * torch.randn(len(numeric(fields)), dim))

    def forward(self, table: Table) -> Float[T, "items dim"]:
        of_fields = table.items.numbers @ self.numbers + _added(self.fields, table.items, slice(None))
        return of_fields if self.ids is None else of_fields + self.ids


@final
class StateNetwork(nn.Module):
    """A causal transformer over the newest clicks and, last, the request itself, whose state is the answer.

    SASRec (Kang & McAuley 2018) with item features, times, and a last token for what is known of the moment. `items`
    are the vectors that stand for the items in the history and that heads compare states with.
    """

    def __init__(self, schema: Schema, dim: int, num_blocks: int, newest: int, ids: bool) -> None:
        super().__init__()
        self.items = ItemVectors(schema, dim, ids)
        self.ages = nn.Parameter(_SCALE * torch.randn(NUM_AGES, dim))
        self.users = _field_vectors(schema.user_fields, dim)
        self.user_numbers = nn.Parameter(_SCALE * torch.randn(len(numeric(schema.user_fields)), dim))
        self.numbers = nn.Sequential(nn.Linear(_NUM_NUMBERS, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.transformer = PackedTransformer(
            TransformerConfig(dim, num_blocks, 1, 1 + newest, dropout=0.0, feedforward_factor=2)
        )

    def forward(self, states: States, items: Float[T, "items dim"], table: Table) -> Float[T, "rows dim"]:
        device = items.device
        item, age = (torch.as_tensor(column, device=device).long() for column in (states.item, states.age))
        moment = self.numbers(torch.as_tensor(states.numbers, device=device))
        if len(table.users):
            user = torch.as_tensor(states.user, device=device).long().clamp(max=len(table.users) - 1)
            moment = moment + _added(self.users, table.users, user) + table.users.numbers[user] @ self.user_numbers
        kept = item >= 0
        lengths = 1 + kept.sum(dim=1)
        packing = pack(lengths)
        tokens = items.new_empty(len(packing.position), items.shape[1])
        is_click = torch.ones(len(tokens), dtype=torch.bool, device=device)
        is_click[packing.last] = False
        clicks = embedding(item[kept], items) + embedding(age[kept], self.ages)
        tokens = tokens.masked_scatter(is_click[:, None], clicks).masked_scatter(~is_click[:, None], moment)
        return self.transformer(tokens, packing).index_select(0, packing.last)


def _field_vectors(fields: tuple[Field, ...], dim: int) -> FieldEmbedding:
    return FieldEmbedding(
        [f.cardinality for f in categorical(fields)], [f.cardinality for f in multivalued(fields)], dim, _SCALE
    )


def _added(fields: FieldEmbedding, columns: Columns, rows: T | slice) -> Float[T, "rows dim"] | float:
    """The sum of the vectors of all fields; zero without any."""
    if not fields.num_fields:
        return 0.0
    return fields(columns.codes[rows], [share[rows] for share in columns.shares]).sum(dim=-2)
