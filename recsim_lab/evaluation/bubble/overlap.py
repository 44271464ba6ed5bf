"""Do two users meet the same items?"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int
from scipy import sparse

from recsim_lab.evaluation.bubble.interactions import Interactions

A = np.ndarray

Pairs = Mapping[str, Int[A, "_ 2"]]
"""Pairs of users by kind (`PAIR_KINDS`); the metrics of a kind that is absent are NaN."""

_BLOCK = 1 << 14


def jaccard(met: Interactions, pairs: Int[A, "pairs 2"], num_users: int, num_items: int) -> Float64[A, " pairs"]:
    """Items that both users of a pair met, divided by items that either met (Chaney, Stewart & Engelhardt 2018).

    NaN where a user of the pair met nothing: there is no likeness to speak of. It falls as either meets more or fewer
    than the other, so compare equal numbers (`rarefaction`).
    """
    counts = user_item_counts(met, pairs, num_users, num_items)
    sets = sparse.csr_array((np.ones(counts.nnz), counts.indices, counts.indptr), shape=counts.shape)
    shared = shared_weight(sets, pairs)
    first, second = np.diff(sets.indptr)[pairs].T
    return np.where((first > 0) & (second > 0), shared / np.maximum(first + second - shared, 1), np.nan)


def user_item_counts(met: Interactions, users: Int[A, "*some"], num_users: int, num_items: int) -> sparse.csr_array:
    """How often each of the given users met each item, sparse; rows of other users are empty."""
    asked = np.zeros(num_users, bool)
    asked[users] = True
    rows, items = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for user, item in met.blocks():
        kept = asked[user]
        rows.append(user[kept].astype(np.int32))
        items.append(item[kept].astype(np.int32))
    place = np.concatenate(rows), np.concatenate(items)
    return sparse.csr_array((np.ones(len(place[0]), np.int32), place), shape=(num_users, num_items))


def shared_weight(sets: sparse.csr_array, pairs: Int[A, "pairs 2"]) -> Float64[A, " pairs"]:
    """The dot product of the rows of the two users of each pair."""
    products = [np.zeros(0)]
    for start in range(0, len(pairs), _BLOCK):
        first, second = pairs[start : start + _BLOCK].T
        products.append(np.asarray(sets[first].multiply(sets[second]).sum(axis=1)).ravel())
    return np.concatenate(products)
