"""What reads the hidden truth while a platform serves, for evaluation."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Int

from recsim_lab.policy import Observation
from recsim_lab.simulation.sessions import Sessions

A = np.ndarray


class Probe(ABC):
    """Looks at requests and changes nothing."""

    @abstractmethod
    def __call__(
        self, sessions: Sessions, rows: Int[A, " rows"], observation: Observation, slates: Int[A, "rows slots"]
    ) -> None:
        """These users are about to answer these slates."""

    def figures(self) -> dict[str, float]:
        """What the day that ends adds to its row of `Platform.daily`, which checkpoints keep."""
        return {}
