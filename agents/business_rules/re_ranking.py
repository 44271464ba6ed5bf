"""Rules that re-order: they ask the policy inside for a longer slate than is shown, and choose from it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from agents.eligible import can_stand, eligible_items, num_eligible
from agents.wrapper import Wrapper
from recsim_lab.policy import Observation, Recommendation, Scorer, answered, check_slots, gather
from recsim_lab.probabilities import (
    NUM_REDRAWS,
    Probabilities,
    certain,
    exactly,
    given_answers,
    is_certain,
    redraw,
)
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(eq=False)
class ReRanking(Wrapper):
    """Fills the slate from the first `depth * num_slots` items of the policy inside, or as many as are eligible.

    How good a candidate is follows from its place in that longer slate alone (`relevance`), so explored items keep the
    place that exploration gave them; each slot keeps the source that its item came with. Given the slate inside,
    nothing is left to chance: propensities are 1 where the inner policy is certain, else NaN, and `probabilities`
    averages over `redraws` of what is inside.

    `ranker` is the order that this rule makes of the inner ranker's, for slates of `offline_slots`. Rules that forbid
    belong around this: inside, they would give way to fill the longer slate.

    `num_unmet` counts the slates so far, of `recommend` (redraws of it by what is around too), in which the rule could
    not be kept with the candidates there
    were. It is no part of what is learned or saved; a copy goes on counting from where it was made.
    """

    depth: int = field(default=5, kw_only=True)
    redraws: int = field(default=NUM_REDRAWS, kw_only=True)
    offline_slots: int = field(default=10, kw_only=True)
    num_unmet: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("depth", 1), ("redraws", 2), ("offline_slots", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    @abstractmethod
    def rule(self) -> str:
        """What the name says of this rule, as in `mmr=0.3`."""

    @abstractmethod
    def choose(
        self, observation: Observation, candidates: Int[A, "rows candidates"], num_slots: int
    ) -> tuple[Int[A, "rows slots"], Bool[A, " rows"]]:
        """Which candidate, counted from 0, stands in each slot, and in which rows the rule could not be kept."""

    @property
    def name(self) -> str:
        joint = "," if ":" in self.policy.name.rpartition(")")[2] else ":"
        return f"{self.policy.name}{joint}{self.rule}"

    @property
    def ranker(self) -> "Scorer | None":
        inner = self.policy.ranker
        return None if inner is None else ReRanked(replace(self, policy=inner))

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        answer, unmet = self._answer(observation, num_slots, draws)
        self.num_unmet += int(unmet.sum())
        return answer

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        num_slots = slates.shape[1]
        told = given_answers(
            lambda draws: self._answer(observation, num_slots, draws)[0],
            lambda answer: certain(answer.items, slates),
            observation,
            self.redraws,
        )
        number = eligible_items(observation, num_slots).number(slates)
        return _without_impossible(told, number >= 0, can_stand(number))

    def _answer(
        self, observation: Observation, num_slots: int, draws: Draws
    ) -> tuple[Recommendation, Bool[A, " rows"]]:
        """The re-ranked slates, and in which rows the rule could not be kept."""
        # A row's candidates must not depend on the batch, so rows with few eligible items are asked for by themselves.
        depths = num_eligible(observation, self.depth * num_slots)
        if (depths < num_slots).any():
            check_slots(observation.eligible(), num_slots)
        groups = [np.flatnonzero(depths == depth) for depth in np.unique(depths)]
        if len(groups) == 1:
            return self._re_ranked(observation, int(depths[0]), num_slots, draws)
        if not groups:
            return self.policy.recommend(observation, num_slots, draws), np.zeros(0, bool)
        parts = [
            self._re_ranked(observation.take(rows), int(depths[rows[0]]), num_slots, draws.take(rows))
            for rows in groups
        ]
        unmet = np.zeros(len(observation), bool)
        for rows, (_, some) in zip(groups, parts, strict=True):
            unmet[rows] = some
        return _joined(groups, [answer for answer, _ in parts]), unmet

    def _re_ranked(
        self, observation: Observation, num_candidates: int, num_slots: int, draws: Draws
    ) -> tuple[Recommendation, Bool[A, " rows"]]:
        inner = self.policy.recommend(observation, num_candidates, draws.fork("inner"))
        places, unmet = self.choose(observation, inner.items, num_slots)
        items, source = (np.take_along_axis(values, places, axis=1) for values in (inner.items, inner.source))
        sure = exactly(np.ones(items.shape), np.ones(items.shape))
        return answered(items, sure, source, inner.sources, is_certain(inner)), unmet


def _without_impossible(
    told: Probabilities, eligible: Bool[A, "rows slots"], can_stand: Bool[A, "rows slots"]
) -> Probabilities:
    """Exactly 0 for what is not eligible, and for slates that repeat an item: redraws alone cannot tell that."""
    # What follows an impossible slot is impossible too.
    can_stand = np.logical_and.accumulate(can_stand, axis=1)
    return Probabilities(
        *(np.where(eligible, told.marginal, 0), np.where(can_stand, told.prefix, 0)),
        *(np.where(eligible, told.error, 0), np.where(can_stand, told.prefix_error, 0)),
    )


def _joined(groups: Sequence[Int[A, " _"]], answers: Sequence[Recommendation]) -> Recommendation:
    """One recommendation of those to disjoint rows of the requests."""
    sources = tuple(dict.fromkeys(name for answer in answers for name in answer.sources))
    order = np.argsort(np.concatenate(groups))
    renamed = [
        np.array([sources.index(name) for name in answer.sources], np.int16)[answer.source] for answer in answers
    ]
    columns = ("items", "propensity", "prefix_propensity", "propensity_error")
    arrays = {name: np.concatenate([getattr(answer, name) for answer in answers])[order] for name in columns}
    return Recommendation(**arrays, source=np.concatenate(renamed)[order], sources=sources)


def relevance(num_candidates: int, num_slots: int) -> Float64[A, " candidates"]:
    """What the inner policy's places are worth: 1 for the first, falling by 1 over the length of a slate.

    Linear, so that what a rule weighs relevance against costs as many places at the top as further down, and counted
    in slates, so that it does not change with the number of candidates. Only differences count, negative ones too.
    """
    return 1 - np.arange(num_candidates) / num_slots


class Gains(ABC):
    """How much each candidate would add to a slate that is filled slot by slot."""

    @abstractmethod
    def now(self) -> Float64[A, "rows candidates"]:
        """What each candidate adds to the items placed so far; those of the placed ones are not read."""

    @abstractmethod
    def place(self, chosen: Int[A, " rows"]) -> None:
        """The next slot of each row holds this candidate, counted from 0."""


def greedily(gains: Gains, num_slots: int) -> Int[A, "rows slots"]:
    """Fill slot after slot with the free candidate that adds most, the better placed of equals."""
    gain = gains.now()
    rows, free = np.arange(len(gain)), np.ones(gain.shape, bool)
    places = np.empty((len(gain), num_slots), np.int64)
    for slot in range(num_slots):
        if slot:
            gains.place(places[:, slot - 1])
            gain = gains.now()
        places[:, slot] = np.where(free, gain, -np.inf).argmax(axis=1)
        free[rows, places[:, slot]] = False
    return places


def none_unmet(candidates: Int[A, "rows candidates"]) -> Bool[A, " rows"]:
    """Of rules that weigh and do not demand."""
    return np.zeros(len(candidates), bool)


@final
@dataclass(eq=False)
class ReRanked(Scorer):
    """The order of a rule around a scorer: the slate that it would show first, all other items below in the scorer's
    order.

    `scores` are the scorer's, but those of the slate's items lie just above all others, a float32 step apart: offline
    metrics see who stands before whom, and log losses next to no difference. Slates have the rule's `offline_slots`;
    requests with fewer eligible items keep the scorer's order. A recommendation of as many slots is the rule's own.
    """

    around: ReRanking

    def __post_init__(self) -> None:
        if not isinstance(self.around.policy, Scorer):
            raise ValueError(f"the policy inside must be a Scorer, got {self.around.policy.name!r}")

    @property
    def name(self) -> str:
        return self.around.name

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float[A, "rows candidates"]:
        scorer, num_slots = self.around.policy, self.around.offline_slots
        assert isinstance(scorer, Scorer)
        scores = np.array(scorer.scores(observation), np.float32)
        rows = np.flatnonzero(num_eligible(observation, num_slots) == num_slots)
        asked = observation.take(rows)
        slates = self.around.recommend(asked, num_slots, redraw(asked, 0)).items
        above = scores.max(axis=1)[rows]
        for slot in reversed(range(num_slots)):
            above = np.nextafter(above, np.float32(np.inf))
            scores[rows, slates[:, slot]] = above
        return gather(scores, items)
