"""What every recommender must beat: items at random, and the items that most users click."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float, Float32, Int

from agents.base import ArrayAgent, check_catalogue, indifferent, learned
from agents.eligible import can_stand, draw_unplaced, eligible_items
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import TICKS_PER_DAY, Observation, Recommendation, Scorer, answered
from recsim_lab.probabilities import NUM_REDRAWS, PairProbabilities, Probabilities, check_pairs, exactly
from recsim_lab.streams import Draws

A = np.ndarray

RANDOM = "random"
"""The source of what was drawn at random from all that could be shown."""
_PICK = 0


@final
@dataclass(eq=False)
class Random(ArrayAgent):
    """Fills each slot with an eligible item drawn uniformly from those not yet in the slate."""

    family: ClassVar[str] = RANDOM

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        eligible = eligible_items(observation, num_slots)
        uniform = draws.uniform(_PICK, num_slots)
        numbers = np.empty((len(observation), num_slots), np.int64)
        for slot in range(num_slots):
            numbers[:, slot] = draw_unplaced(uniform[:, slot], eligible.num, numbers[:, :slot])
        told = _uniform_probabilities(eligible.num, numbers)
        return answered(eligible.item(numbers), told, np.zeros(numbers.shape, np.int16), (self.name,))

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        eligible = eligible_items(observation, slates.shape[1])
        return _uniform_probabilities(eligible.num, eligible.number(slates))

    def pair_probabilities(
        self,
        observation: Observation,
        candidates: Int[A, "rows candidates"],
        num_slots: int,
        num_redraws: int = NUM_REDRAWS,
    ) -> PairProbabilities:
        """Exact: 1/n for an item in a slot, 1/(n(n - 1)) for two items in two slots."""
        check_pairs(candidates)
        eligible = eligible_items(observation, num_slots)
        num, possible = eligible.num[:, None, None].astype(np.float64), eligible.number(candidates) >= 0
        num_candidates = candidates.shape[1]
        slot, place = np.divmod(np.arange(num_slots * num_candidates), num_candidates)
        there = possible[:, place]
        two = (slot[:, None] != slot) & (place[:, None] != place)
        value = np.where(two, 1 / (num * np.maximum(num - 1, 1)), 0.0) + np.eye(len(slot)) / num
        value = (value * (there[:, :, None] & there[:, None, :])).astype(np.float32)
        return PairProbabilities(candidates, value, np.zeros_like(value))

    def learn(self, log: InteractionLog) -> None:
        """There is nothing to learn."""


def _uniform_probabilities(num: Int[A, " rows"], numbers: Int[A, "rows slots"]) -> Probabilities:
    marginal = np.where(numbers >= 0, 1.0 / num[:, None], 0.0)
    # 1/n, then 1/(n - 1), ... as long as the slate could be drawn.
    left = num[:, None] - np.arange(numbers.shape[1])
    prefix = np.cumprod(can_stand(numbers) / left, axis=1)
    return exactly(marginal, prefix)


@final
@dataclass(eq=False)
class Popularity(ArrayAgent, Scorer):
    """Shows everyone the items that were clicked most.

    `by="clicks"` counts clicks. `by="rate"` divides them by impressions + `prior_impressions`: under random
    logging this is the fairer measure, since items released late were shown less; where a policy chose what is
    shown, counts also tell which items it preferred. Only the last `window_days` of the log count (None: all).
    An item without clicks scores 0, the lowest.
    """

    family: ClassVar[str] = "popularity"

    window_days: float | None = None
    by: Literal["clicks", "rate"] = "clicks"
    prior_impressions: float = 100.0
    popularity: Float[A, " items"] = learned(1)

    def __post_init__(self) -> None:
        if self.window_days is not None and not self.window_days > 0:
            raise ValueError(f"window_days must be above 0 or None, got {self.window_days}")
        if self.by not in ("clicks", "rate"):
            raise ValueError(f"by must be 'clicks' or 'rate', got {self.by!r}")
        if not self.prior_impressions > 0:
            raise ValueError(f"prior_impressions must be above 0, got {self.prior_impressions}")

    def learn(self, log: InteractionLog) -> None:
        """Start anew from this log, counting back from its last slate."""
        recent = slice(None)
        if self.window_days is not None and len(log):
            recent = log.tick > log.tick.max() - self.window_days * TICKS_PER_DAY
        slate, clicked = log.slate[recent], log.clicks[recent]
        num_items = log.features.num_items
        popularity = np.bincount(slate[clicked], minlength=num_items).astype(np.float64)
        if self.by == "rate":
            popularity /= np.bincount(slate[slate >= 0], minlength=num_items) + self.prior_impressions
        self.popularity = popularity.astype(np.float32)

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float32[A, "rows candidates"]:
        if not len(self.popularity):
            return indifferent(observation, items)
        check_catalogue(len(self.popularity), observation.features)
        if items is not None:
            return self.popularity[items]
        return np.broadcast_to(self.popularity, (len(observation), len(self.popularity)))
