"""Matrix factorisation: a user and an item are vectors, and their dot product says whether they suit each other.

The model of Koren, Bell & Volinsky (IEEE Computer 2009), as a network.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn.functional import embedding

from agents.fields import Schema, Table
from agents.network import DotNetwork
from agents.network_parameters import Loss
from agents.neural import NetworkAgent
from agents.requests import Requests

T = torch.Tensor


@final
class FactorNetwork(DotNetwork):
    """Score = user vector · item vector + user bias + item bias."""

    def __init__(self, schema: Schema, dim: int, item_bias: float = 0.0, scale: float = 0.1) -> None:
        super().__init__(schema)
        users, items = (scale * torch.randn(1 + num, dim + 1) for num in (schema.num_users, schema.num_items))
        # The last column is the bias.
        users[:, -1], items[:, -1] = 0.0, item_bias
        self.users, self.items = nn.Parameter(users), nn.Parameter(items)

    def encode(self, inputs: Requests) -> Float[T, "rows dim"]:
        rows = embedding(self.user_codes(inputs.user), self.users)
        return torch.cat([rows, torch.ones_like(rows[..., :1])], dim=-1)

    def embed(self, items: Int[T, "*shape"], table: Table) -> Float[T, "*shape dim"]:
        rows = embedding(self.item_codes(items), self.items)
        return torch.cat([rows[..., :-1], torch.ones_like(rows[..., :1]), rows[..., -1:]], dim=-1)

    def settle(self) -> None:
        """A user who was not learned from gets the mean of all who were."""
        self.users[0] = self.users[self.known_users].mean(dim=0)


@final
@dataclass(eq=False)
class MatrixFactorization(NetworkAgent):
    """Learns a vector and a bias for each user and item.

    A user who was not learned from has the mean vector; an item that was never shown scores lowest.
    """

    family: ClassVar[str] = "mf"

    dim: int = 32
    loss: Loss = "bce"
    num_negatives: int = 4
    shared: bool = False
    epochs: int = 10
    learning_rate: float = 0.02
    weight_decay: float = 0.02
    batch_size: int = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim < 1:
            raise ValueError(f"dim must be at least 1, got {self.dim}")

    @property
    def num_recent(self) -> int:
        return 0

    def build(self, schema: Schema) -> FactorNetwork:
        # A bias that starts at the log-odds of a click among the examples need not be learned first.
        odds = -math.log(self.num_negatives) if self.loss == "bce" and self.target == "catalogue" else 0.0
        return FactorNetwork(schema, self.dim, odds)
