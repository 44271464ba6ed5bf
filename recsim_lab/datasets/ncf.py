"""MovieLens-1M under the protocol of Neural Collaborative Filtering: one held-out item among 99 fixed negatives.

He et al., WWW 2017; also the ground on which Rendle et al. (RecSys 2020, "Neural Collaborative Filtering vs. Matrix
Factorization Revisited") compare dot products with learned similarities.
"""

import os
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Int

from recsim_lab.datasets.arrays import ArrayLayout, check_counts, check_range, find_file, read_arrays
from recsim_lab.datasets.files import DataFileError

A = np.ndarray

NCF_FILES = ("ml-1m/ratings.npz", "ml-1m/ncf_test_candidates.npz")

_COUNTS = {"train rows": 994_169, "users": 6_040, "items": 3_706, "candidates a user": 100}


@final
@dataclass(frozen=True, eq=False)
class HeldOutAmongNegatives:
    """What users have chosen, and for each of them the items to rank: column 0 held out, the others negatives.

    `user` and `item` are the pairs to train on, by user, a pair once; ids are dense from 0. Negatives were drawn with
    replacement, and a few rows hold an item twice or even the held-out item again: rank such repeats once.
    """

    user: Int[A, " interactions"]
    item: Int[A, " interactions"]
    candidates: Int[A, "users candidates"]
    num_items: int

    @property
    def num_users(self) -> int:
        return len(self.candidates)


def load_ncf(
    ratings: str | os.PathLike[str] | None = None, candidates: str | os.PathLike[str] | None = None
) -> HeldOutAmongNegatives:
    """The 994,169 pairs to train on and the candidates [6040, 100], from the two files `NCF_FILES` under RECSIM_DATA.

    `ratings` has a row per rating with `user_id` (from 1) and `ncf_item`; `candidates` a row per user. Raises
    `FileNotFoundError` where one isn't there, and `DataFileError` where its content isn't as said or isn't counted
    as published.
    """
    ratings_file, candidates_file = find_file(ratings, NCF_FILES[0]), find_file(candidates, NCF_FILES[1])
    found = read_ncf(ratings_file, candidates_file)
    counts = (len(found.user), found.num_users, found.num_items, found.candidates.shape[1])
    check_counts(ratings_file, _COUNTS, dict(zip(_COUNTS, counts, strict=True)))
    return found


def read_ncf(ratings: str | os.PathLike[str], candidates: str | os.PathLike[str]) -> HeldOutAmongNegatives:
    """The same for files of any size."""
    ratings_file, candidates_file = find_file(ratings, ""), find_file(candidates, "")
    rows = read_arrays(ratings_file, {name: ArrayLayout("integers", (None,)) for name in ("user_id", "ncf_item")})
    listed = read_arrays(candidates_file, {"candidates": ArrayLayout("integers", (None, None))})["candidates"]
    num_users = len(listed)
    check_range(ratings_file, "user_id", rows["user_id"], 1, num_users)
    check_range(ratings_file, "ncf_item", rows["ncf_item"], 0, np.inf)
    user = (rows["user_id"] - 1).astype(np.int32)
    item = rows["ncf_item"].astype(np.int32)
    num_items = int(item.max(initial=-1)) + 1
    check_range(candidates_file, "candidates", listed, 0, num_items - 1)

    held_out = item == listed[user, 0]
    times = np.bincount(user[held_out], minlength=num_users)
    if (times != 1).any():
        wrong = int(np.flatnonzero(times != 1)[0])
        expected = f"each user's held-out item once among the rows of {ratings_file.name}"
        raise DataFileError(str(candidates_file), None, expected, f"{times[wrong]} times in row {wrong}")
    order = np.argsort(user[~held_out], kind="stable")
    return HeldOutAmongNegatives(user[~held_out][order], item[~held_out][order], listed.astype(np.int32), num_items)
