"""Slates in which topics have the shares that they have among the user's clicks."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int

from agents.business_rules.item_fields import item_field, values_of
from agents.business_rules.re_ranking import Gains, ReRanking, greedily, none_unmet, relevance
from recsim_lab.policy import Observation

A = np.ndarray


@final
@dataclass(eq=False)
class Calibrated(ReRanking):
    """Fills slot by slot with the candidate that leaves the highest (1 - weight) * sum of relevance - weight *
    KL(p || q~), over the items placed so far.

    Steck (RecSys 2018), whose lambda is `weight`: p is the distribution of topics over the clicks that the observation
    shows, each click counting the same, and q~ = (1 - smoothing) * q + smoothing * p with q that of the slate. An item
    of several topics counts in equal parts for each. `topic` names the field of the items. A user of whose clicks no
    topic is known is left the order inside, as is everyone with a weight of 0.
    """

    weight: float | int = 0.5
    topic: str = "genre"
    smoothing: float | int = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be in [0, 1], got {self.weight}")
        if not 0 < self.smoothing <= 1:
            raise ValueError(f"smoothing must be above 0 and at most 1, got {self.smoothing}")

    @property
    def rule(self) -> str:
        return f"calibrated={self.weight:g}"

    def choose(
        self, observation: Observation, candidates: Int[A, "rows candidates"], num_slots: int
    ) -> tuple[Int[A, "rows slots"], Bool[A, " rows"]]:
        field = item_field(observation.features, self.topic, ("categorical", "multi"), "topic")
        clicked = values_of(observation.features, field, observation.clicked)
        topics = values_of(observation.features, field, candidates)
        wanted = sum_of_shares(clicked, field.cardinality)
        wanted /= np.maximum(wanted.sum(axis=1, keepdims=True), 1e-9)
        worth = (1 - self.weight) * relevance(candidates.shape[1], num_slots)
        return greedily(_Calibration(worth, wanted, topics, self.weight, self.smoothing), num_slots), none_unmet(
            candidates
        )


class _Calibration(Gains):
    def __init__(
        self,
        worth: Float64[A, " candidates"],
        wanted: Float64[A, "rows topics"],
        topics: Int[A, "rows candidates most"],
        weight: float | int,
        smoothing: float | int,
    ) -> None:
        self.worth, self.wanted, self.weight, self.smoothing = worth, wanted, weight, smoothing
        self.topics, self.share = topics, shares(topics)
        self.wanted_here = self._of_topics(wanted)
        self.placed = np.zeros(wanted.shape)
        self.num_placed = 0

    def now(self) -> Float64[A, "rows candidates"]:
        """The divergence changes only by the candidate's own topics; what is common to all is left out."""
        part = (1 - self.smoothing) / (self.num_placed + 1)
        before = self._of_topics(part * self.placed + self.smoothing * self.wanted)
        wanted = self.wanted_here
        lower = wanted * np.log1p(part * self.share / np.where(wanted > 0, before, 1.0))
        return self.worth + self.weight * lower.sum(axis=2)

    def place(self, chosen: Int[A, " rows"]) -> None:
        rows = np.arange(len(chosen))
        # Where an item has fewer topics than others, the last topic gets a share of 0.
        np.add.at(self.placed, (rows[:, None], self.topics[rows, chosen]), self.share[rows, chosen])
        self.num_placed += 1

    def _of_topics(self, values: Float64[A, "rows topics"]) -> Float64[A, "rows candidates most"]:
        """The value of each topic of each candidate."""
        at = np.maximum(self.topics, 0).reshape(len(self.topics), -1)
        return np.take_along_axis(values, at, axis=1).reshape(self.topics.shape)


def shares(values: Int[A, "rows places most"]) -> Float64[A, "rows places most"]:
    """The part of an item that counts for each of its values: 1 divided by how many it has, 0 for padding."""
    there = values >= 0
    return there / np.maximum(there.sum(axis=2, keepdims=True), 1)


def sum_of_shares(values: Int[A, "rows places most"], cardinality: int) -> Float64[A, "rows topics"]:
    """What the items of each row add up to, topic by topic."""
    at = np.arange(len(values))[:, None, None] * cardinality + np.maximum(values, 0)
    total = np.bincount(at.ravel(), shares(values).ravel(), len(values) * cardinality)
    return total.reshape(len(values), cardinality)
