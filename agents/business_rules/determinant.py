"""Slates whose items span the most: greedy search for the likeliest one under a determinantal point process."""

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
class GreedyDPP(ReRanking):
    """Fills slot by slot with the candidate that adds most to (1 - weight) * sum of relevance + weight * log det S.

    S is the kernel of the slate's items: 1 on the diagonal and (1 - `distinctness`) * `Similarity` by `fields` beside
    it. Distinctness is what fields do not tell of an item; above 0 it keeps S regular, so that items of equal fields
    can share a slate. Chen, Zhang & Zhou (NeurIPS 2018): algorithm 1, whose Cholesky factor of S grows by a row for
    each slot, on the trade-off of their section 4.3, whose theta is 1 - `weight`. A weight of 0 leaves the order
    inside, one of 1 looks at the determinant alone.
    """

    weight: float | int = 0.3
    fields: tuple[str, ...] = SIMILAR_BY
    distinctness: float | int = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self.fields)
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be in [0, 1], got {self.weight}")
        if not 0 < self.distinctness <= 1:
            raise ValueError(f"distinctness must be above 0 and at most 1, got {self.distinctness}")

    @property
    def rule(self) -> str:
        return f"dpp={self.weight:g}"

    def choose(
        self, observation: Observation, candidates: Int[A, "rows candidates"], num_slots: int
    ) -> tuple[Int[A, "rows slots"], Bool[A, " rows"]]:
        worth = (1 - self.weight) * relevance(candidates.shape[1], num_slots)
        similarity = Similarity(observation.features, self.fields, candidates)
        gains = _Determinant(worth, similarity, self.weight, self.distinctness)
        return greedily(gains, num_slots), none_unmet(candidates)


class _Determinant(Gains):
    def __init__(
        self, worth: Float64[A, " candidates"], similarity: Similarity, weight: float | int, distinctness: float | int
    ) -> None:
        self.worth, self.similarity, self.weight, self.distinctness = worth, similarity, weight, distinctness
        self.factor = np.ones(similarity.shape)
        """By how much each candidate would multiply the determinant."""
        self.cholesky: list[Float64[A, "rows candidates"]] = []
        """Rows of the Cholesky factor, one for each placed item, over all candidates."""

    def now(self) -> Float64[A, "rows candidates"]:
        return self.worth + self.weight * np.log(self.factor)

    def place(self, chosen: Int[A, " rows"]) -> None:
        rows = np.arange(len(chosen))
        added = (1 - self.distinctness) * self.similarity.to(chosen)
        # Product by product, not by one matrix product: the same bits in any batch.
        for earlier in self.cholesky:
            added -= earlier[rows, chosen][:, None] * earlier
        added /= np.sqrt(self.factor[rows, chosen])[:, None]
        self.cholesky.append(added)
        # No factor is below the distinctness, but for rounding and those of placed items, which nobody reads.
        np.maximum(self.factor - added**2, self.distinctness / 2, out=self.factor)
