"""What public fields say of the items in given places: the values that each of them has."""

import numpy as np
from jaxtyping import Int

from recsim_lab.policy import FeatureTable, Field

A = np.ndarray


def item_field(features: FeatureTable, name: str, kinds: tuple[str, ...], parameter: str) -> Field:
    """The field of the items with this name, which must be of one of the kinds.

    Raises:
        ValueError: if there is none, naming those there are; `parameter` is what asked for it.
    """
    for field in features.item_fields:
        if field.name == name and field.kind in kinds:
            return field
    there = ", ".join(f"{field.name} ({field.kind})" for field in features.item_fields) or "none"
    raise ValueError(f"{parameter} must be a {' or '.join(kinds)} field of the items, got {name!r}; there are: {there}")


def values_of(features: FeatureTable, field: Field, items: Int[A, "rows places"]) -> Int[A, "rows places most"]:
    """The values, below the cardinality of the field, that each item has of it, padded with -1; item -1 has none.

    A categorical field gives one. The last axis is as long as the most that any item of the catalogue has.
    """
    column = features.items[field.name]
    if field.kind == "categorical":
        return np.where(items >= 0, column[items], -1)[:, :, None]
    place, value = np.nonzero(column[items.ravel()] & (items.ravel() >= 0)[:, None])
    num = np.bincount(place, minlength=items.size)
    values = np.full((items.size, max(int(column.sum(axis=1).max(initial=0)), 1)), -1)
    values[place, np.arange(len(place)) - (np.cumsum(num) - num)[place]] = value
    return values.reshape(*items.shape, values.shape[1])
