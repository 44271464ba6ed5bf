"""How different are the things one user meets, and how different are users from one another?

Distances between items are 1 - cosine of their latent vectors. Means over pairs follow from sums of unit vectors, since
the cosines of all ordered pairs, each with itself included, add up to the squared length of the sum.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int, Num
from scipy import special

from recsim_lab.evaluation.bubble.ground import unit_vectors
from recsim_lab.evaluation.bubble.interactions import Interactions, row_means

A = np.ndarray


def entropy(counts: Num[A, "*rows categories"]) -> Float64[A, "*rows"]:
    """Shannon entropy in nats of the shares of the last axis; NaN where nothing was counted.

    Of few counts it is too low, so compare equal numbers (`rarefaction`).
    """
    total = counts.sum(axis=-1, dtype=np.float64)
    shares = counts / np.where(total > 0, total, 1.0)[..., None]
    return np.where(total > 0, special.entr(shares).sum(axis=-1), np.nan)


def list_diversity(shown: Interactions, latent: Float[A, "items dims"], num_users: int) -> Float64[A, " users"]:
    """The mean over a user's slates of the mean distance between two items of a slate (Ziegler et al. 2005).

    A slate of fewer than two items has no pair and does not count; NaN for users who have no other.
    """
    units = unit_vectors(latent)
    # A slot without an item adds a zero vector.
    units = np.concatenate([units, np.zeros((1, units.shape[1]))])
    length = np.square(units).sum(axis=1)
    values = np.full(len(shown.user), np.nan)
    for rows in shown.row_blocks(per_slot=units.shape[1]):
        slate = shown.item[rows]
        total = np.square(units[slate].sum(axis=1)).sum(axis=1)
        values[rows] = 1 - _pair_mean(total, length[slate].sum(axis=1), (slate >= 0).sum(axis=1))
    return row_means(shown.user, values, num_users)


@dataclass(frozen=True)
class UnitSums:
    """For each user the sum of the unit vectors of the items met, of their squared lengths (1, or 0 for an item
    without a vector), and their number."""

    total: Float64[A, "users dims"]
    squared: Float64[A, " users"]
    count: Int[A, " users"]

    def __add__(self, other: "UnitSums") -> "UnitSums":
        return UnitSums(self.total + other.total, self.squared + other.squared, self.count + other.count)


def unit_sums(met: Interactions, latent: Float[A, "items dims"], num_users: int) -> UnitSums:
    """All that the diversity of users' items follows from."""
    units = unit_vectors(latent)
    length = np.square(units).sum(axis=1)
    total, squared = np.zeros((num_users, units.shape[1])), np.zeros(num_users)
    count = np.zeros(num_users, np.int64)
    for user, item in met.blocks():
        for dim in range(units.shape[1]):
            total[:, dim] += np.bincount(user, units[item, dim], num_users)
        squared += np.bincount(user, length[item], num_users)
        count += np.bincount(user, minlength=num_users)
    return UnitSums(total, squared, count)


def user_diversity(sums: UnitSums) -> Float64[A, " users"]:
    """The mean distance between two of the items that a user met, one met twice being two; NaN for fewer than two.

    Pairs of an item meeting with itself are left out, so its expectation does not depend on how many items were met.
    """
    return 1 - _pair_mean(np.square(sums.total).sum(axis=1), sums.squared, sums.count)


def inter_user_diversity(sums: UnitSums) -> float:
    """The mean over pairs of users of the squared distance between the means of their items' unit vectors.

    The scatter of few items around their mean is taken off, so its expectation does not depend on how many were met:
    it is twice what the distance between items of two users exceeds that between items of one (so a little below 0
    by chance where users are alike). NaN for fewer than two users who met at least two items.
    """
    known = sums.count > 1
    num_users = int(known.sum())
    if num_users < 2:
        return float("nan")
    centroid = sums.total[known] / sums.count[known, None]
    within = 1 - user_diversity(sums)[known]
    between = np.square(centroid.sum(axis=0)).sum() - np.square(centroid).sum()
    return float(2 * (within.mean() - between / (num_users * (num_users - 1))))


def _pair_mean(total: A, squared: A, count: A) -> A:
    """The mean cosine of two different members, from the squared length of the sum and the members' own."""
    pairs = count * (count - 1.0)
    return np.where(pairs > 0, (total - squared) / np.where(pairs > 0, pairs, 1.0), np.nan)
