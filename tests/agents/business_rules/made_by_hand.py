"""Items with public fields, and a scorer whose order is given."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import NEVER, TICKS_PER_DAY, FeatureTable, Field, Observation, Scorer, gather

A = np.ndarray


def with_fields(features: FeatureTable, **columns: Any) -> FeatureTable:
    """The same items with fields: whole numbers are categorical, booleans multi, other numbers numeric."""
    fields, arrays = [], {}
    for name, values in columns.items():
        values = np.asarray(values)
        if values.dtype.kind == "b":
            fields.append(Field(name, "multi", values.shape[1]))
        elif values.dtype.kind == "i":
            fields.append(Field(name, "categorical", int(values.max()) + 1))
            values = values.astype(np.int32)
        else:
            fields.append(Field(name, "numeric"))
            values = values.astype(np.float32)
        arrays[name] = values
    return replace(features, item_fields=tuple(fields), items=arrays)


@dataclass(eq=False)
class Ordered(Scorer):
    """Shows the items of each user's row of scores, for every request alike if there is one row only."""

    values: A

    @property
    def name(self) -> str:
        return "ordered"

    def scores(self, observation: Observation, items: A | None = None) -> A:
        return gather(self.values[observation.user % len(self.values)], items)


def features_of(log: InteractionLog, num_items: int | None = None) -> FeatureTable:
    """The first items of the log with fields for every rule that re-orders, every third of them new on the second
    day."""
    item = np.arange(log.features.num_items if num_items is None else num_items)
    tags = np.random.default_rng(3).random((len(item), 5)) < 0.4
    first = {name: getattr(log.features, name)[: len(item)] for name in ("release", "withdrawal")}
    features = with_fields(replace(log.features, **first), genre=item % 4, creator=item % 7, tags=tags)
    return replace(features, release=np.where(item % 3 == 2, TICKS_PER_DAY + item, 0))


def observation_of(
    columns: Mapping[str, Any], num_rows: int, clicked: A | None = None, release: A | None = None, tick: int = 0
) -> Observation:
    """Requests of user 0 for items with these fields."""
    num_items = len(next(iter(columns.values())))
    nothing, number = np.zeros((num_rows, 0), np.int32), np.zeros(num_rows, np.int32)
    release = np.zeros(num_items, np.int64) if release is None else release
    return Observation(
        user=number,
        session=number,
        step=number,
        tick=np.full(num_rows, tick),
        device=number,
        clicked=nothing if clicked is None else clicked,
        clicked_tick=nothing if clicked is None else np.zeros_like(clicked),
        shown=nothing,
        features=with_fields(FeatureTable((), (), {}, {}, release, np.full(num_items, NEVER)), **columns),
        blocked=nothing,
    )
