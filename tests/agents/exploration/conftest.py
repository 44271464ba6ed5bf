"""A scorer whose scores are written by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from recsim_lab.policy import Observation, Scorer, gather

A = np.ndarray


@dataclass
class Fixed(Scorer):
    """The same scores for every request."""

    values: A

    @property
    def name(self) -> str:
        return "fixed"

    def scores(self, observation: Observation, items: A | None = None) -> A:
        return gather(np.tile(self.values, (len(observation), 1)), items)


@pytest.fixture
def fixed() -> Callable[[Sequence[float] | A], Scorer]:
    """Makes a scorer that gives every request these scores."""
    return lambda values: Fixed(np.asarray(values, np.float64))
