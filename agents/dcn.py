"""DCNv2: layers that cross features explicitly, beside or below an MLP (Wang et al., WWW 2021)."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor as T
from torch import nn
from torch.nn.functional import linear

from agents.feature_agent import FeatureAgent, sizes_of
from agents.feature_network import CrossingNetwork, ItemFeatures, RequestFeatures, SplitLinear, flat, hidden_layer, mlp
from agents.fields import Schema


class FullCross(nn.Module):
    """x0 * (W x + b) + x (equation 1 of the paper)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x0: Float[T, "*shape width"], x: Float[T, "*shape width"]) -> Float[T, "*shape width"]:
        return torch.addcmul(x, x0, self.linear(x))


class LowRankCross(nn.Module):
    """A mixture of low-rank experts: sum_i g_i(x) x0 * (U_i tanh(C_i tanh(V_i x)) + b) + x (equation 4)."""

    def __init__(self, width: int, rank: int, num_experts: int) -> None:
        super().__init__()
        self.rank, self.num_experts = rank, num_experts
        self.down = nn.Linear(width, num_experts * rank, bias=False)
        self.inside = nn.Parameter(torch.randn(num_experts, rank, rank) / rank**0.5)
        self.up = nn.Parameter(torch.randn(num_experts, rank, width) / rank**0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.gate = nn.Linear(width, num_experts) if num_experts > 1 else None

    def forward(self, x0: Float[T, "*shape width"], x: Float[T, "*shape width"]) -> Float[T, "*shape width"]:
        low = torch.tanh(self.down(x)).unflatten(-1, (self.num_experts, self.rank))
        low = torch.tanh(torch.einsum("...er,ers->...es", low, self.inside))
        if self.gate is not None:
            low = low * torch.softmax(self.gate(x), dim=-1)[..., None]
        # The gates sum to 1, so the bias stands outside of the sum.
        high = linear(low.flatten(-2), self.up.flatten(0, 1).T, self.bias)
        return torch.addcmul(x, x0, high)


@final
class DCNNetwork(CrossingNetwork):
    """Cross layers and an MLP, beside each other and concatenated, or the MLP on top of the cross layers."""

    def __init__(
        self,
        schema: Schema,
        num_layers: int,
        rank: int,
        num_experts: int,
        deep: list[int],
        structure: str,
        dropout: float,
        batch_norm: bool = False,
        **reading: object,
    ) -> None:
        super().__init__(schema, **reading)  # type: ignore[arg-type]
        reader, dim = self.reader, reading["dim"]
        request = reader.num_request_fields * dim + reader.num_request_numbers  # type: ignore[operator]
        item = reader.num_item_fields * dim + reader.num_item_numbers  # type: ignore[operator]
        width = request + item + self.num_pairs
        self.crosses = nn.ModuleList(
            LowRankCross(width, rank, num_experts) if rank else FullCross(width) for _ in range(num_layers)
        )
        self.parallel = structure == "parallel"
        if self.parallel:
            self.first = SplitLinear(request, item, self.num_pairs, deep[0])
            self.rest = nn.Sequential(*hidden_layer(deep[0], dropout, batch_norm))
            if len(deep) > 1:
                self.rest.extend([mlp(deep, dropout, batch_norm), *hidden_layer(deep[-1], dropout, batch_norm)])
            self.last = mlp([width + deep[-1], 1])
        else:
            self.last = mlp([width, *deep, 1], dropout, batch_norm)

    def meet(
        self, request: RequestFeatures, item: ItemFeatures, pairs: Float[T, "rows candidates pairs"]
    ) -> Float[T, "rows candidates"]:
        shape = pairs.shape[:2]
        of_request, of_item = flat(request), flat(item)
        x0 = torch.cat([of_request[:, None].expand(*shape, -1), of_item.expand(*shape, -1), pairs], dim=-1)
        x = x0
        for cross in self.crosses:
            x = cross(x0, x)
        if self.parallel:
            x = torch.cat([x, self.rest(self.first(of_request, of_item, pairs))], dim=-1)
        return self.last(x).squeeze(-1)


@final
@dataclass(eq=False)
class DCN(FeatureAgent):
    """Scores by DCNv2: `num_layers` cross layers, full (`rank=0`) or of `num_experts` experts of the given rank, and
    an MLP with hidden layers of the sizes `deep`."""

    family: ClassVar[str] = "dcn"
    compares_all: ClassVar[bool] = False

    num_layers: int = 2
    rank: int = 16
    num_experts: int = 1
    deep: str = "64-32"
    structure: Literal["parallel", "stacked"] = "parallel"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("num_layers", 1), ("rank", 0), ("num_experts", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.structure not in ("parallel", "stacked"):
            raise ValueError(f"structure must be 'parallel' or 'stacked', got {self.structure!r}")
        self.check_unread(self.rank > 0, "rank is above 0", "num_experts")
        if not sizes_of(self.deep, "deep"):
            raise ValueError("deep must name at least one layer, got none")

    def build(self, schema: Schema) -> DCNNetwork:
        return DCNNetwork(
            schema,
            self.num_layers,
            self.rank,
            self.num_experts,
            sizes_of(self.deep, "deep"),
            self.structure,
            self.dropout,
            self.batch_norm,
            **self.reading,
        )
