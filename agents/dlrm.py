"""DLRM: vectors of sparse fields, and one of all dense ones, meet in pairwise dot products (arXiv 1906.00091).

A bottom MLP makes the dense vector; a top MLP sees it and the dot products of all pairs (Naumov et al., 2019).
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor as T
from torch import nn

from agents.feature_agent import FeatureAgent, sizes_of
from agents.feature_network import CrossingNetwork, ItemFeatures, RequestFeatures, SplitLinear, hidden_layer, mlp
from agents.fields import Schema


@final
class DLRMNetwork(CrossingNetwork):
    """Dots within the request are computed once a request, dots within the item once an item, the others once a pair.

    The dense input holds the numeric fields of both sides and what the pair alone has; its vector, from the bottom
    MLP, has dot products with all the others too. Where there is nothing dense it is a constant, whose dot products
    give each field a linear term.
    """

    def __init__(
        self,
        schema: Schema,
        bottom: list[int],
        top: list[int],
        dropout: float,
        dim: int,
        batch_norm: bool = False,
        with_vectors: bool = False,
        **reading: object,
    ) -> None:
        super().__init__(schema, dim=dim, **reading)  # type: ignore[arg-type]
        reader = self.reader
        num_request, num_item = reader.num_request_fields, reader.num_item_fields
        self.num_dense = reader.num_request_numbers + reader.num_item_numbers + self.num_pairs
        self.bottom = nn.Sequential(mlp([max(self.num_dense, 1), *bottom, dim], dropout), nn.ReLU())
        self.with_vectors = with_vectors
        self.first = SplitLinear(
            num_request * (num_request - 1) // 2 + with_vectors * num_request * dim,
            num_item * (num_item - 1) // 2 + with_vectors * num_item * dim,
            num_request * num_item + num_request + num_item + dim,
            top[0],
        )
        self.rest = nn.Sequential(*hidden_layer(top[0], dropout, batch_norm), mlp([*top, 1], dropout, batch_norm))

    def meet(
        self, request: RequestFeatures, item: ItemFeatures, pairs: Float[T, "rows candidates pairs"]
    ) -> Float[T, "rows candidates"]:
        shape = pairs.shape[:2]
        numbers = [request.numbers[:, None].expand(*shape, -1), item.numbers.expand(*shape, -1), pairs]
        dense = self.bottom(torch.cat(numbers, dim=-1) if self.num_dense else pairs.new_ones(*shape, 1))
        across = "bfd,ngd->bnfg" if item.vectors.ndim == 3 else "bfd,bngd->bnfg"
        of_item = "bnd,ngd->bng" if item.vectors.ndim == 3 else "bnd,bngd->bng"
        met = torch.cat(
            [
                torch.einsum(across, request.vectors, item.vectors).flatten(-2),
                torch.einsum("bnd,bfd->bnf", dense, request.vectors),
                torch.einsum(of_item, dense, item.vectors),
                dense,
            ],
            dim=-1,
        )
        return self.rest(self.first(self._within(request.vectors), self._within(item.vectors), met)).squeeze(-1)

    def _within(self, vectors: Float[T, "*shape fields dim"]) -> Float[T, "*shape within"]:
        """What one side brings by itself."""
        return torch.cat([dots(vectors), vectors.flatten(-2)], dim=-1) if self.with_vectors else dots(vectors)


def dots(vectors: Float[T, "*shape fields dim"]) -> Float[T, "*shape pairs"]:
    """The dot products of all pairs of different fields."""
    num_fields = vectors.shape[-2]
    first, second = torch.triu_indices(num_fields, num_fields, 1, device=vectors.device)
    return (vectors @ vectors.mT)[..., first, second]


@final
@dataclass(eq=False)
class DLRM(FeatureAgent):
    """Scores by DLRM; `bottom` and `top` are the sizes of the hidden layers of its two MLPs.

    `with_vectors` gives the top MLP the vectors themselves beside their dot products; as published it sees the dense
    one alone.
    """

    family: ClassVar[str] = "dlrm"
    compares_all: ClassVar[bool] = False

    bottom: str = "32"
    top: str = "64-32"
    with_vectors: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes_of(self.bottom, "bottom")
        if not sizes_of(self.top, "top"):
            raise ValueError("top must name at least one layer, got none")

    def build(self, schema: Schema) -> DLRMNetwork:
        bottom, top = sizes_of(self.bottom, "bottom"), sizes_of(self.top, "top")
        return DLRMNetwork(
            schema,
            bottom,
            top,
            self.dropout,
            batch_norm=self.batch_norm,
            with_vectors=self.with_vectors,
            **self.reading,
        )
