"""Rules that forbid: they block items for everything inside, and give way, counted, where too little is left."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int

from agents.eligible import num_eligible
from agents.wrapper import Wrapper
from recsim_lab.policy import Observation, Recommendation
from recsim_lab.probabilities import NUM_REDRAWS, PairProbabilities, Probabilities
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(eq=False)
class Forbidding(Wrapper):
    """Asks the policy inside under the rule; the same `apply` restricts requests that are rebuilt offline.

    Where a request has fewer items left than its slate has slots, what the rule forbids is allowed again, one list of
    `forbidden` after the other, until there are enough. Of several rules around each other the inner ones give way
    first, since what an outer one forbids is blocked before they are asked: put what must hold most outside. Put all
    of them around what explores or re-orders.

    `num_relaxed` counts the requests so far, of `recommend` and `apply`, for which something was allowed again; within
    a policy that redraws what is inside, each redraw counts. It is
    no part of what is learned or saved; a copy goes on counting from where it was made.
    """

    num_relaxed: int = field(default=0, init=False, repr=False)

    @abstractmethod
    def forbidden(self, observation: Observation) -> Sequence[Int[A, "rows _"]]:
        """Lists of items that each request may not show, padded with -1, in the order in which they are given up."""

    @property
    def name(self) -> str:
        return self.policy.name

    def apply(self, observation: Observation, num_slots: int) -> Observation:
        """The requests with the items blocked that the rule forbids."""
        ruled, relaxed = self._under_rule(observation, num_slots)
        self.num_relaxed += int(relaxed.sum())
        return ruled

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        return self.policy.recommend(self.apply(observation, num_slots), num_slots, draws)

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        return self.policy.probabilities(self._under_rule(observation, slates.shape[1])[0], slates)

    def pair_probabilities(
        self,
        observation: Observation,
        candidates: Int[A, "rows candidates"],
        num_slots: int,
        num_redraws: int = NUM_REDRAWS,
    ) -> PairProbabilities:
        """Those of the policy inside, under the rule."""
        ruled, _ = self._under_rule(observation, num_slots)
        return self.policy.pair_probabilities(ruled, candidates, num_slots, num_redraws)

    def _under_rule(self, observation: Observation, num_slots: int) -> tuple[Observation, Bool[A, " rows"]]:
        """The requests with what stays forbidden, and for which of them something was given up."""
        lists = list(self.forbidden(observation))
        ruled = _blocked(observation, lists)
        relaxed = np.zeros(len(observation), bool)
        for number, items in enumerate(lists):
            short = num_eligible(ruled, num_slots) < num_slots
            if not short.any():
                break
            relaxed |= short & (items >= 0).any(axis=1)
            lists[number] = np.where(short[:, None], -1, items)
            ruled = _blocked(observation, lists)
        return ruled, relaxed


def _blocked(observation: Observation, lists: Sequence[Int[A, "rows _"]]) -> Observation:
    return observation.block(np.concatenate([np.zeros((len(observation), 0), np.int32), *lists], axis=1))
