"""A memory of the topics of the last clicks: oldest first, newest last, empty places (-1) in front."""

import numpy as np
from jaxtyping import Bool, Int

from recsim_lab.simulation.dynamics.base import Response

A = np.ndarray


def clicked_topics(response: Response, topic: Int[A, " items"]) -> Int[A, "rows slots"]:
    """The topic of each clicked slot, -1 for the others."""
    return np.where(response.clicks, topic[response.slate], -1).astype(np.int32)


def newest(filled: Bool[A, "rows all"], num_kept: int) -> Int[A, "rows kept"]:
    """The columns of the last `num_kept` filled places in their order, after empty ones if there are fewer."""
    return np.argsort(filled, axis=1, kind="stable")[:, -num_kept:]


def topic_counts(memory: Int[A, "rows places"], num_topics: int) -> Int[A, "rows topics"]:
    """How often each topic stands in the memory."""
    num_rows = len(memory)
    # A spare first column takes the empty places.
    cells = np.arange(num_rows)[:, None] * (num_topics + 1) + (memory + 1)
    counts = np.bincount(cells.ravel(), minlength=num_rows * (num_topics + 1))
    return counts.reshape(num_rows, num_topics + 1)[:, 1:]
