"""Seconds to rank a whole catalogue for every user: what full-ranking evaluation and a nightly top 100 cost."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.real_data import metrics
from recsim_lab.datasets import LeaveTwoOut, Sequences
from recsim_lab.policy import top_items

A = np.ndarray

NUM_DIMS = 64
CLICKED_SHARE = 0.0444
"""Of the pairs in MovieLens-1M."""


def full_ranking(num_users: int = 6_040, num_items: int = 3_416) -> dict[str, Any]:
    """The evaluation of `benchmarks.real_data`, of vectors that a model has learned."""
    users, items, clicked = _vectors_and_clicks(num_users, num_items)
    clicked[:, :3] = True
    row, item = np.nonzero(clicked)
    start = np.searchsorted(row, np.arange(num_users + 1))
    last, before = item[start[1:] - 1], item[start[1:] - 2]
    kept = np.ones(len(row), bool)
    kept[start[1:] - 1] = kept[start[1:] - 2] = False
    train = Sequences(item[kept].astype(np.int32), start - 2 * np.arange(num_users + 1), num_items)
    parts = LeaveTwoOut(train, before.astype(np.int32), last.astype(np.int32))
    (seconds,) = _median_seconds(lambda: metrics.full_ranking(lambda rows: users[rows] @ items.T, parts))
    return {
        "name": "full_ranking",
        "value": round(seconds, 3),
        "unit": "s",
        "work": f"{_size(num_users, num_items)}: scores, history removed, rank of a held-out item, HR@10 and NDCG@10",
    }


def top_100(num_users: int = 6_040, num_items: int = 3_706) -> dict[str, Any]:
    """Scores and `top_items`; beside it, where it is installed, what the package `implicit` takes for the same.

    As many threads for both as the environment allows: `implicit` is told, the others read OMP_NUM_THREADS,
    NUMBA_NUM_THREADS and their like.
    """
    users, items, clicked = _vectors_and_clicks(num_users, num_items)
    work = f"{_size(num_users, num_items)}: the best 100 that were not clicked, by recsim_lab.policy.top_items"
    figure = {"name": "top_100", "unit": "s", "work": work}

    def ours() -> A:
        return top_items(users @ items.T, ~clicked, 100)

    try:
        from implicit.cpu.topk import topk
    except ImportError:
        return figure | {"value": round(_median_seconds(ours)[0], 3)}

    import numba

    known = csr_matrix(clicked.astype(np.float32))

    def theirs() -> A:
        return topk(items, users, 100, filter_query_items=known, num_threads=numba.get_num_threads())[0]

    if (agreement := float((ours() == theirs()).mean())) < 0.99:  # where scores are nearly equal, rounding decides
        raise RuntimeError(f"both must find the same items, {agreement:.1%} are the same")
    seconds, implicit_seconds = _median_seconds(ours, theirs)
    return figure | {
        "value": round(seconds, 3),
        "ratio_to": {"implicit": round(seconds / implicit_seconds, 2)},
    }


def _vectors_and_clicks(num_users: int, num_items: int) -> tuple[A, A, A]:
    rng = np.random.default_rng(0)
    users = rng.standard_normal((num_users, NUM_DIMS), np.float32)
    items = rng.standard_normal((num_items, NUM_DIMS), np.float32)
    return users, items, rng.random((num_users, num_items)) < CLICKED_SHARE


def _median_seconds(*works: Callable[[], object], repetitions: int = 5) -> list[float]:
    """Of each work, after one run that doesn't count; taken by turns, so that other load falls on all alike."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(repetitions + 1):
        for times, work in zip(seconds, works, strict=True):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return [float(np.median(times[1:])) for times in seconds]


def _size(num_users: int, num_items: int) -> str:
    return f"{num_users:,} users, {num_items:,} items, vectors of {NUM_DIMS} dimensions, float32"
