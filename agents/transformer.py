"""A transformer over packed sequences: their tokens lie one after the other, and no work goes into padding.

The encoder of Vaswani et al. (2017, "Attention is all you need"), causal as in SASRec (Kang & McAuley 2018) or
bidirectional as in BERT4Rec (Sun et al. 2019). Linear layers see tokens only. Attention takes the sequences of
a batch in groups of like length, each padded to the longest of the group.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from jaxtyping import Bool, Float, Int
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import gelu, layer_norm, linear

from agents.dropout import Dropout

T = torch.Tensor

_INITIAL_SCALE = 0.02
"""Standard deviation of weights before training: so small that the blocks first add little to the item that they
read, and a network starts as one of items and their successors. With layers of inputs^-1/2, Beauty takes three times
as many epochs."""
_GROUP_GROWTH = 1.25
"""Lengths of one group differ by less than this factor, so that at most a fifth of it is padding."""
OnOffer = Callable[[slice], Bool[T, "chunk items"]]
"""Of some of the tokens, which items were on offer to each."""
_CHUNK_CELLS = {"cpu": 2**19, "cuda": 2**26}
"""Logits held at a time: on a CPU few enough for its cache, elsewhere enough to keep it busy."""


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of an encoder.

    `norm` is where the layer normalisation stands: `pre` before attention and feed-forward, with one at the end;
    `post` after each residual sum (Vaswani et al. 2017); `query` as SASRec was published: queries alone are
    normalised, and the residual sums start from what was normalised. Each token has a learned position, counted
    from the first of its sequence, unless `positions` is false. Dropout falls on the input, the attention
    weights and the output of each half of a block.
    """

    dim: int = 64
    num_blocks: int = 2
    num_heads: int = 1
    max_length: int = 50
    causal: bool = True
    dropout: float = 0.2
    feedforward_factor: int = 1
    """Width of the feed-forward layer in multiples of `dim`; SASRec has 1, BERT4Rec 4."""
    activation: Literal["relu", "gelu"] = "relu"
    norm: Literal["pre", "post", "query"] = "pre"
    positions: bool = True

    def __post_init__(self) -> None:
        for name in ("dim", "num_blocks", "num_heads", "max_length", "feedforward_factor"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.dim % self.num_heads:
            raise ValueError(f"dim must be a multiple of num_heads, got {self.dim} and {self.num_heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        for name, known in (("activation", ("relu", "gelu")), ("norm", ("pre", "post", "query"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")


@final
@dataclass(frozen=True)
class Group:
    """Sequences of like length, as rows of one rectangle.

    `token[r, i]` is the place of the i-th token of row r among the packed ones; past the end of a row its last
    token is repeated, and `padding` is true. Without padding, `padding` is None.
    """

    token: Int[T, "rows width"]
    padding: Bool[T, "rows width"] | None


@final
@dataclass(frozen=True)
class Packing:
    """How sequences lie in a batch of packed tokens.

    `position` counts the tokens of each sequence from 0; `last` is the place of each sequence's last token.
    `cell` is the place of each token in the rectangles of all `groups`, flattened and one after the other.
    """

    lengths: Int[T, " sequences"]
    position: Int[T, " tokens"]
    last: Int[T, " sequences"]
    groups: tuple[Group, ...]
    cell: Int[T, " tokens"]


def pack(lengths: Int[T, " sequences"]) -> Packing:
    """The packing of sequences of these lengths, in this order, none of them empty.

    Raises:
        ValueError: if a length is below 1.
    """
    if len(lengths) and int(lengths.min()) < 1:
        raise ValueError(f"lengths must be at least 1, got {int(lengths.min())}")
    device = lengths.device
    end = lengths.cumsum(0)
    start = end - lengths
    num_tokens = int(end[-1]) if len(end) else 0
    sequence = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths, output_size=num_tokens)
    position = torch.arange(num_tokens, device=device) - start[sequence]

    growth = torch.log(torch.tensor(_GROUP_GROWTH, dtype=torch.float64, device=device))
    size_class = (lengths.double().log() / growth).floor()
    groups, cell, num_cells = [], torch.empty_like(position), 0
    for value in torch.unique(size_class):
        rows = torch.nonzero(size_class == value)[:, 0]
        length = lengths[rows, None]
        width = int(length.max())
        column = torch.arange(width, device=device)
        token = start[rows, None] + torch.minimum(column, length - 1)
        inside = column < length
        cell[token[inside]] = num_cells + torch.nonzero(inside.flatten())[:, 0]
        groups.append(Group(token, None if bool(inside.all()) else ~inside))
        num_cells += inside.numel()
    return Packing(lengths, position, end - 1, tuple(groups), cell)


@final
class PackedTransformer(nn.Module):
    """Blocks of attention and feed-forward layers, with learned positions and dropout."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator | None = None) -> None:
        """Weights are drawn from a normal distribution of standard deviation 0.02 by `generator`."""
        super().__init__()
        self.config = config
        if config.positions:
            self.positions = nn.Parameter(torch.empty(config.max_length, config.dim))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_blocks))
        self.final_norm = _Norm(config.dim) if config.norm != "post" else nn.Identity()
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=_INITIAL_SCALE, generator=generator)

    def forward(
        self, inputs: Float[T, "tokens dim"], packing: Packing, generator: torch.Generator | None = None
    ) -> Float[T, "tokens dim"]:
        """The state of each token; `generator` draws the dropout, which a module in eval mode leaves out.

        Raises:
            ValueError: if a sequence is longer than the positions that were learned.
        """
        if not len(inputs):
            return inputs
        dropout = Dropout(self.config.dropout, generator).train(self.training)
        if self.config.positions:
            if (longest := int(packing.position.max()) + 1) > self.config.max_length:
                raise ValueError(f"sequences must have at most {self.config.max_length} tokens, got {longest}")
            inputs = inputs + nn.functional.embedding(packing.position, self.positions)
        states = dropout(inputs)
        for block in self.blocks:
            states = block(states, packing, dropout)
        return self.final_norm(states)


class _Block(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, wide = config.dim, config.dim * config.feedforward_factor
        self.config = config
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)
        self.attention_norm = _Norm(dim)
        self.widen = nn.Linear(dim, wide)
        self.narrow = nn.Linear(wide, dim)
        self.feedforward_norm = _Norm(dim)
        for layer in (self.query_key_value, self.output, self.widen, self.narrow):
            nn.init.zeros_(layer.bias)

    def forward(self, states: T, packing: Packing, dropout: Dropout) -> T:
        match self.config.norm:
            case "pre":
                normed = self.attention_norm(states)
                states = states + dropout(self._attention(normed, normed, packing, dropout))
                return states + self._feedforward(self.feedforward_norm(states), dropout)
            case "query":
                normed = self.attention_norm(states)
                states = self.feedforward_norm(normed + dropout(self._attention(normed, states, packing, dropout)))
                return states + self._feedforward(states, dropout)
            case _:
                states = states + dropout(self._attention(states, states, packing, dropout))
                states = self.attention_norm(states)
                return self.feedforward_norm(states + self._feedforward(states, dropout))

    def _attention(self, asking: T, answering: T, packing: Packing, dropout: Dropout) -> T:
        if asking is answering:
            projected = self.query_key_value(asking)
        else:
            dim = self.config.dim
            weight, bias = self.query_key_value.weight, self.query_key_value.bias
            query = linear(asking, weight[:dim], bias[:dim])
            projected = torch.cat([query, linear(answering, weight[dim:], bias[dim:])], dim=1)
        mixed = [_attend(projected, group, self.config, dropout) for group in packing.groups]
        return self.output(torch.cat(mixed).index_select(0, packing.cell))

    def _feedforward(self, states: T, dropout: Dropout) -> T:
        wide = self.widen(states)
        active = torch.relu(wide) if self.config.activation == "relu" else gelu(wide)
        if self.config.norm == "query":
            active = dropout(active)
        return dropout(self.narrow(active))


def _attend(projected: T, group: Group, config: TransformerConfig, dropout: Dropout) -> T:
    """What each cell of a group's rectangle takes from the cells of its row."""
    (rows, width), heads = group.token.shape, config.num_heads
    head_dim = config.dim // heads
    # [query, key or value; row and head; cell; dimension]
    parts = projected.index_select(0, group.token.flatten()).view(rows, width, 3, heads, head_dim)
    query, key, value = parts.permute(2, 0, 3, 1, 4).reshape(3, rows * heads, width, head_dim)
    # Not minus infinity, which would make NaN of a row that sees nothing.
    forbidden = torch.zeros(1, 1, width, device=projected.device)
    if config.causal:
        # A row's padding comes after all of its tokens, so they do not see it.
        forbidden = torch.full((width, width), -1e9, device=projected.device).triu(1)[None]
    elif group.padding is not None:
        forbidden = (-1e9 * group.padding.float()).repeat_interleave(heads, dim=0)[:, None, :]
    logits = torch.baddbmm(
        forbidden.expand(rows * heads, width, width), query, key.transpose(1, 2), alpha=head_dim**-0.5
    )
    weights = dropout(torch.softmax(logits, dim=-1))
    mixed = torch.bmm(weights, value)
    return mixed.view(rows, heads, width, head_dim).transpose(1, 2).reshape(rows * width, config.dim)


class _Norm(nn.Module):
    """Layer normalisation with learned scale and shift."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))
        self.shift = nn.Parameter(torch.zeros(dim))

    def forward(self, states: T) -> T:
        return layer_norm(states, self.scale.shape, self.scale, self.shift, 1e-8)


def full_cross_entropy(
    states: Float[T, "tokens dim"],
    items: Float[T, "items dim"],
    targets: Int[T, " tokens"],
    bias: Float[T, " items"] | None = None,
    weights: Float[T, " tokens"] | None = None,
    on_offer: OnOffer | None = None,
) -> Float[T, ""]:
    """The mean over tokens of -log softmax(states · items + bias)[target], over the whole catalogue, times `weights`.

    `on_offer` tells of some tokens which items' exponentials count, beside the target's; without it all do.

    Never holds the logits of all tokens: they are made in chunks, and as the gradient of a mean is known at
    once, each chunk leaves its share of it behind before the next. That takes three matrix products where
    recomputation in the backward pass would take four.
    """
    return _FullCrossEntropy.apply(states, items, targets, bias, weights, on_offer)


class _FullCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: T, items: T, targets: T, bias: T | None, weights: T | None, on_offer: OnOffer | None
    ) -> T:
        with_gradient = any(ctx.needs_input_grad)
        of_states = torch.empty_like(states) if with_gradient else None
        of_items = torch.zeros_like(items) if with_gradient else None
        of_bias = torch.zeros_like(bias) if with_gradient and bias is not None else None
        total = torch.zeros((), dtype=torch.float64, device=states.device)
        size = max(1, _CHUNK_CELLS.get(states.device.type, 2**24) // len(items))
        for start in range(0, len(states), size):
            chunk = slice(start, start + size)
            some, target = states[chunk], targets[chunk, None].long()
            logits = some @ items.T if bias is None else torch.addmm(bias, some, items.T)
            if on_offer is not None:
                logits.masked_fill_(~on_offer(chunk).scatter_(1, target, True), -torch.inf)
            chances = torch.softmax(logits, dim=1)
            # The largest chance is exp(0) / sum(exp(logit - largest logit)).
            log_sum = logits.amax(1) - chances.amax(1).log()
            losses = log_sum - logits.gather(1, target)[:, 0]
            total += (losses if weights is None else losses * weights[chunk]).sum(dtype=torch.float64)
            if of_states is not None and of_items is not None:
                residual = chances.scatter_add_(1, target, chances.new_full(target.shape, -1.0))
                if weights is not None:
                    residual *= weights[chunk, None]
                torch.mm(residual, items, out=of_states[chunk])
                of_items.addmm_(residual.T, some)
                if of_bias is not None:
                    of_bias += residual.sum(0)
        ctx.save_for_backward(of_states, of_items, of_bias)
        ctx.num_tokens = max(len(states), 1)
        return (total / ctx.num_tokens).to(states.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: T) -> tuple[T | None, ...]:
        of_states, of_items, of_bias = ctx.saved_tensors
        scale = gradient / ctx.num_tokens
        return of_states * scale, of_items * scale, None, None if of_bias is None else of_bias * scale, None, None
