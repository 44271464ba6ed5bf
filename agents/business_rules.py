"""Rules of the house that hold for every policy: nothing again that was just consumed or just shown."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Int

from agents.wrapper import Wrapper
from recsim_lab.policy import TICKS_PER_DAY, Observation, Probabilities, Recommendation
from recsim_lab.streams import Draws

A = np.ndarray


@final
@dataclass(eq=False)
class RepeatRules(Wrapper):
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

    @property
    def name(self) -> str:
        return self.policy.name

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        return self.policy.recommend(self.apply(observation, num_slots), num_slots, draws)

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        return self.policy.probabilities(self.apply(observation, slates.shape[1]), slates)

    def apply(self, observation: Observation, num_slots: int) -> Observation:
        """The requests with the items blocked that the rules forbid."""
        age = observation.tick[:, None] - observation.clicked_tick
        clicked = np.where(age < self.days * TICKS_PER_DAY, observation.clicked, -1).astype(np.int32)
        shown = observation.shown.astype(np.int32)
        for forbidden in (clicked, shown):
            short = _short_of_items(observation.block(clicked).block(shown), num_slots)
            if not short.any():
                break
            forbidden[short] = -1
        return observation.block(clicked).block(shown)


def _short_of_items(observation: Observation, num_slots: int) -> Bool[A, " rows"]:
    """Whether each request has fewer than `num_slots` eligible items."""
    # Blocked items may repeat or not be on offer, so this is a lower bound, and mostly enough.
    fewest = observation.features.on_offer(observation.tick).sum(axis=1) - (observation.blocked >= 0).sum(axis=1)
    short = fewest < num_slots
    if short.any():
        short[short] = observation.take(np.flatnonzero(short)).eligible().sum(axis=1) < num_slots
    return short
