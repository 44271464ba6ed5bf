"""iALS: matrix factorisation of clicks by alternating least squares, where every pair without a click counts a little.

The model of Hu, Koren & Volinsky (ICDM 2008) with the settings of Rendle, Krichene, Zhang & Koren (RecSys 2022,
"Revisiting the performance of iALS on item recommendation benchmarks").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from scipy.sparse import csr_array

from agents.base import learned
from agents.item_to_item import ItemToItem

A = np.ndarray
T = torch.Tensor

_BATCH_PAIRS = 16_384
"""Pairs that are solved for at a time, padding included: large enough for matrix products, small enough for caches."""


@final
@dataclass(eq=False)
class ImplicitALS(ItemToItem):
    """Score = user vector · item vector, where the vectors minimise

        Σ over clicks (1 - score)² + `unobserved_weight` · Σ over all pairs score² + Σ over vectors penalty · |vector|²

    and the penalty of a user is `regularization` · (clicks of the user + `unobserved_weight` · number of items) to
    the power `frequency_exponent`, that of an item likewise. With items given, each user's best vector is a weighted
    least squares solution, and the other way round; an epoch solves for all users, then for all items.

    Only the items' vectors are kept: a request's user vector is solved for anew from all clicks known at the
    request, so new clicks and new users are answered without retraining. Such a score is a sum over the clicked
    items, too: of their similarities as this user sees them (Hu et al., section 5). An item that nobody clicked
    has the zero vector, so it scores 0.
    """

    family: ClassVar[str] = "ials"

    dim: int = 64
    epochs: int = 12
    unobserved_weight: float = 0.3
    regularization: float = 0.007
    frequency_exponent: float = 1.0
    initial_scale: float = 0.1
    """Standard deviation of the items' first vectors' components, times the square root of `dim`."""
    seed: int = 0

    items: Float[A, "items dim"] = learned(2)

    def __post_init__(self) -> None:
        for name in ("dim", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("unobserved_weight", "regularization", "initial_scale"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0 and finite, got {getattr(self, name)}")
        if not 0 <= self.frequency_exponent <= 1:
            raise ValueError(f"frequency_exponent must be in [0, 1], got {self.frequency_exponent}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")

    def fit_weights(self, clicks: csr_array) -> None:
        generator = np.random.default_rng(self.seed)
        items = generator.standard_normal((clicks.shape[1], self.dim), np.float32)
        items *= np.float32(self.initial_scale / np.sqrt(self.dim))
        clicks = clicks[np.diff(clicks.indptr) > 0]  # the others are numbers of users who clicked nothing here
        by_item = csr_array(clicks.T)
        for _ in range(self.epochs):
            users = self.solve(clicks, items)
            items = self.solve(by_item, users)
        self.items = items

    def sum_weights(self, histories: csr_array) -> Float32[A, "rows items"]:
        return self.solve(histories, self.items) @ self.items.T

    def solve(self, clicks: csr_array, others: Float32[A, "others dim"]) -> Float32[A, "rows dim"]:
        """The best vectors of the rows of a binary rows x others matrix, given those of its columns.

        Raises:
            ValueError: if a row's equations are not positive definite in float32.
        """
        count = np.diff(clicks.indptr)
        penalty = self.regularization * (count + self.unobserved_weight * len(others)) ** self.frequency_exponent
        start, column, penalty = map(torch.from_numpy, (clicks.indptr.astype(np.int64), clicks.indices, penalty))
        # The last row, zero, fills up the rows of a batch to the same length.
        table = torch.cat([torch.from_numpy(others), torch.zeros(1, self.dim)])
        unobserved = self.unobserved_weight * (table.T @ table)
        vectors = torch.zeros(len(count), self.dim)
        for rows, longest in batches(count, self.dim):
            at = start[rows, None] + torch.arange(longest)
            known = at < start[rows + 1, None]
            clicked = table[torch.where(known, column[torch.where(known, at, 0)], len(others))]
            left = torch.baddbmm(unobserved.expand(len(rows), -1, -1), clicked.mT, clicked)
            left.diagonal(dim1=1, dim2=2).add_(penalty[rows, None])
            factor, failed = torch.linalg.cholesky_ex(left)
            if failed.any():
                raise ValueError(
                    "regularization must make the equations positive definite in float32, got "
                    f"{self.regularization} (frequency_exponent {self.frequency_exponent})"
                )
            vectors[rows] = torch.cholesky_solve(clicked.sum(dim=1)[:, :, None], factor)[:, :, 0]
        return vectors.numpy()


def batches(count: Int[A, " rows"], dim: int) -> Iterator[tuple[Int[T, " batch"], int]]:
    """All rows with clicks, in batches of rows of about the same count; with each batch, its largest count."""
    order = np.argsort(count, kind="stable")
    order = order[count[order] > 0]
    # A row costs its clicks, and a square matrix whose side is `dim`.
    size = np.maximum(count[order], dim)
    first = 0
    while first < len(order):
        ahead = size[first : first + _BATCH_PAIRS // dim]
        num_rows = max(1, int((np.arange(1, len(ahead) + 1) * ahead <= _BATCH_PAIRS).sum()))
        rows = order[first : first + num_rows]
        yield torch.from_numpy(rows), int(count[rows[-1]])
        first += num_rows
