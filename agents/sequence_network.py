"""The network of sequence models: items and times become vectors, a transformer reads them, a state meets an item."""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn.functional import embedding

from agents.fields import Schema, Table
from agents.network import DotNetwork
from agents.requests import Requests
from agents.sequences import MASKED, NUM_GAPS, Sequences, histories, masked_histories
from agents.transformer import PackedTransformer, TransformerConfig

T = torch.Tensor

_CELLS_AT_ONCE = 2**17
"""Tokens of requests, padding included, that are read at a time when serving."""


@final
class SequenceNetwork(DotNetwork):
    """Score = state of the request · item vector, the same vector that stands for the item in a history.

    A causal network answers with the state of the newest click, a bidirectional one with that of a mask after it.
    `times` says whether a click's vector is joined by that of the time until the next event; `scale` is the standard
    deviation of the vectors of items and times before training.
    """

    def __init__(self, schema: Schema, config: TransformerConfig, times: bool, scale: float = 0.02) -> None:
        super().__init__(schema)
        self.config = config
        self.items = nn.Parameter(scale * torch.randn(1 + schema.num_items, config.dim))
        """Row 0 stands for what is no known item."""
        self.mask = nn.Parameter(scale * torch.randn(config.dim)) if not config.causal else None
        self.times = nn.Parameter(scale * torch.randn(NUM_GAPS, config.dim)) if times else None
        self.transformer = PackedTransformer(config)

    def encode(self, inputs: Requests | Sequences) -> Float[T, "rows dim"]:
        if isinstance(inputs, Sequences):
            return self._states(inputs)
        tokens_of = histories if self.config.causal else masked_histories
        chunk = max(1, _CELLS_AT_ONCE // (1 + inputs.clicked.shape[1]))
        parts = [inputs.take(slice(start, start + chunk)) for start in range(0, len(inputs), chunk)]
        states = [self._states(tokens_of(part, self.config.max_length)) for part in parts]
        return torch.cat(states) if states else self.items.new_zeros(0, self.config.dim)

    def embed(self, items: Int[T, "*shape"], table: Table) -> Float[T, "*shape dim"]:
        return embedding(self.item_codes(items), self.items)

    def _states(self, sequences: Sequences) -> Float[T, "rows dim"]:
        vectors = embedding(self.item_codes(sequences.token.clamp(min=-1)), self.items)
        if self.mask is not None:
            vectors = torch.where((sequences.token == MASKED)[:, None], self.mask, vectors)
        if self.times is not None:
            vectors = vectors + embedding(sequences.gap, self.times)
        return self.transformer(vectors, sequences.packing).index_select(0, sequences.wanted)
