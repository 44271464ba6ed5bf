"""What the machine allows: a bare fused loop of gather, dot product, softmax and choice, without any state."""

from typing import Any

import numba
import numpy as np

from benchmarks.bench_world import NUM_DIMS, NUM_SLOTS, median_rate


@numba.njit(parallel=True, fastmath=True)
def _fused(users, items, slates, uniform, out):  # type: ignore[no-untyped-def]
    for r in numba.prange(len(users)):
        total = np.float32(1.0)
        weights = np.empty(slates.shape[1], np.float32)
        for k in range(slates.shape[1]):
            score = np.float32(0.0)
            for j in range(users.shape[1]):
                score += users[r, j] * items[slates[r, k], j]
            weights[k] = np.exp(score)
            total += weights[k]
        left = uniform[r] * total
        chosen = -1
        for k in range(slates.shape[1]):
            left -= weights[k]
            if left < 0:
                chosen = k
                break
        out[r] = chosen


def fused_limit(num_users: int = 10_000, num_items: int = 10_000) -> dict[str, Any]:
    """User-steps per second of the bare loop, on all threads."""
    rng = np.random.default_rng(0)
    users = rng.normal(size=(num_users, NUM_DIMS)).astype(np.float32)
    items = rng.normal(size=(num_items, NUM_DIMS)).astype(np.float32)
    slates = rng.integers(num_items, size=(8, num_users, NUM_SLOTS)).astype(np.int32)
    uniform = rng.random(num_users, dtype=np.float32)
    out = np.empty(num_users, np.int64)
    rate = median_rate(lambda i: _fused(users, items, slates[i % 8], uniform, out), num_users, 100)
    return {
        "name": "fused_limit",
        "value": round(rate),
        "unit": "user-steps/s",
        "work": f"gather, dot, softmax, choice in one compiled loop on {numba.get_num_threads()} threads, no state; "
        f"{num_users:,} users, {num_items:,} items, slates of {NUM_SLOTS}, {NUM_DIMS} dimensions",
    }
