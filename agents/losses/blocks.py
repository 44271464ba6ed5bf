"""A few documents of each list against the whole list, in blocks that fit the cache.

A click among a thousand sampled items makes a thousand pairs, not a million: what is chosen first (the documents that
can win a pair, or the relevant ones) decides the cost, and blocks bound the memory, whatever the batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int

T = torch.Tensor

_PAIRS_ON_CPU, _PAIRS_ON_ACCELERATOR = 2**18, 2**24


@dataclass(frozen=True)
class Block:
    """Some chosen documents of some queries, in ascending order; `present` is False where a query has no more."""

    queries: Int[T, " block"]
    documents: Int[T, "block chosen"]
    present: Bool[T, "block chosen"]

    def of_chosen(self, values: Float[T, "queries documents"]) -> Float[T, "block chosen 1"]:
        return values[self.queries[:, None], self.documents][:, :, None]

    def of_all(self, values: Float[T, "queries documents"]) -> Float[T, "block 1 documents"]:
        # As many queries as there are: all of them, which need no copy.
        return (values if len(self.queries) == len(values) else values[self.queries])[:, None, :]

    def add_to_chosen(self, total: Float[T, "queries documents"], values: Float[T, "block chosen"]) -> None:
        """Add in place; values must be zero where no document is present."""
        total.index_put_((self.queries[:, None], self.documents), values, accumulate=True)

    def add_to_all(self, total: Float[T, "queries documents"], values: Float[T, "block documents"]) -> None:
        """Add in place."""
        if len(self.queries) == len(total):
            total += values
        else:
            total[self.queries] += values


def left_aligned(
    chosen: Bool[T, "queries documents"],
) -> tuple[Int[T, "queries most_chosen"], Bool[T, "queries most_chosen"]]:
    """Where the chosen documents of each query stand, and which of these places are taken; the others say 0."""
    count = chosen.sum(dim=1)
    present = torch.arange(int(count.max()), device=chosen.device) < count[:, None]
    documents = torch.zeros_like(present, dtype=torch.int64)
    documents[present] = chosen.nonzero()[:, 1]
    return documents, present


def blocks(chosen: Bool[T, "queries documents"]) -> Iterator[Block]:
    """Every chosen document once.

    The first block is filled. Where that is not all, the next hold as many documents of each query as came before
    them, and leave out queries that have no more: little is padding, also where one query has many and most have few.
    """
    num_pairs = _PAIRS_ON_CPU if chosen.device.type == "cpu" else _PAIRS_ON_ACCELERATOR
    num_documents = chosen.shape[1]
    documents, present = left_aligned(chosen)
    start = 0
    while start < documents.shape[1]:
        queries = present[:, start].nonzero()[:, 0]
        # Within a full block, padding costs less than another block.
        width = max(start, num_pairs // (len(queries) * num_documents))
        width = max(1, min(width, num_pairs // num_documents))
        columns = slice(start, start + width)
        for some in queries.split(max(1, num_pairs // (width * num_documents))):
            yield Block(some, documents[some, columns], present[some, columns])
        start += width
