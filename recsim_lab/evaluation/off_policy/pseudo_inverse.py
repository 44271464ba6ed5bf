"""The pseudo-inverse weight of a slate: right where the reward of a slate is a sum of what its items are worth.

Swaminathan et al., "Off-policy evaluation for slate recommendation" (NeurIPS 2017). A cell is a pair of slot and item.
With G the matrix of how likely logging is to fill two cells at once, q the target's marginal probability of each cell
and s the indicator of the logged slate's cells, the weight is q' G^+ s.
"""

import numpy as np
from jaxtyping import Float, Int

from recsim_lab.evaluation.off_policy.logged import RowWeights
from recsim_lab.probabilities import PairProbabilities

A = np.ndarray

_RANK = 1e-5
"""Eigenvalues below this share of the largest are none: probabilities are kept in single precision."""
_CELLS_AT_ONCE = 2**21


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
    num_cells = num_slots * num_candidates
    matrix = pairs.value.astype(np.float64)
    inverse = np.linalg.pinv(matrix, rcond=_RANK, hermitian=True)
    exact = not pairs.error.any()
    value, error, outside = (np.empty(num_rows) for _ in range(3))
    for start in range(0, num_rows, max(1, _CELLS_AT_ONCE // (num_cells * num_slots))):
        rows = slice(start, start + max(1, _CELLS_AT_ONCE // (num_cells * num_slots)))
        group, q = request[rows], target[rows].reshape(-1, num_cells).astype(np.float64)
        same = slates[rows][:, :, None] == pairs.candidates[group][:, None, :]
        cells = np.argmax(same, axis=2) + num_candidates * np.arange(num_slots)
        # The inverse is symmetric: its rows at the logged cells are its columns.
        solved = sum(inverse[group, cells[:, slot]] for slot in range(num_slots))
        value[rows] = np.einsum("rc,rc->r", q, solved)
        value[rows][~same.any(axis=2).all(axis=1)] = np.nan
        error[rows] = 0.0
        outside[rows] = 0.0
        if target_error is not None and target_error.any():
            error[rows] = _of_cells(solved, target_error[rows].reshape(-1, num_cells), num_slots)
        if exact:
            outside[rows] = _outside(matrix, inverse, group, q) / num_slots
        else:
            of_target = np.einsum("rcd,rd->rc", inverse[group], q)
            spread = np.einsum("rc,rcd,rd->r", of_target**2, pairs.error[group].astype(np.float64) ** 2, solved**2)
            error[rows] = np.hypot(error[rows], num_slots * np.sqrt(spread))
    return RowWeights(value, error, outside)


def _outside(
    matrix: Float[A, "requests cells cells"],
    inverse: Float[A, "requests cells cells"],
    group: Int[A, " rows"],
    q: Float[A, "rows cells"],
) -> Float[A, " rows"]:
    """How much of each row's q no mixture of the columns of its matrix makes up: half the distance to the nearest."""
    projection = matrix @ inverse
    apart = np.empty(len(q))
    # Few requests with many rows each: one matrix product a request. Else row by row at once.
    if len(matrix) * 8 <= len(q):
        for one in np.unique(group):
            mine = group == one
            apart[mine] = np.abs(q[mine] - q[mine] @ projection[one].T).sum(axis=1)
    else:
        apart = np.abs(q - np.einsum("rcd,rd->rc", projection[group], q)).sum(axis=1)
    return np.where(apart > 1e-3, apart / 2, 0.0)


def _of_cells(factor: Float[A, "rows cells"], error: Float[A, "rows cells"], num_slots: int) -> Float[A, " rows"]:
    """The standard error of a sum of cells' probabilities, each times its factor: a slate fills `num_slots` of them,
    so that its variance is at most that many times what it would be if cells erred independently."""
    return np.sqrt(num_slots * np.einsum("rc,rc->r", factor**2, error.astype(np.float64) ** 2))
