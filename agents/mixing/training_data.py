"""Whose slots a policy learns from is a choice: everybody's, its own, or those that showed random items."""

from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
from jaxtyping import Int

from agents.base import named_with
from agents.mixing.sources import is_of, is_random, within
from agents.wrapper import Wrapper
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Recommendation
from recsim_lab.probabilities import NUM_REDRAWS, PairProbabilities, Probabilities
from recsim_lab.streams import Draws

A = np.ndarray


@final
@dataclass(eq=False)
class TrainedOn(Wrapper):
    """Hands the policy inside only what it may learn from: `data="all"` slots, its `"own"`, or `"random"` ones.

    Slots of others are no examples, clicked or not; that users clicked them stays part of the users' pasts, which
    every model sees when it answers (`InteractionLog.only`). Its slots are those that the log calls by this policy's
    name, so a model that is wrapped for exploration or for a mix is best wrapped in this first:
    EpsilonGreedy(TrainedOn(mf, "own"), 0.1) learns from its greedy slots, TrainedOn(EpsilonGreedy(mf, 0.1), "own") from
    its explored ones, too.
    """

    data: Literal["all", "own", "random"] = "all"

    def __post_init__(self) -> None:
        if self.data not in ("all", "own", "random"):
            raise ValueError(f"data must be 'all', 'own' or 'random', got {self.data!r}")

    @property
    def name(self) -> str:
        return named_with(self.policy.name, {"data": self.data} if self.data != "all" else {})

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        answer = self.policy.recommend(observation, num_slots, draws)
        if self.data == "all":
            return answer
        renamed = [self.name if source == self.policy.name else source for source in answer.sources]
        return replace(answer, sources=within(self.name, renamed))

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        return self.policy.probabilities(observation, slates)

    def pair_probabilities(
        self,
        observation: Observation,
        candidates: Int[A, "rows candidates"],
        num_slots: int,
        num_redraws: int = NUM_REDRAWS,
    ) -> PairProbabilities:
        return self.policy.pair_probabilities(observation, candidates, num_slots, num_redraws)

    def learn(self, log: InteractionLog) -> None:
        if self.data == "own":
            log = log.only([source for source in log.sources if is_of(source, self.name)])
        elif self.data == "random":
            log = log.only([source for source in log.sources if is_random(source)])
        super().learn(log)
