"""Public features of users and items as columns, which a linear model crosses with each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.policy import FeatureTable, Field

A = np.ndarray

MOST_CODES = 32
"""Columns of one field: codes beyond are folded onto them, `code % MOST_CODES` (feature hashing)."""
MOST_PAIRS = 2500
"""Columns of users times columns of items: the model inverts a matrix of this size."""
MOST_DEVIATIONS = 3.0
"""Numbers further from their mean, in standard deviations, count as this far."""


@dataclass(frozen=True, eq=False)
class Design:
    """The columns of users and of items; the features of a pair are all products of one of each.

    Each side has a column of ones first, then one for each code of a categorical field, one for each numeric field
    (standardised over the table), and one for each value of a multi-valued field, where each of the k values that a
    row has counts 1/k. So products hold a constant, both sides alone, and their crosses. A side without declared
    fields has the ones alone.
    """

    features: FeatureTable
    users: Float[A, "users user_columns"]
    items: Float[A, "items item_columns"]

    @staticmethod
    def of(features: FeatureTable) -> "Design":
        """
        Raises:
            ValueError: if there are more than `MOST_PAIRS` products of columns.
        """
        users = _columns(features.user_fields, features.users, 1)
        items = _columns(features.item_fields, features.items, features.num_items)
        if (num := users.shape[1] * items.shape[1]) > MOST_PAIRS:
            raise ValueError(
                f"declared fields must make at most {MOST_PAIRS} pairs of columns, got {users.shape[1]} of users "
                f"times {items.shape[1]} of items: {num}"
            )
        return Design(features, users, items)

    @property
    def num_features(self) -> int:
        return self.users.shape[1] * self.items.shape[1]

    def distinct(self, user: Int[A, " rows"]) -> tuple[Float[A, "kinds user_columns"], Int[A, " rows"]]:
        """The different rows that the users have, and which one each has."""
        if self.users.shape[1] == 1:
            return np.ones((1, 1)), np.zeros(len(user), np.int64)
        known, place = np.unique(user, return_inverse=True)
        kinds, kind = np.unique(self.users[known], axis=0, return_inverse=True)
        return kinds, kind.reshape(-1)[place]


def squares(columns: Float[A, "rows columns"]) -> Float[A, "rows squares"]:
    """The products of each two columns, each pair once."""
    first, second = np.triu_indices(columns.shape[1])
    return columns[:, first] * columns[:, second]


def unpacked(packed: Float[A, "user_squares item_squares"], num_users: int, num_items: int) -> Float[A, "pairs pairs"]:
    """A symmetric matrix of pairs of columns, out of the products of `squares` of both sides."""
    user_place, item_place = (_places(num) for num in (num_users, num_items))
    matrix = packed[user_place[:, :, None, None], item_place]
    return matrix.transpose(0, 2, 1, 3).reshape(num_users * num_items, -1)


def _places(num: int) -> Int[A, "columns columns"]:
    place = np.empty((num, num), np.int64)
    first, second = np.triu_indices(num)
    place[first, second] = place[second, first] = np.arange(len(first))
    return place


def _columns(fields: Sequence[Field], columns: Mapping[str, A], num_rows: int) -> Float[A, "rows columns"]:
    parts = [np.ones((len(columns[fields[0].name]) if fields else num_rows, 1))]
    for field in fields:
        values = columns[field.name]
        if field.kind == "categorical":
            parts.append(np.eye(min(field.cardinality, MOST_CODES))[values % MOST_CODES])
        elif field.kind == "multi":
            parts.append(_shares(values))
        else:
            if not (finite := np.isfinite(values)).all():
                raise ValueError(f"numbers of {field.name!r} must be finite, got {values[~finite][0]}")
            numbers = values.astype(np.float64)
            deviations = (numbers - numbers.mean()) / (numbers.std() or 1.0)
            parts.append(np.clip(deviations, -MOST_DEVIATIONS, MOST_DEVIATIONS)[:, None])
    return np.concatenate(parts, axis=1)


def _shares(values: Bool[A, "rows codes"]) -> Float[A, "rows columns"]:
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    folded = np.zeros((len(values), min(values.shape[1], MOST_CODES)))
    for start in range(0, values.shape[1], MOST_CODES):
        part = shares[:, start : start + MOST_CODES]
        folded[:, : part.shape[1]] += part
    return folded
