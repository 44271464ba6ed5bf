"""Not too much of one topic, nor of one creator."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int

from agents.business_rules.item_fields import item_field, values_of
from agents.business_rules.re_ranking import Gains, ReRanking, greedily
from recsim_lab.policy import FeatureTable, Observation

A = np.ndarray


@final
@dataclass(eq=False)
class Caps(ReRanking):
    """Fills slot by slot with the best-placed candidate of which the slate does not yet hold `per_topic` items of the
    same topic or `per_creator` of the same creator (None: no cap).

    `topic` and `creator` name categorical or multi fields of the items; of an item of several topics, none may be
    full. Where no candidate fits, the creator's cap is given up for the slot, and if that is not enough, the topic's;
    the slate is then counted as unmet. A single cap on a categorical field is kept whenever the candidates allow it;
    under both, or where items have several topics, an earlier slot may have taken what a later one would have needed.
    """

    per_topic: int | None = 3
    per_creator: int | None = 2
    topic: str = "genre"
    creator: str = "creator"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("per_topic", "per_creator"):
            if (cap := getattr(self, name)) is not None and cap < 1:
                raise ValueError(f"{name} must be at least 1 or None, got {cap}")
        if self.per_topic is None and self.per_creator is None:
            raise ValueError("per_topic or per_creator must be given, got None for both")

    @property
    def rule(self) -> str:
        caps = (("topic_cap", self.per_topic), ("creator_cap", self.per_creator))
        return ",".join(f"{name}={cap}" for name, cap in caps if cap is not None)

    def choose(
        self, observation: Observation, candidates: Int[A, "rows candidates"], num_slots: int
    ) -> tuple[Int[A, "rows slots"], Bool[A, " rows"]]:
        # The creator's cap is given up first.
        caps = (("creator", self.creator, self.per_creator), ("topic", self.topic, self.per_topic))
        tallies = [
            _Tally(observation.features, name, parameter, candidates, cap)
            for parameter, name, cap in caps
            if cap is not None
        ]
        places = greedily(_Room(tallies, candidates.shape), num_slots)
        return places, np.any([tally.most_in(places) > tally.cap for tally in tallies], axis=0)


class _Room(Gains):
    """Whether a candidate fits decides before its place does; a later tally decides before an earlier one."""

    def __init__(self, tallies: "list[_Tally]", shape: tuple[int, ...]) -> None:
        self.tallies, self.best_first = tallies, -np.arange(float(shape[1])) + np.zeros(shape)

    def now(self) -> Float64[A, "rows candidates"]:
        fits = [2.0**order * (tally.num_placed() < tally.cap) for order, tally in enumerate(self.tallies)]
        return self.best_first + self.best_first.shape[1] * np.sum(fits, axis=0)

    def place(self, chosen: Int[A, " rows"]) -> None:
        for tally in self.tallies:
            tally.add(chosen)


class _Tally:
    """How many placed items share a value of a field with each candidate."""

    def __init__(
        self, features: FeatureTable, name: str, parameter: str, candidates: Int[A, "rows candidates"], cap: int
    ) -> None:
        field = item_field(features, name, ("categorical", "multi"), parameter)
        self.cap = cap
        self.values = values_of(features, field, candidates)
        self.shared = np.zeros(self.values.shape, np.int64)

    def add(self, chosen: Int[A, " rows"]) -> None:
        for value in self.values[np.arange(len(chosen)), chosen].T:
            self.shared += (self.values == value[:, None, None]) & (self.values >= 0)

    def num_placed(self) -> Int[A, "rows candidates"]:
        """Those that share the candidate's fullest value."""
        return self.shared.max(axis=2)

    def most_in(self, places: Int[A, "rows slots"]) -> Int[A, " rows"]:
        """How many items of each whole slate have the value that most have."""
        values = np.take_along_axis(self.values, places[:, :, None], axis=1).reshape(len(places), -1)
        same = (values[:, :, None] == values[:, None, :]) & (values >= 0)[:, None, :]
        return same.sum(axis=2).max(axis=1)
