"""What is public of items, of users and of their past, as numbers for policies that read nothing else; never ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float32, Int

from recsim_lab.policy import TICKS_PER_DAY, FeatureTable, Field, Observation
from recsim_lab.simulation.utility import NUM_DEVICES

A = np.ndarray

HIDDEN = "hidden_"
"""How the names of the fields of a user's hidden state begin."""


@dataclass(frozen=True)
class PublicNumbers:
    """Categorical fields one-hot, numeric ones standardised, multi-valued ones as they are.

    A field of more than `most_codes` codes (a creator, say) is as good as an id and left out, and so is a number that
    is the same for all. Of the past, the newest `num_newest` clicks are told one by one.
    """

    features: FeatureTable
    most_codes: int = 64
    num_newest: int = 3

    def __post_init__(self) -> None:
        for name in ("most_codes", "num_newest"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")

    @cached_property
    def items(self) -> Float32[A, "items numbers"]:
        table = self.features
        return _numbers(table.item_fields, table.items, table.num_items, self.most_codes)

    @cached_property
    def users(self) -> Float32[A, "users numbers"]:
        table = self.features
        num_users = max((len(column) for column in table.users.values()), default=0)
        return _numbers(table.user_fields, table.users, num_users, self.most_codes)

    @cached_property
    def bound(self) -> float:
        """No number of an item, a user or their past is further from 0."""
        return float(max(1.0, np.abs(self.items).max(initial=0), np.abs(self.users).max(initial=0)))

    @cached_property
    def _padded(self) -> Float32[A, "padded numbers"]:
        """Items, and a last row of zeros for the padding -1."""
        return np.concatenate([self.items, np.zeros((1, self.items.shape[1]), np.float32)])

    def mean(self, items: Int[A, "rows some"]) -> Float32[A, "rows numbers"]:
        """Of the items of each row; -1 is none, and the mean of none is 0."""
        number = np.maximum((items >= 0).sum(axis=1, keepdims=True), 1)
        return self._padded[items].sum(axis=1) / number.astype(np.float32)

    def liked(self, observation: Observation) -> Float32[A, "rows numbers"]:
        """The mean of what the user clicked, as far as the observation goes back."""
        return self.mean(observation.clicked)

    def space(self, told: gymnasium.Space) -> Box:
        """The space of `requests` of one environment whose observations are `told`."""
        assert isinstance(told, gymnasium.spaces.Dict)
        example = {name: np.zeros((1, *(box.shape or ())), box.dtype) for name, box in told.items()}
        high = np.full(self.requests(Observation.of(example, self.features), example).shape[1], self.bound)
        if hidden := sum(values.size for name, values in example.items() if name.startswith(HIDDEN)):
            high[-hidden:] = np.inf
        return Box(-high.astype(np.float32), high.astype(np.float32), dtype=np.float32)

    def requests(self, observation: Observation, fields: Mapping[str, A]) -> Float32[A, "rows numbers"]:
        """The user, the moment and the past, then the user's last slates and hidden state where `fields` have them.

        Counts n are told as n / (n + c), which is 0 for none and nears 1 for many.
        """
        now = observation
        clicked, when = now.clicked, now.clicked_tick
        parts = [
            self.users[now.user] if self.users.size else np.zeros((len(now), 0)),
            now.device[:, None] == np.arange(NUM_DEVICES),
            _many(now.step, 5)[:, None],
            _many(now.session, 10)[:, None],
            np.sin(2 * np.pi / 24 * now.hour)[:, None],
            np.cos(2 * np.pi / 24 * now.hour)[:, None],
            self.liked(now),
            _many((clicked >= 0).sum(axis=1), 10)[:, None],
        ]
        if newest := min(self.num_newest, clicked.shape[1]):
            days = (now.tick[:, None] - when[:, -newest:]) / TICKS_PER_DAY
            parts += [self._padded[clicked[:, -newest:]].reshape(len(now), newest * self.items.shape[1])]
            parts += [np.where(clicked[:, -newest:] >= 0, 7 / (7 + np.maximum(days, 0)), 0)]
        this_visit = np.where(when == now.tick[:, None], clicked, -1)
        parts += [self.mean(now.shown), self.mean(this_visit), _many((this_visit >= 0).sum(axis=1), 5)[:, None]]
        if "recent_slates" in fields:
            slates, clicks = fields["recent_slates"], fields["recent_clicks"]
            for place in range(slates.shape[1]):
                slate, click = slates[:, place], clicks[:, place]
                there = slate >= 0
                parts += [there[:, :1], click > 0, self.mean(slate), self.mean(np.where(click > 0, slate, -1))]
        parts += [np.reshape(fields[n], (len(now), -1)) for n in sorted(fields) if n.startswith(HIDDEN)]
        return np.concatenate([part.astype(np.float32) for part in parts], axis=1)


def _numbers(fields: Sequence[Field], columns: Mapping[str, A], num_rows: int, most_codes: int) -> A:
    parts = [np.zeros((num_rows, 0), np.float32)]
    for field in fields:
        column = columns[field.name]
        if field.kind == "categorical" and field.cardinality <= most_codes:
            parts.append(column[:, None] == np.arange(field.cardinality))
        elif field.kind == "multi" and field.cardinality <= most_codes:
            parts.append(column)
        elif field.kind == "numeric":
            parts.append(((column - column.mean()) / (column.std() or 1))[:, None])
    values = np.concatenate([part.astype(np.float32) for part in parts], axis=1)
    return values[:, values.max(axis=0, initial=-np.inf) > values.min(axis=0, initial=np.inf)]


def _many(count: A, half: int) -> A:
    return count / (count + half)
