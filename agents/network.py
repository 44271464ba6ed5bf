"""What all networks have in common: a request is encoded, items are embedded, and the two meet in a score."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import nn

from agents.fields import Schema, Table
from agents.requests import Requests

T = torch.Tensor


class Network(nn.Module, ABC):
    """Scores of items for requests, in three steps of which the first two can be kept and reused.

    `encode` and `embed` may give a tensor or a dataclass of tensors; only the network itself looks inside.
    """

    schema: Schema
    judges_unknown: ClassVar[bool] = False
    """Whether it can score items it has not learned from, by their features."""
    known_users: Bool[T, " newcomer_and_users"]
    known_items: Bool[T, " unknown_and_items"]

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.schema = schema
        self.register_buffer("known_users", torch.zeros(1 + schema.num_users, dtype=torch.bool))
        self.register_buffer("known_items", torch.zeros(1 + schema.num_items, dtype=torch.bool))

    @abstractmethod
    def encode(self, inputs: Any) -> Any:
        """Requests as the network sees them, one row each."""

    @abstractmethod
    def embed(self, items: Int[T, "*shape"], table: Table) -> Any:
        """Items as the network sees them."""

    def embed_drawn(self, items: Int[T, "*shape"], table: Table) -> Any:
        """Items that were drawn, among which many may recur; what recurs may lose the same to dropout everywhere."""
        return self.embed(items, table)

    @abstractmethod
    def score(self, encoded: Any, embedded: Any) -> Float[T, "rows candidates"]:
        """Scores of the candidates of each request: items embedded from `[rows, candidates]`, or from
        `[candidates]` that all requests share."""

    @abstractmethod
    def size(self, encoded: Any, embedded: Any) -> Float[T, ""]:
        """The squared length of the vectors that one request and one of its candidates bring, on average: what
        `weight_decay` multiplies."""

    def forward(self, requests: Requests, items: Int[T, "*shape"]) -> Float[T, "rows candidates"]:
        return self.score(self.encode(requests), self.embed(items, requests.table))

    def crossed(self, embedded: Any, crosses: Float[T, "rows candidates crosses"]) -> Any:
        """The embedded candidates of each request with numbers that the two have together, where a network reads
        such: as many as its schema says."""
        raise NotImplementedError(f"{type(self).__name__} reads nothing that a request and an item have together")

    def settle(self) -> None:
        """Called after training, before the network serves."""

    def user_codes(self, user: Int[T, "*shape"]) -> Int[T, "*shape"]:
        """The embedding row of each user: 0 for those who were never learned from."""
        code = torch.where(user < self.schema.num_users, user + 1, 0)
        return code * self.known_users[code]

    def item_codes(self, items: Int[T, "*shape"]) -> Int[T, "*shape"]:
        """The embedding row of each item: 0 for -1 and for those that were never learned from."""
        return (items + 1) * self.known_items[items + 1]


@final
@dataclass(frozen=True)
class Recurring:
    """Candidates of many requests: a vector for each item among them, and which of the items stands where."""

    vectors: Float[T, "items dim"]
    place: Int[T, "rows candidates"]

    @property
    def share(self) -> Float[T, " items"]:
        """Each item's share of all places."""
        counts = torch.bincount(self.place.flatten(), minlength=len(self.vectors))
        return counts.to(self.vectors.dtype) / self.place.numel()


class DotNetwork(Network):
    """A network whose score is the dot product of a request's vector with an item's."""

    products_a_gather: ClassVar[int] = 32
    """How many numbers of a product of matrices cost as much as gathering one candidate's vector and its gradient."""

    @abstractmethod
    def encode(self, inputs: Any) -> Float[T, "rows dim"]: ...

    @abstractmethod
    def embed(self, items: Int[T, "*shape"], table: Table) -> Float[T, "*shape dim"]: ...

    def embed_drawn(self, items: Int[T, "*shape"], table: Table) -> Float[T, "*shape dim"] | Recurring:
        if items.ndim == 1:
            return self.embed(items, table)
        drawn = torch.zeros(self.schema.num_items, dtype=torch.bool, device=items.device)
        drawn[items.flatten()] = True
        distinct = drawn.nonzero()[:, 0]
        if len(distinct) > self.products_a_gather * items.shape[1]:
            return self.embed(items, table)
        return Recurring(self.embed(distinct, table), (drawn.cumsum(0) - 1)[items])

    def score(
        self, encoded: Float[T, "rows dim"], embedded: Float[T, "*shape dim"] | Recurring
    ) -> Float[T, "rows candidates"]:
        if isinstance(embedded, Recurring):
            return (encoded @ embedded.vectors.T).gather(1, embedded.place)
        if embedded.ndim == 2:
            return encoded @ embedded.T
        # A batch of products with one column each takes several times as long.
        return torch.linalg.vecdot(embedded, encoded[:, None])

    def size(self, encoded: Float[T, "rows dim"], embedded: Float[T, "*shape dim"] | Recurring) -> Float[T, ""]:
        of_items = (
            embedded.share @ embedded.vectors.square().sum(dim=-1)
            if isinstance(embedded, Recurring)
            else embedded.square().sum(dim=-1).mean()
        )
        return encoded.square().sum(dim=-1).mean() + of_items
