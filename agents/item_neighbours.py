"""Item neighbours: an item is worth as much to a user as it resembles what the user clicked."""

from dataclasses import dataclass
from typing import ClassVar, final

import numba
import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.sparse import csr_array

from agents.base import learned
from agents.item_to_item import ItemToItem
from recsim_lab.compile import kernel
from recsim_lab.policy import top_items

A = np.ndarray

_CHUNK = 1024
"""Items whose similarities are dense at a time."""


@final
@dataclass(eq=False)
class ItemKNN(ItemToItem):
    """Sums cosine similarities between an item's nearest neighbours and the user's clicks.

    The similarity of items clicked by m and n users, c of them in common, is c / (√(mn) + `shrinkage`): shrinkage
    takes away from similarities that rest on few users (Sarwar et al., WWW 2001; shrinkage as in Ferrari Dacrema
    et al., RecSys 2019). Each item listens to its `num_neighbours` most similar ones.
    """

    family: ClassVar[str] = "item-knn"

    num_neighbours: int = 100
    shrinkage: float = 20.0
    similarity: Float[A, " weights"] = learned(1)
    """Compressed rows of the sparse matrix from clicked items to those that listen to them."""
    listener: Int[A, " weights"] = learned(1, np.int32)
    listener_start: Int[A, " bounds"] = learned(1, np.int32)

    def __post_init__(self) -> None:
        if self.num_neighbours < 1:
            raise ValueError(f"num_neighbours must be at least 1, got {self.num_neighbours}")
        if not 0 <= self.shrinkage < float("inf"):
            raise ValueError(f"shrinkage must be at least 0 and finite, got {self.shrinkage}")

    def fit_weights(self, clicks: csr_array) -> None:
        weights = nearest_neighbours(clicks, self.num_neighbours, self.shrinkage)
        self.similarity, self.listener, self.listener_start = weights.data, weights.indices, weights.indptr

    def sum_weights(self, histories: csr_array) -> Float32[A, "rows items"]:
        scores = np.zeros(histories.shape, np.float32)
        weights = (self.similarity, self.listener, self.listener_start)
        _add_weights(scores, histories.indices, histories.indptr, *weights)
        return scores


@kernel
def _add_weights(scores, items, start, similarity, listener, listener_start):  # type: ignore[no-untyped-def]
    """To each row's scores add the weights of its items; what listens is known, so no sparse product is laid out."""
    for row in numba.prange(scores.shape[0]):
        for place in range(start[row], start[row + 1]):
            item = items[place]
            for weight in range(listener_start[item], listener_start[item + 1]):
                scores[row, listener[weight]] += similarity[weight]


def nearest_neighbours(clicks: csr_array, num_neighbours: int, shrinkage: float) -> csr_array:
    """The similarities as a matrix with a column for each item, at most `num_neighbours` of them not zero.

    Among equally similar neighbours those of smaller id are kept.
    """
    num_items = clicks.shape[1]
    num_kept = min(num_neighbours, num_items - 1)
    length = np.sqrt(np.bincount(clicks.indices, minlength=num_items)).astype(np.float32)
    by_item = clicks.T.tocsr()
    items, neighbours, similarities = [], [], []
    for first in range(0, num_items, _CHUNK):
        chunk = np.arange(first, min(first + _CHUNK, num_items))
        common = (by_item[chunk] @ clicks).toarray()
        scale = length[chunk, None] * length + np.float32(shrinkage)
        # Items without clicks have nothing in common with any.
        similarity = np.divide(common, scale, out=np.zeros_like(common), where=common > 0)
        others = np.arange(num_items) != chunk[:, None]
        nearest = top_items(similarity, others, num_kept)
        items.append(np.repeat(chunk, num_kept))
        neighbours.append(nearest.ravel())
        similarities.append(np.take_along_axis(similarity, nearest, axis=1).ravel())
    row, column, value = (np.concatenate(parts) for parts in (neighbours, items, similarities))
    positive = value > 0
    weights = csr_array((value[positive], (row[positive], column[positive])), shape=(num_items, num_items))
    weights.sort_indices()
    return weights
