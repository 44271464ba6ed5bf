"""Any scorer as a retriever: it scores the whole catalogue, which small catalogues allow."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Int

from agents.base import LOWEST
from agents.two_stage.retriever import Retrieved, Retriever, found, sampled_items, standardised
from recsim_lab.policy import SCORES_AT_ONCE, Observation, Scorer

A = np.ndarray


@final
@dataclass(eq=False)
class ByScores(Retriever):
    """Finds the items that a scorer scores highest; those that it has no ground to judge are not found."""

    policy: Scorer

    @property
    def name(self) -> str:
        return self.policy.name

    def retrieve(self, observation: Observation, num: int) -> Retrieved:
        items, scores = np.empty((len(observation), num), np.int32), np.empty((len(observation), num), np.float32)
        num_rows = max(1, SCORES_AT_ONCE // max(observation.features.num_items, 1))
        for start in range(0, len(observation), num_rows):
            rows = slice(start, start + num_rows)
            some = observation.take(rows)
            told = self.policy.scores(some)
            best = found(told, some.eligible() & ~(told <= LOWEST), num)
            items[rows], scores[rows] = best.items, best.scores
        return Retrieved(items, scores)

    def judge(self, observation: Observation, items: Int[A, "rows candidates"]) -> Float32[A, "rows candidates"]:
        sampled = sampled_items(observation.features)
        both = np.concatenate([items, np.broadcast_to(sampled, (len(items), len(sampled)))], axis=1)
        scores = self.policy.scores(observation, both)
        scores = np.where(scores <= LOWEST, np.nan, scores)
        num = items.shape[1]
        return standardised(scores[:, :num], scores[:, num:])
