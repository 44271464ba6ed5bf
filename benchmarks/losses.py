"""How much faster RankNet's factorised gradient is than differentiating its formula pair by pair."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from agents.losses import RankNet

T = torch.Tensor


def ranknet_speedup(num_queries: int = 16, num_documents: int = 1_001, num_grades: int = 1) -> dict[str, Any]:
    """Time of autograd over all [documents, documents] pairs by that of the factorised gradient, in the same run.

    With one grade, each list holds one positive among sampled negatives, as recommenders are trained; with more, a
    document has any grade from 0 upwards with equal chance, as in learning to rank.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (num_queries, num_documents)
    scores = torch.randn(shape, generator=generator, requires_grad=True)
    if num_grades == 1:
        labels = torch.zeros(shape)
        labels[:, 0] = 1
        lists = f"one positive and {num_documents - 1:,} negatives"
    else:
        labels = torch.randint(num_grades + 1, shape, generator=generator).float()
        lists = f"{num_documents:,} documents of grades 0 to {num_grades}"
    mask = torch.ones(shape, dtype=torch.bool)
    factorised = RankNet()
    plain_seconds, seconds = _median_seconds(
        scores, lambda: _plain_ranknet(scores, labels), lambda: factorised(scores, labels, mask)
    )
    size = "" if num_grades == 1 else "_graded"
    return {
        "name": "ranknet_speedup" + size,
        "value": round(plain_seconds / seconds, 1),
        "unit": "x",
        "work": f"loss and gradient of {num_queries} lists of {lists}, float32, {torch.get_num_threads()} threads: "
        "seconds of autograd over all pairs of a list / seconds of agents.losses.RankNet",
    }


def _plain_ranknet(scores: T, labels: T) -> T:
    difference = scores[:, :, None] - scores[:, None, :]
    ordered = labels[:, :, None] > labels[:, None, :]
    terms = torch.nn.functional.softplus(-difference) * ordered
    return (terms.sum(dim=(1, 2)) / ordered.sum(dim=(1, 2))).mean()


def _median_seconds(scores: T, *losses: Callable[[], T], repetitions: int = 15) -> list[float]:
    """Of each loss and its gradient; taken by turns, so that what else the machine does falls on all alike."""
    seconds: list[list[float]] = [[] for _ in losses]
    for _ in range(repetitions + 2):
        for times, loss in zip(seconds, losses, strict=True):
            scores.grad = None
            start = time.perf_counter()
            loss().backward()
            times.append(time.perf_counter() - start)
    return [float(np.median(times[2:])) for times in seconds]
