"""Two towers (DSSM): one network reads the request, another the item, and the dot product compares what they say.

Huang et al. (CIKM 2013) for queries and documents; Covington et al. and Yi et al. (RecSys 2016, 2019) for users and
items.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from torch.nn.functional import normalize

from agents.feature_agent import FeatureAgent, sizes_of
from agents.feature_network import FeatureReader, flat, mlp
from agents.fields import Schema, Table
from agents.network import DotNetwork
from agents.network_parameters import Loss
from agents.requests import Requests

T = torch.Tensor


@final
class TwoTowerNetwork(DotNetwork):
    """Score = user tower · item tower, or their cosine over the temperature."""

    judges_unknown = True

    def __init__(
        self,
        schema: Schema,
        hidden: list[int],
        width: int,
        dropout: float,
        normalised: bool,
        temperature: float,
        dim: int,
        history: str,
        ids: bool,
        context: bool,
        id_dropout: float,
        batch_norm: bool = False,
    ) -> None:
        super().__init__(schema)
        self.reader = FeatureReader(self, dim, history, ids, context, id_dropout, scale=0.1)
        of_request = self.reader.num_request_fields * dim + self.reader.num_request_numbers
        of_item = self.reader.num_item_fields * dim + self.reader.num_item_numbers
        self.user_tower = mlp([of_request, *hidden, width], dropout, batch_norm)
        self.item_tower = mlp([of_item, *hidden, width], dropout, batch_norm)
        self.normalised, self.temperature = normalised, temperature

    def encode(self, inputs: Requests) -> Float[T, "rows dim"]:
        vectors = self.user_tower(flat(self.reader.read_requests(inputs)))
        return normalize(vectors, dim=-1) / self.temperature if self.normalised else vectors

    def embed(self, items: Int[T, "*shape"], table: Table) -> Float[T, "*shape dim"]:
        vectors = self.item_tower(flat(self.reader.read_items(items, table)))
        return normalize(vectors, dim=-1) if self.normalised else vectors


@final
@dataclass(eq=False)
class TwoTower(FeatureAgent):
    """Scores by the dot product of two towers with hidden layers of the sizes `hidden` and an output of `width`.

    `normalised` makes that a cosine, divided by `temperature`. A tower sees one side only, so `history` can be
    pooled but not paired.
    """

    family: ClassVar[str] = "two-tower"

    hidden: str = "64"
    width: int = 32
    normalised: bool = False
    temperature: float = 0.1
    history: Literal["none", "pooled", "paired"] = "pooled"
    loss: Loss = "softmax"
    shared: bool = True
    num_negatives: int = 256
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.history == "paired":
            raise ValueError(
                "history must be 'pooled' or 'none': a tower sees one side only, so that no item can be paired with "
                "the clicks before; got 'paired'"
            )
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be above 0 and finite, got {self.temperature}")
        self.check_unread(self.normalised, "vectors are normalised", "temperature")
        has_hidden = bool(sizes_of(self.hidden, "hidden"))
        self.check_unread(has_hidden, "towers have hidden layers", "dropout", "batch_norm")

    def build(self, schema: Schema) -> TwoTowerNetwork:
        return TwoTowerNetwork(
            schema,
            sizes_of(self.hidden, "hidden"),
            self.width,
            self.dropout,
            self.normalised,
            self.temperature,
            batch_norm=self.batch_norm,
            **self.reading,
        )
