"""Ratings as columns: who rated what, how high and when, with what is known of users and items."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int

A = np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Ratings:
    """One row per rating, oldest first; ratings of the same second stand in the order of the file.

    `user` and `item` are dense indexes into the arrays of users and items; those may also list users and items
    without a rating.

    Fields beyond the obvious:
        rating: stars.
        timestamp: seconds since 1970-01-01 UTC, never falling.
        user_ids, item_ids: the data set's own ids, rising.
        titles: as the data set writes them, year included.
        genres: names of the columns of `item_genres`; an item may have none.
        years: year of release, -1 where unknown.
        user_features: category codes by feature; `user_feature_names` names the categories, by code.
    """

    user: Int[A, " ratings"]
    item: Int[A, " ratings"]
    rating: Float[A, " ratings"]
    timestamp: Int[A, " ratings"]
    user_ids: Int[A, " users"]
    item_ids: Int[A, " items"]
    titles: tuple[str, ...]
    genres: tuple[str, ...]
    item_genres: Bool[A, "items genres"]
    years: Int[A, " items"]
    user_features: dict[str, Int[A, " users"]]
    user_feature_names: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        for name in ("item", "rating", "timestamp"):
            _check_length(name, len(getattr(self, name)), self.num_ratings, "user")
        for name in ("titles", "item_genres", "years"):
            _check_length(name, len(getattr(self, name)), self.num_items, "item_ids")
        _check_length("item_genres' second axis", self.item_genres.shape[1], len(self.genres), "genres")
        _check_codes("user", self.user, self.num_users)
        _check_codes("item", self.item, self.num_items)
        for name in ("user_ids", "item_ids"):
            _check_rising(name, getattr(self, name), strictly=True)
        _check_rising("timestamp", self.timestamp, strictly=False)
        if not np.isfinite(self.rating).all():
            raise ValueError(f"rating must be finite, got {self.rating[~np.isfinite(self.rating)][0]}")
        if self.user_features.keys() != self.user_feature_names.keys():
            raise ValueError(
                f"user_feature_names must name the features {sorted(self.user_features)}, "
                f"got {sorted(self.user_feature_names)}"
            )
        for name, codes in self.user_features.items():
            _check_length(f"user_features[{name!r}]", len(codes), self.num_users, "user_ids")
            _check_codes(f"user_features[{name!r}]", codes, len(self.user_feature_names[name]))

    @property
    def num_ratings(self) -> int:
        return len(self.user)

    @property
    def num_users(self) -> int:
        """Users listed, with or without a rating."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """Items listed, with or without a rating."""
        return len(self.item_ids)

    def ratings_per_user(self) -> Int[A, " users"]:
        return np.bincount(self.user, minlength=self.num_users)

    def ratings_per_item(self) -> Int[A, " items"]:
        return np.bincount(self.item, minlength=self.num_items)

    def subset(self, rows: Bool[A, " ratings"] | Int[A, " rows"]) -> "Ratings":
        """The ratings at `rows` (a mask, or row numbers in any order), oldest first, with all users and items."""
        if rows.dtype != bool:
            rows = np.sort(rows)
        return replace(
            self,
            user=self.user[rows],
            item=self.item[rows],
            rating=self.rating[rows],
            timestamp=self.timestamp[rows],
        )

    def with_min_ratings(self, per_item: int, per_user: int) -> "Ratings":
        """The largest part in which every item and every user has at least so many ratings, indexed anew.

        Taking out an item may bring a user below the bound and the other way round, so both are taken out in
        turn until nothing changes. A bound of 0 keeps who or what has no rating.
        """
        for name, bound in (("per_item", per_item), ("per_user", per_user)):
            if bound < 0:
                raise ValueError(f"{name} must be at least 0, got {bound}")
        rows = np.ones(self.num_ratings, dtype=bool)
        while True:
            items = np.bincount(self.item[rows], minlength=self.num_items) >= per_item
            users = np.bincount(self.user[rows], minlength=self.num_users) >= per_user
            kept = rows & items[self.item] & users[self.user]
            if np.array_equal(kept, rows):
                break
            rows = kept
        if not rows.any():
            raise ValueError(f"no rating is left with per_item={per_item} and per_user={per_user}")
        return Ratings(
            user=_dense_codes(users)[self.user[rows]],
            item=_dense_codes(items)[self.item[rows]],
            rating=self.rating[rows],
            timestamp=self.timestamp[rows],
            user_ids=self.user_ids[users],
            item_ids=self.item_ids[items],
            titles=tuple(self.titles[item] for item in np.flatnonzero(items)),
            genres=self.genres,
            item_genres=self.item_genres[items],
            years=self.years[items],
            user_features={name: codes[users] for name, codes in self.user_features.items()},
            user_feature_names=self.user_feature_names,
        )

    def split_by_time(self, test_share: float) -> tuple["Ratings", "Ratings"]:
        """(train, test): the newest `test_share` of all ratings, to the nearest whole one, are the test.

        Both sides list all users and items, so a test may hold users or items that the train side never rated.
        """
        if not 0 < test_share < 1:
            raise ValueError(f"test_share must be in (0, 1), got {test_share}")
        num_train = self.num_ratings - round(self.num_ratings * test_share)
        if not 0 < num_train < self.num_ratings:
            raise ValueError(
                f"test_share must leave ratings on both sides, got {test_share} of {self.num_ratings} ratings"
            )
        rows = np.arange(self.num_ratings)
        return self.subset(rows < num_train), self.subset(rows >= num_train)


def _dense_codes(kept: Bool[A, " old"]) -> Int[A, " old"]:
    """New index of each kept position, counted from 0; meaningless at the others."""
    return (np.cumsum(kept) - 1).astype(np.int32)


def _check_length(name: str, length: int, expected: int, other: str) -> None:
    if length != expected:
        raise ValueError(f"{name} must be as long as {other} ({expected}), got {length}")


def _check_codes(name: str, codes: Int[A, " any"], num_codes: int) -> None:
    outside = (codes < 0) | (codes >= num_codes)
    if outside.any():
        raise ValueError(f"{name} must be in [0, {num_codes}), got {codes[outside][0]}")


def _check_rising(name: str, values: Int[A, " any"], *, strictly: bool) -> None:
    steps = np.diff(values)
    wrong = np.flatnonzero(steps <= 0 if strictly else steps < 0)
    if wrong.size:
        rule = "rise" if strictly else "not fall"
        raise ValueError(f"{name} must {rule}, got {values[wrong[0]]} before {values[wrong[0] + 1]}")
