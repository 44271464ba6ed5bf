"""Which users are compared: random ones, or each with the one most like them."""

import numpy as np
from jaxtyping import Float, Int, Int64

from recsim_lab.evaluation.bubble.ground import unit_vectors

A = np.ndarray

_BLOCK = 1 << 22
"""So many cosines are held at a time."""


def random_pairs(num_users: int, num_pairs: int, rng: np.random.Generator) -> Int64[A, "pairs 2"]:
    """Pairs of different users, each pair drawn by itself: the same two may come again."""
    if num_users < 2:
        raise ValueError(f"num_users must be at least 2, got {num_users}")
    first = rng.integers(num_users, size=num_pairs)
    return np.stack([first, (first + rng.integers(1, num_users, size=num_pairs)) % num_users], axis=1)


def nearest_pairs(vectors: Float[A, "users dims"], users: Int[A, " sample"]) -> Int64[A, "pairs 2"]:
    """Each user of a sample with the other one of the sample of largest cosine; of equals, the one named first.

    Time grows with the square of the sample, memory does not. Two users who are nearest to each other make a pair
    each. A user whose vector is 0 is like nobody: they make no pair, and are nobody's nearest. Fewer than two others
    make none at all.
    """
    if len(np.unique(users)) < len(users):
        raise ValueError(f"users must be distinct, got {len(users) - len(np.unique(users))} repeated")
    users = users[np.any(vectors[users] != 0, axis=1)].astype(np.int64)
    if len(users) < 2:
        return np.zeros((0, 2), np.int64)
    units = unit_vectors(vectors[users])
    nearest = np.empty(len(users), np.int64)
    step = max(_BLOCK // len(users), 1)
    for start in range(0, len(users), step):
        cosine = units[start : start + step] @ units.T
        place = np.arange(len(cosine))
        cosine[place, start + place] = -np.inf
        nearest[start : start + step] = cosine.argmax(axis=1)
    return np.stack([users, users[nearest]], axis=1)
