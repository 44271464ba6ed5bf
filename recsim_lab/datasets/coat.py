"""Coat: ratings of coats that users chose to rate, and of coats drawn at random for them.

Schnabel et al., ICML 2016, "Recommendations as Treatments": what is learned on the self-selected ratings is judged on
the uniformly random ones, where nothing is missing for a reason.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.datasets.arrays import ArrayLayout, check_counts, check_range, find_file, read_arrays

A = np.ndarray

COAT_FILE = "coat/coat.npz"

_COUNTS = {"users": 290, "items": 300, "ratings to train on": 6_960, "ratings to test on": 4_640}


@final
@dataclass(frozen=True, eq=False)
class RatedPairs:
    """A row per rating, by user then item; ratings are 1 to 5, float32."""

    user: Int[A, " ratings"]
    item: Int[A, " ratings"]
    rating: Float[A, " ratings"]


@final
@dataclass(frozen=True, eq=False)
class Coat:
    """Self-selected ratings to train on, random ones to test on, and how likely each pair was to be rated.

    `propensities` are those published with the data: the chance that a pair is among `train`, in (0, 1]. Features are
    indicators of categories, one of each kind (user: gender, age, location, interest; item: gender, type, colour,
    whether on the front page).
    """

    train: RatedPairs
    test: RatedPairs
    propensities: Float[A, "users items"]
    user_features: Bool[A, "users user_features"]
    item_features: Bool[A, "items item_features"]

    @property
    def num_users(self) -> int:
        return self.propensities.shape[0]

    @property
    def num_items(self) -> int:
        return self.propensities.shape[1]

    @property
    def train_propensities(self) -> Float[A, " ratings"]:
        """The propensity of each rating to train on."""
        return self.propensities[self.train.user, self.train.item]


def load_coat(path: str | os.PathLike[str] | None = None) -> Coat:
    """290 users x 300 items with 6,960 and 4,640 ratings, from RECSIM_DATA or at `path`.

    Raises `FileNotFoundError` where the file isn't there, and `DataFileError` where its content isn't as said or isn't
    counted as published.
    """
    file = find_file(path, COAT_FILE)
    coat = read_coat(file)
    counts = (coat.num_users, coat.num_items, len(coat.train.rating), len(coat.test.rating))
    check_counts(file, _COUNTS, dict(zip(_COUNTS, counts, strict=True)))
    return coat


def read_coat(path: Path) -> Coat:
    """An archive of matrices [users, items]: `train` and `test` (0: not rated) and `propensities`; and features."""
    matrices = read_arrays(path, {"train": ArrayLayout("integers", (None, None))})
    num_users, num_items = matrices["train"].shape
    arrays = matrices | read_arrays(
        path,
        {
            "test": ArrayLayout("integers", (num_users, num_items)),
            "propensities": ArrayLayout("floats", (num_users, num_items)),
            "user_features": ArrayLayout("integers", (num_users, None)),
            "item_features": ArrayLayout("integers", (num_items, None)),
        },
    )
    for name in ("train", "test"):
        check_range(path, name, arrays[name], 0, 5)
    for name in ("user_features", "item_features"):
        check_range(path, name, arrays[name], 0, 1)
    check_range(path, "propensities", arrays["propensities"], float(np.finfo(np.float32).tiny), 1)
    return Coat(
        _pairs(arrays["train"]),
        _pairs(arrays["test"]),
        arrays["propensities"].astype(np.float32),
        arrays["user_features"] > 0,
        arrays["item_features"] > 0,
    )


def _pairs(ratings: Int[A, "users items"]) -> RatedPairs:
    user, item = np.nonzero(ratings)
    return RatedPairs(user.astype(np.int32), item.astype(np.int32), ratings[user, item].astype(np.float32))
