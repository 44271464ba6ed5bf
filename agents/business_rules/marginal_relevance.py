"""Nothing too much like what already stands in the slate: maximal marginal relevance."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int

from agents.business_rules.re_ranking import Gains, ReRanking, greedily, none_unmet, relevance
from agents.business_rules.similarity import SIMILAR_BY, Similarity, check_fields
from recsim_lab.policy import Observation

A = np.ndarray


@final
@dataclass(eq=False)
class MaximalMarginalRelevance(ReRanking):
    """Fills slot by slot with the candidate of highest (1 - weight) * relevance - weight * (its similarity to the most
    similar item that is placed).

    Carbonell & Goldstein (SIGIR 1998), whose lambda is 1 - `weight`; similarity is `Similarity` by `fields`. A weight
    of 0 leaves the order inside, one of 1 looks at likeness alone. At .5, an item just like one in the slate must
    stand a whole slate before another that is nothing like it.
    """

    weight: float | int = 0.3
    fields: tuple[str, ...] = SIMILAR_BY

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self.fields)
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be in [0, 1], got {self.weight}")

    @property
    def rule(self) -> str:
        return f"mmr={self.weight:g}"

    def choose(
        self, observation: Observation, candidates: Int[A, "rows candidates"], num_slots: int
    ) -> tuple[Int[A, "rows slots"], Bool[A, " rows"]]:
        worth = (1 - self.weight) * relevance(candidates.shape[1], num_slots)
        similarity = Similarity(observation.features, self.fields, candidates)
        return greedily(_MarginalRelevance(worth, similarity, self.weight), num_slots), none_unmet(candidates)


class _MarginalRelevance(Gains):
    def __init__(self, worth: Float64[A, " candidates"], similarity: Similarity, weight: float | int) -> None:
        self.worth, self.similarity, self.weight = worth, similarity, weight
        self.most_alike = np.zeros(similarity.shape)

    def now(self) -> Float64[A, "rows candidates"]:
        return self.worth - self.weight * self.most_alike

    def place(self, chosen: Int[A, " rows"]) -> None:
        np.maximum(self.most_alike, self.similarity.to(chosen), out=self.most_alike)
