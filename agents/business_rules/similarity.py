"""How alike items are by their public fields."""

import numpy as np
from jaxtyping import Float64, Int

from agents.business_rules.item_fields import item_field, values_of
from recsim_lab.policy import FeatureTable

A = np.ndarray

SIMILAR_BY = ("genre", "creator")
"""The fields of the lab's default world that say what an item is about and whose it is."""


class Similarity:
    """The cosine of candidates' one-hot and multi-hot vectors of some fields: values that two items share, divided by
    the geometric mean of how many each has. Between 0 and 1; 0 for an item without values.
    """

    def __init__(self, features: FeatureTable, fields: tuple[str, ...], candidates: Int[A, "rows candidates"]) -> None:
        self.values = [
            values_of(features, item_field(features, name, ("categorical", "multi"), "fields"), candidates)
            for name in fields
        ]
        self.num = sum(((values >= 0).sum(axis=2) for values in self.values), np.zeros(candidates.shape, np.int64))

    @property
    def shape(self) -> tuple[int, ...]:
        """The numbers of rows and of candidates."""
        return self.num.shape

    def to(self, chosen: Int[A, " rows"]) -> Float64[A, "rows candidates"]:
        """That of each candidate to the chosen one, counted from 0."""
        rows = np.arange(len(chosen))
        shared = np.zeros(self.num.shape, np.int64)
        for values in self.values:
            for value in values[rows, chosen].T:
                shared += (values == np.where(value < 0, -2, value)[:, None, None]).any(axis=2)
        # Whole numbers until here: equal pairs are equally alike to the last bit.
        return shared / np.sqrt(np.maximum(self.num * self.num[rows, chosen][:, None], 1))


def check_fields(fields: tuple[str, ...]) -> None:
    """Raise ValueError where no field is named, or one twice."""
    if not fields or len(set(fields)) < len(fields):
        raise ValueError(f"fields must name at least one field, each once, got {fields}")
