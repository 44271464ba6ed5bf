"""Nothing again that was just consumed or just shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Int

from agents.business_rules.forbidding import Forbidding
from recsim_lab.policy import TICKS_PER_DAY, Observation

A = np.ndarray


@final
@dataclass(eq=False)
class RepeatRules(Forbidding):
    """Shows nothing that the user clicked less than `days` days ago, and nothing twice in a session.

    The rules know what the observation shows: the last clicks up to its history, and the last slates of the session.
    Give the platform a `history` that holds `days` days of clicks.

    Where a request has too few items left for its slate, the clicked ones are allowed again, and if that is still
    too few, all. With `days=0` only the session counts. The policy inside keeps its name.
    """

    days: float | int = 7

    def __post_init__(self) -> None:
        if not self.days >= 0:
            raise ValueError(f"days must be at least 0, got {self.days}")

    def forbidden(self, observation: Observation) -> Sequence[Int[A, "rows _"]]:
        age = observation.tick[:, None] - observation.clicked_tick
        clicked = np.where(age < self.days * TICKS_PER_DAY, observation.clicked, -1)
        return clicked, observation.shown
