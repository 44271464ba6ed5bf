"""Policies whose slates are known by heart, for the tests of mixes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from recsim_lab.policy import Observation, Policy, Scorer, gather

A = np.ndarray


@dataclass(eq=False)
class Fixed(Scorer):
    """Prefers the given items in the given order, then the others by their number."""

    called: str
    order: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.called

    def scores(self, observation: Observation, items: A | None = None) -> A:
        scores = -np.arange(observation.features.num_items, dtype=np.float32)
        scores[list(self.order)] = np.arange(len(self.order), 0, -1)
        return gather(np.tile(scores, (len(observation), 1)), items)


@pytest.fixture
def fixed() -> Callable[..., Policy]:
    return lambda called, *order: Fixed(called, order)
