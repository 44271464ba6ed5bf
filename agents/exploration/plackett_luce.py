"""Boltzmann exploration of whole slates: the higher an item's score, the likelier it comes first (Plackett-Luce)."""

from dataclasses import dataclass
from typing import final

import numba
import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from agents.base import LOWEST, named_with
from agents.exploration.arrivals import arrival_probability
from agents.exploration.race import Race, in_pieces, only_first, told_in_pieces
from agents.wrapper import Wrapper
from recsim_lab.compile import kernel
from recsim_lab.policy import Observation, Recommendation, Scorer, answered, check_slots
from recsim_lab.probabilities import Probabilities, exactly
from recsim_lab.streams import Draws

A = np.ndarray

_ROUNDING = 1e-6
"""Scores whose standard deviation is a smaller share of their mean are equal but for rounding."""


@final
@dataclass(eq=False)
class PlackettLuce(Wrapper):
    """Fills each slot with an item drawn from those not yet placed in proportion to exp(score / `temperature`).

    Scores are counted in standard deviations of the request's eligible items, so that a temperature means the same
    around any model and for any user: an item whose score is one deviation higher is exp(1 / temperature) times as
    likely to come first, whatever the scores' zero and unit. Of n items with normal scores, temperatures far below
    1 / sqrt(2 ln n) (.23 for 10,000 items) are nearly greedy, far above it nearly random. With `standardised=False`
    scores count as they are: a model whose scores are log-odds or logits of a softmax then shows items as often as it
    believes in them, at temperature 1. Items that the model has no ground to judge count neither way and come last.

    Prefixes are exact, marginals in the first slot too; in later slots `recommend` says NaN, and `probabilities`
    integrates over the time at which an item arrives, which is right to eight digits.
    """

    temperature: float | int
    standardised: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.policy, Scorer):
            raise ValueError(f"policy must be a scorer, around which rules and other parts go, got {self.policy.name}")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be above 0 and finite, got {self.temperature}")

    @property
    def name(self) -> str:
        parameters: dict[str, float | int | str] = {"boltzmann": self.temperature}
        return named_with(self.policy.name, parameters if self.standardised else parameters | {"standardised": "false"})

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        eligible, scores = observation.eligible(), self._scores(observation)
        check_slots(eligible, num_slots)
        items = np.empty((len(observation), num_slots), np.int32)
        prefix = np.empty(items.shape)
        for rows in in_pieces(len(observation), eligible.shape[1]):
            race = self._race(scores[rows], eligible[rows])
            items[rows], chance = race.draw(num_slots, draws.take(np.arange(len(draws))[rows]))
            prefix[rows] = np.cumprod(chance, axis=1)
        told = exactly(only_first(prefix), prefix)
        return answered(items, told, np.zeros(items.shape, np.int16), (self.name,))

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        eligible, scores = observation.eligible(), self._scores(observation)
        check_slots(eligible, slates.shape[1])

        def tell(requests: Observation, slates: Int[A, "piece slots"], rows: slice) -> Probabilities:
            race = self._race(scores[rows], eligible[rows])
            prefix = np.cumprod(race.next_probability(slates), axis=1)
            return exactly(arrival_probability(race.logits, slates), prefix)

        return told_in_pieces(observation, slates, tell)

    def _scores(self, observation: Observation) -> Float[A, "rows items"]:
        assert isinstance(self.policy, Scorer)
        return self.policy.scores(observation)

    def _race(self, scores: Float[A, "rows items"], eligible: Bool[A, "rows items"]) -> Race:
        if self.standardised:
            scores = standardised(scores, eligible & (scores > LOWEST))
        return Race.of(scores / self.temperature, eligible)


def standardised(scores: Float[A, "rows items"], judged: Bool[A, "rows items"]) -> Float64[A, "rows items"]:
    """Scores less the mean of each request's judged items, in their standard deviations."""
    own = np.empty(scores.shape)
    _standardise(scores, judged, own)
    return own


@kernel
def _standardise(scores, judged, own):  # type: ignore[no-untyped-def]
    for row in numba.prange(len(scores)):
        num, total, squares = 0, 0.0, 0.0
        for item in range(scores.shape[1]):
            if judged[row, item]:
                num, total = num + 1, total + scores[row, item]
        mean = total / max(num, 1)
        for item in range(scores.shape[1]):
            own[row, item] = scores[row, item] - mean
            if judged[row, item]:
                squares += own[row, item] ** 2
        deviation = np.sqrt(squares / max(num, 1))
        own[row] /= max(abs(mean), 1.0) if deviation <= _ROUNDING * abs(mean) else deviation
