"""A multilayer perceptron on the concatenated vectors of all fields, ids among them.

On ids alone this is the MLP of neural collaborative filtering (He et al., WWW 2017), which puts layers in the place
of the dot product; on features it is the plain deep network that DLRM and DCNv2 are measured against.
"""

from dataclasses import dataclass
from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor as T
from torch import nn

from agents.feature_agent import FeatureAgent, sizes_of
from agents.feature_network import CrossingNetwork, ItemFeatures, RequestFeatures, SplitLinear, flat, hidden_layer, mlp
from agents.fields import Schema


@final
class MultilayerNetwork(CrossingNetwork):
    """Score = MLP([request, item, pairs])."""

    def __init__(
        self, schema: Schema, hidden: list[int], dropout: float, batch_norm: bool = False, **reading: object
    ) -> None:
        super().__init__(schema, **reading)  # type: ignore[arg-type]
        reader, dim = self.reader, reading["dim"]
        self.first = SplitLinear(
            reader.num_request_fields * dim + reader.num_request_numbers,  # type: ignore[operator]
            reader.num_item_fields * dim + reader.num_item_numbers,  # type: ignore[operator]
            self.num_pairs,
            hidden[0],
        )
        self.rest = nn.Sequential(*hidden_layer(hidden[0], dropout, batch_norm), mlp([*hidden, 1], dropout, batch_norm))

    def meet(
        self, request: RequestFeatures, item: ItemFeatures, pairs: Float[T, "rows candidates pairs"]
    ) -> Float[T, "rows candidates"]:
        return self.rest(self.first(flat(request), flat(item), pairs)).squeeze(-1)


@final
@dataclass(eq=False)
class Multilayer(FeatureAgent):
    """Scores by a multilayer perceptron; `hidden` are the sizes of its layers."""

    family: ClassVar[str] = "mlp"
    compares_all: ClassVar[bool] = False

    hidden: str = "64-32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not sizes_of(self.hidden, "hidden"):
            raise ValueError("hidden must name at least one layer, got none")

    def build(self, schema: Schema) -> MultilayerNetwork:
        return MultilayerNetwork(schema, sizes_of(self.hidden, "hidden"), self.dropout, self.batch_norm, **self.reading)
