"""The client answers with points in the space of item features, and the nearest items on offer fill the slate."""

from dataclasses import dataclass
from functools import cached_property

import gymnasium
import numba
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float, Float32, Int

from recsim_lab.compile import kernel
from recsim_lab.envs.wrappers.base import Requests, View
from recsim_lab.envs.wrappers.public_numbers import PublicNumbers
from recsim_lab.policy import Observation, top_items

A = np.ndarray


@dataclass(frozen=True)
class ProtoActions(View):
    """Proto-actions (Dulac-Arnold et al. 2015, "Deep reinforcement learning in large discrete action spaces").

    The action is a point for the whole slate, which the nearest items fill, nearest first; with `per_slot` one for
    each slot, from the top, which takes the nearest item that no slot above has. Its numbers are those of
    `PublicNumbers.items`: one-hot codes, standardised numbers. `nearest="euclidean"`: the smallest distance, points in
    the box that holds all items; `"dot"`: the largest dot product, where the action's length says nothing, in [-1, 1].
    Items alike in all that is public are equally near, and the first of them is taken.
    """

    per_slot: bool = False
    nearest: str = "euclidean"
    most_codes: int = 64

    def __post_init__(self) -> None:
        if self.nearest not in ("euclidean", "dot"):
            raise ValueError(f"nearest must be euclidean or dot, got {self.nearest!r}")
        if not self.numbers.items.shape[1]:
            raise ValueError(
                f"ProtoActions need items with public features of 2 to most_codes={self.most_codes} codes, "
                f"got none in world {self.seats.world.name!r}"
            )

    @cached_property
    def numbers(self) -> PublicNumbers:
        return PublicNumbers(self.seats.world.features, self.most_codes)

    @cached_property
    def _columns(self) -> Float32[A, "numbers items"]:
        return np.ascontiguousarray(self.numbers.items.T)

    @property
    def action_space(self) -> gymnasium.Space:
        items = self.numbers.items
        low, high = items.min(axis=0), items.max(axis=0)
        if self.nearest == "dot":
            low, high = np.full_like(low, -1), np.full_like(high, 1)
        if self.per_slot:
            low, high = (np.tile(side, (self.seats.num_slots, 1)) for side in (low, high))
        return Box(low, high, dtype=np.float32)

    def translate(self, actions: A, requests: Requests) -> A:
        num_slots, space = self.seats.num_slots, self.action_space
        points = np.asarray(actions, np.float32)
        if points.shape != (len(requests), *(space.shape or ())):
            raise ValueError(f"actions must have shape {(len(requests), *(space.shape or ()))}, got {points.shape}")
        if not np.isfinite(points).all():
            raise ValueError("actions must be finite, got NaN or infinity")
        if not self.per_slot:
            return self._nearest(points, requests.observation)
        # As many of the nearest for each slot as there are slots: one of them is free, whatever those above took.
        rows = np.repeat(np.arange(len(points)), num_slots)
        near = self._nearest(points.reshape(-1, points.shape[2]), requests.observation.take(rows))
        near = near.reshape(len(points), num_slots, num_slots)
        slate = np.full((len(points), num_slots), -1, np.int32)
        for slot in range(num_slots):
            taken = (near[:, slot, :, None] == slate[:, None, :slot]).any(axis=2)
            slate[:, slot] = near[np.arange(len(points)), slot, taken.argmin(axis=1)]
        return slate

    def _nearest(self, points: Float[A, "rows numbers"], observation: Observation) -> Int[A, "rows slots"]:
        scores = np.empty((len(points), self._columns.shape[1]), np.float32)
        _near(points, self._columns, self.nearest == "euclidean", scores)
        return top_items(scores, observation.eligible(), self.seats.num_slots)


@kernel
def _near(points, columns, euclidean, scores):  # type: ignore[no-untyped-def]
    """The dot product of each point and item, or minus their squared distance. Summed in the order of the numbers, so
    that ties are ties in a batch of any size, which matrix products do not warrant."""
    for row in numba.prange(len(points)):
        scores[row] = 0
        for number in range(len(columns)):
            value = points[row, number]
            for item in range(columns.shape[1]):
                if euclidean:
                    away = value - columns[number, item]
                    scores[row, item] -= away * away
                else:
                    scores[row, item] += value * columns[number, item]
