"""The pseudo-inverse weight of a slate: right where the reward of a slate is a sum of what its items are worth.

Swaminathan et al., "Off-policy evaluation for slate recommendation" (NeurIPS 2017). A cell is a pair of slot and item.
With G the matrix of how likely logging is to fill two cells at once, q the target's marginal probability of each cell
and s the indicator of the logged slate's cells, the weight is q' G^+ s.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from recsim_lab.evaluation.off_policy.logged import RowWeights
from recsim_lab.probabilities import PairProbabilities

A = np.ndarray

_RANK = 1e-5
"""Eigenvalues below this share of the largest are none: probabilities are kept in single precision."""
_ROUNDING = 1e-3
"""A sum of absolute deviations of cells that is no more than rounding."""
_NUMBERS_AT_ONCE = 2**20
"""Entries of matrices that are gathered at once, one matrix a row."""
_MANY = 8
"""Rows a request from which on they are taken by request, with one matrix product for all of them."""


def uniform_weights(
    num_items: Int[A, " rows"],
    anywhere: Float[A, "rows slots slots"],
    error: Float[A, "rows slots slots"] | None = None,
) -> RowWeights:
    """The weights where logging draws slates uniformly from `num_items` items, none twice: in closed form.

    `anywhere[r, k, j]` is the probability that the target puts the item of logged slot j into slot k. With n items, K
    slots, D the sum of its diagonal and O that of all its entries, G has three eigenspaces that q and s meet: constants
    (eigenvalue K/n), effects of items ((n - K) / (n (n - 1))) and the rest (1 / (n - 1)), so that the weight is
    1 + n (n - 1) / (n - K) (O/K - K/n) + (n - 1) (D - O/K), where the second term is 0 for n = K.

    Raises:
        ValueError: if a row has fewer items than slots.
    """
    num_slots = anywhere.shape[1]
    if len(num_items) and (fewest := num_items.min()) < num_slots:
        raise ValueError(f"num_items must be at least the {num_slots} slots, got {fewest}")
    n = num_items.astype(np.float64)
    left = n - num_slots
    per_overlap = np.divide(n * (n - 1), left, out=np.zeros_like(n), where=left > 0)
    same = np.einsum("rkk->r", anywhere, dtype=np.float64)
    overlap = anywhere.sum(axis=(1, 2), dtype=np.float64) / num_slots
    value = 1 + per_overlap * (overlap - num_slots / n) + (n - 1) * (same - overlap)
    unsure = np.zeros_like(value)
    if error is not None and error.any():
        other = (per_overlap - (n - 1)) / num_slots
        factor = np.broadcast_to(other[:, None, None], error.shape) + (n - 1)[:, None, None] * np.eye(num_slots)
        unsure = _of_cells(factor.reshape(len(n), -1), error.reshape(len(n), -1), num_slots)
    return RowWeights(value, unsure, np.zeros_like(value))


def paired_weights(
    pairs: PairProbabilities,
    request: Int[A, " rows"],
    slates: Int[A, "rows slots"],
    target: Float[A, "rows slots candidates"],
    target_error: Float[A, "rows slots candidates"] | None = None,
) -> RowWeights:
    """The weights where logging is known by its matrix of pairs; row r met the request `request[r]` of `pairs`.

    Rows that share a request share the inverse. `target[r, k, a]` is the probability that the target puts candidate a
    into slot k. NaN for slates with an item that is none of the candidates. To first order, errors of the matrix add
    those of the weight's factors in it; a slate has one item per slot, which bounds how they add up.
    """
    num_rows, num_slots, num_candidates = target.shape
    matrix = pairs.value.astype(np.float64)
    inverse = np.linalg.pinv(matrix, rcond=_RANK, hermitian=True)
    value, error, outside = np.empty(num_rows), np.zeros(num_rows), np.zeros(num_rows)
    target_errs = target_error is not None and target_error.any()
    for rows in _pieces(request, len(matrix), num_slots * num_candidates):
        group, q = request[rows], target[rows].reshape(len(rows), -1).astype(np.float64)
        same = slates[rows][:, :, None] == pairs.candidates[group][:, None, :]
        cells = np.argmax(same, axis=2) + num_candidates * np.arange(num_slots)
        of_target = _times(q, inverse, group)
        known = np.take_along_axis(of_target, cells, axis=1).sum(axis=1)
        value[rows] = np.where(same.any(axis=2).all(axis=1), known, np.nan)
        if not pairs.error.any():
            apart = np.abs(q - _times(of_target, matrix, group)).sum(axis=1)
            outside[rows] = np.where(apart > _ROUNDING, apart / 2 / num_slots, 0.0)
        if target_errs or pairs.error.any():
            # The inverse is symmetric: its rows at the logged cells are its columns.
            of_slate = sum(inverse[group, cells[:, slot]] for slot in range(num_slots))
            error[rows] = _first_order(of_target, of_slate, pairs.error, group, num_slots)
            if target_error is not None:
                of_cells = _of_cells(of_slate, target_error[rows].reshape(len(rows), -1), num_slots)
                error[rows] = np.hypot(error[rows], of_cells)
    return RowWeights(value, error, outside)


def _pieces(request: Int[A, " rows"], num_requests: int, num_cells: int) -> Iterator[Int[A, " piece"]]:
    """Rows that fit into the processor's caches, or share one request where many do."""
    if num_requests * _MANY <= len(request):
        order = np.argsort(request, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(request[order])) + 1)
        return
    num = max(1, _NUMBERS_AT_ONCE // num_cells**2)
    yield from (np.arange(start, min(start + num, len(request))) for start in range(0, len(request), num))


def _times(
    q: Float[A, "rows cells"], matrices: Float[A, "requests cells cells"], group: Int[A, " rows"]
) -> Float[A, "rows cells"]:
    """Each row times the matrix of its request."""
    if (group == group[0]).all():
        return q @ matrices[group[0]]
    return np.matmul(q[:, None, :], matrices[group])[:, 0]


def _first_order(
    of_target: Float[A, "rows cells"],
    of_slate: Float[A, "rows cells"],
    error: Float[A, "requests cells cells"],
    group: Int[A, " rows"],
    num_slots: int,
) -> Float[A, " rows"]:
    """The standard error of q' G^+ s by that of G: a slate fills K^2 pairs of cells."""
    if not error.any():
        return np.zeros(len(of_target))
    spread = (_times(of_target**2, error.astype(np.float64) ** 2, group) * of_slate**2).sum(axis=1)
    return num_slots * np.sqrt(spread)


def _of_cells(factor: Float[A, "rows cells"], error: Float[A, "rows cells"], num_slots: int) -> Float[A, " rows"]:
    """The standard error of a sum of cells' probabilities, each times its factor: a slate fills `num_slots` of them,
    so that its variance is at most that many times what it would be if cells erred independently."""
    return np.sqrt(num_slots * np.einsum("rc,rc->r", factor**2, error.astype(np.float64) ** 2))
