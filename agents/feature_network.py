"""Networks of public features: what a request and an item bring, as one vector for each field."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn.functional import batch_norm as normalise
from torch.nn.functional import embedding

from agents.dropout import Dropout
from agents.fields import FieldEmbedding, Schema, Table, categorical, multivalued
from agents.network import Network
from agents.requests import Requests
from recsim_lab.policy import TICKS_PER_DAY

T = torch.Tensor

_HOURS = 24
_RECENT = 60
"""Minutes within which a click belongs to what the user is doing now."""
_OLD_DAYS = 10.0
"""Days in which an item's novelty falls by a factor of e."""


@dataclass(frozen=True)
class ItemFeatures:
    """Of items of any shape: a vector for each field, the id's first; numbers; and codes to be matched.

    `crosses` are numbers that candidates have together with their requests, where there are any.
    """

    vectors: Float[T, "*shape fields dim"]
    numbers: Float[T, "*shape numeric"]
    codes: Int[T, "*shape categorical"]
    shares: tuple[Float[T, "*shape _"], ...]
    release_day: Float[T, "*shape"]
    crosses: Float[T, "rows candidates crosses"] | None = None


@dataclass(frozen=True)
class RequestFeatures:
    """Of requests: a vector for each field, numbers, and, where they are to be paired, what the clicks before share.

    `matches` holds for each field of items the share of each of its codes among the clicks before, then among those
    of the last hour; `last` the codes of the newest click (-1 without one). `day` is None where the context is hidden.
    """

    vectors: Float[T, "rows fields dim"]
    numbers: Float[T, "rows numeric"]
    matches: tuple[tuple[Float[T, "rows _"], ...], ...]
    last: Int[T, "rows categorical"]
    day: Float[T, " rows"] | None


class FeatureReader(nn.Module):
    """Turns requests and items into features.

    Fields of a request: the user's id, the user's fields, the hour, the device; if `history` is not "none", the mean
    vector of the clicks before for each field of items, and a vector for the newest click. Fields of an item: its
    id and its fields. Ids are replaced by "unknown" with probability `id_dropout` in training, which is how the
    vectors for new users and items are learned. Without `ids` there are none of these vectors, nor one for the newest
    click; without `context` neither hour nor device, nor the day that tells how new an item is.
    """

    def __init__(
        self, network: Network, dim: int, history: str, ids: bool, context: bool, id_dropout: float, scale: float
    ) -> None:
        super().__init__()
        schema = network.schema
        self._code_users, self._code_items = network.user_codes, network.item_codes
        self.ids, self.context, self.history, self.id_dropout = ids, context, history != "none", id_dropout
        self.matches = history == "paired"
        self.num_devices = schema.num_devices
        user_codes = [f.cardinality for f in categorical(schema.user_fields)]
        user_codes += [_HOURS, schema.num_devices] if context else []
        self.users = nn.Parameter(scale * torch.randn(1 + schema.num_users if ids else 0, dim))
        self.items = nn.Parameter(scale * torch.randn(1 + schema.num_items if ids else 0, dim))
        self.user_fields = FieldEmbedding(
            user_codes, [f.cardinality for f in multivalued(schema.user_fields)], dim, scale
        )
        self.item_fields = FieldEmbedding(
            [f.cardinality for f in categorical(schema.item_fields)],
            [f.cardinality for f in multivalued(schema.item_fields)],
            dim,
            scale,
        )
        self.reads_newest = self.history and ids
        self.newest = nn.Parameter(scale * torch.randn(1 + schema.num_items if self.reads_newest else 0, dim))
        self.cardinalities = [f.cardinality for f in categorical(schema.item_fields)]
        self.num_item_fields = int(ids) + self.item_fields.num_fields
        of_history = self.num_item_fields + self.reads_newest if self.history else 0
        self.num_request_fields = int(ids) + self.user_fields.num_fields + of_history
        self.num_item_numbers = sum(f.kind == "numeric" for f in schema.item_fields)
        if not self.num_item_fields + self.num_item_numbers:
            raise ValueError("ids must be true where no fields of items are declared, or nothing tells items apart")
        self.num_request_numbers = sum(f.kind == "numeric" for f in schema.user_fields)

    def read_items(self, items: Int[T, "*shape"], table: Table) -> ItemFeatures:
        """Items as features; -1 stands for no item, whose features mean nothing."""
        columns = table.items
        place = items.clamp(min=0)
        codes = columns.codes[place]
        shares = tuple(share[place] for share in columns.shares)
        vectors = self.item_fields(codes, shares)
        if self.ids:
            own = embedding(self._dropped(self._code_items(items)), self.items)
            vectors = torch.cat([own[..., None, :], vectors], dim=-2)
        return ItemFeatures(vectors, columns.numbers[place], codes, shares, table.release[place] / TICKS_PER_DAY)

    def read_requests(self, requests: Requests) -> RequestFeatures:
        table = requests.table
        user = requests.user.clamp(max=max(len(table.users) - 1, 0))
        codes = table.users.codes[user] if len(table.users) else requests.user.new_zeros(len(requests), 0)
        if self.context:
            hour = (requests.tick % TICKS_PER_DAY) // 60
            codes = torch.cat([codes, hour[:, None], requests.device.clamp(max=self.num_devices - 1)[:, None]], dim=1)
        vectors = [self.user_fields(codes, [share[user] for share in table.users.shares])]
        if self.ids:
            vectors.insert(0, embedding(self._dropped(self._code_users(requests.user)), self.users)[:, None])
        matches: tuple[tuple[T, ...], ...] = ()
        last = requests.user.new_full((len(requests), len(self.cardinalities)), -1)
        if self.history:
            clicked = requests.clicked.long()
            seen = (clicked >= 0).float()
            features = self.read_items(clicked, table)
            weights = seen / seen.sum(dim=1, keepdim=True).clamp(min=1)
            vectors.append(torch.einsum("bh,bhfd->bfd", weights, features.vectors))
            newest = clicked[:, -1] if clicked.shape[1] else requests.user.new_full((len(requests),), -1)
            if self.reads_newest:
                vectors.append(embedding(self._code_items(newest), self.newest)[:, None])
            if self.matches:  # as many numbers as the fields have codes, which only pairs make use of
                now = seen * (requests.tick[:, None] - requests.clicked_tick <= _RECENT)
                recent = now / now.sum(dim=1, keepdim=True).clamp(min=1)
                matches = tuple(self._shares(features, w) for w in (weights, recent))
            if self.matches and clicked.shape[1]:
                last = torch.where(newest[:, None] >= 0, features.codes[:, -1], -1)
        numbers = table.users.numbers[user] if len(table.users) else requests.user.new_zeros(len(requests), 0).float()
        day = requests.tick / TICKS_PER_DAY if self.context else None
        return RequestFeatures(torch.cat(vectors, dim=1), numbers, matches, last, day)

    def _shares(self, history: ItemFeatures, weights: Float[T, "rows history"]) -> tuple[T, ...]:
        """For each field of items, the weighted share of each code among the clicks before."""
        shares = []
        for place, cardinality in enumerate(self.cardinalities):
            empty = weights.new_zeros(len(weights), cardinality)
            shares.append(empty.scatter_add(1, history.codes[..., place], weights))
        return (*shares, *(torch.einsum("bh,bhc->bc", weights, share) for share in history.shares))

    def _dropped(self, codes: Int[T, "*shape"]) -> Int[T, "*shape"]:
        if not self.training or not self.id_dropout:
            return codes
        return codes * (torch.rand(codes.shape, device=codes.device) >= self.id_dropout)


def paired(request: RequestFeatures, item: ItemFeatures) -> Float[T, "rows candidates pairs"]:
    """What only a request and an item together have: how new the item is, and for each of its fields the share of
    the clicks before that had the same value, of those of the last hour, and whether the newest had it."""
    columns = [] if request.day is None else [_novelty(request.day, item.release_day)]
    num_categorical = item.codes.shape[-1]
    for shares in request.matches:
        for place, share in enumerate(shares):
            if place < num_categorical:
                code = item.codes[..., place]
                columns.append(share[:, code] if code.ndim == 1 else share.gather(1, code))
            elif (values := item.shares[place - num_categorical]).ndim == 2:
                columns.append(share @ values.T)
            else:
                columns.append(torch.einsum("bc,bnc->bn", share, values))
    if request.matches:
        columns += [
            (request.last[:, place, None] == item.codes[..., place]).float() for place in range(num_categorical)
        ]
    if not columns:
        return request.vectors.new_zeros(len(request.vectors), item.release_day.shape[-1], 0)
    return torch.stack(columns, dim=-1)


def _novelty(day: Float[T, " rows"], release_day: Float[T, "*rows candidates"]) -> Float[T, "rows candidates"]:
    """1 for what has just been released, 0 for what was there from the start."""
    age = (day[:, None] - release_day).clamp(min=0)
    return torch.exp(-age / _OLD_DAYS) * (release_day > 0)


class CrossingNetwork(Network):
    """A network in which the features of a request and of an item meet before they become a score."""

    judges_unknown = True

    def __init__(
        self, schema: Schema, dim: int, history: str, ids: bool, context: bool, id_dropout: float, scale: float = 0.1
    ) -> None:
        super().__init__(schema)
        self.reader = FeatureReader(self, dim, history, ids, context, id_dropout, scale)
        self.pairs = history == "paired"

    @abstractmethod
    def meet(
        self,
        request: RequestFeatures,
        item: ItemFeatures,
        pairs: Float[T, "rows candidates pairs"],
    ) -> Float[T, "rows candidates"]:
        """Scores; the features of items have a leading axis of rows, or none where all requests share them."""

    @property
    def num_pairs(self) -> int:
        num = int(self.reader.context) + self.schema.num_crosses
        if not self.pairs:
            return num
        return num + 2 * self.reader.item_fields.num_fields + len(self.reader.cardinalities)

    def encode(self, inputs: Requests) -> RequestFeatures:
        return self.reader.read_requests(inputs)

    def embed(self, items: Int[T, "*shape"], table: Table) -> ItemFeatures:
        return self.reader.read_items(items, table)

    def score(self, encoded: RequestFeatures, embedded: ItemFeatures) -> Float[T, "rows candidates"]:
        pairs = paired(encoded, embedded)
        if embedded.crosses is not None:
            pairs = torch.cat([pairs, embedded.crosses], dim=-1)
        return self.meet(encoded, embedded, pairs)

    def crossed(self, embedded: ItemFeatures, crosses: Float[T, "rows candidates crosses"]) -> ItemFeatures:
        return replace(embedded, crosses=crosses)

    def size(self, encoded: RequestFeatures, embedded: ItemFeatures) -> Float[T, ""]:
        return encoded.vectors.square().sum(dim=(-2, -1)).mean() + embedded.vectors.square().sum(dim=(-2, -1)).mean()


def flat(side: Any) -> Float[T, "*shape width"]:
    """All vectors of a side's fields, and its numbers, one after the other."""
    return torch.cat([side.vectors.flatten(-2), side.numbers], dim=-1)


class SplitLinear(nn.Module):
    """A linear layer on [request, item, pairs], without repeating a request for each of its candidates.

    The three products are computed where they vary: once a request, once an item, once a pair.
    """

    def __init__(self, request: int, item: int, pairs: int, out: int) -> None:
        super().__init__()
        whole = nn.Linear(request + item + pairs, out)
        self.weights = nn.ParameterList(w.clone() for w in whole.weight.detach().split([request, item, pairs], dim=1))
        self.bias = nn.Parameter(whole.bias.detach().clone())

    def forward(
        self,
        request: Float[T, "rows request"],
        item: Float[T, "*shape item"],
        pairs: Float[T, "rows candidates pairs"],
    ) -> Float[T, "rows candidates out"]:
        of_request, of_item, of_pairs = self.weights
        return (request @ of_request.T + self.bias)[:, None] + item @ of_item.T + pairs @ of_pairs.T


def mlp(sizes: list[int], dropout: float = 0.0, batch_norm: bool = False) -> nn.Sequential:
    """Linear layers of the given sizes, with `hidden_layer` between them."""
    layers: list[nn.Module] = []
    for inside, outside in pairwise(sizes[:-1]):
        layers += [nn.Linear(inside, outside), *hidden_layer(outside, dropout, batch_norm)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def hidden_layer(width: int, dropout: float, batch_norm: bool = False) -> list[nn.Module]:
    """What follows a linear layer of this width: batch normalisation where asked for, ReLU, dropout."""
    return [*([BatchNorm(width)] if batch_norm else []), nn.ReLU(), Dropout(dropout)]


class BatchNorm(nn.Module):
    """Batch normalisation of the last axis (Ioffe & Szegedy, ICML 2015), over all axes before it.

    Slots that hold no item count like others, since nothing here tells them apart. A single row has no variance: it
    is normalised as when serving.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Float[T, "*shape width"]) -> Float[T, "*shape width"]:
        rows = x.reshape(-1, x.shape[-1])
        if self.training and len(rows) < 2:
            norm = self.norm
            normed = normalise(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        else:
            normed = self.norm(rows)
        return normed.view(x.shape)
