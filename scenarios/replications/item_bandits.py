"""Bandits whose arms are items, one problem a user: each shows the items of highest rate, bound or posterior draw."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int

from agents.exploration.base import by_redraws, sampled
from recsim_lab.policy import Observation, Policy, Recommendation, Scorer, gather, top_items
from recsim_lab.probabilities import NUM_REDRAWS, Probabilities
from recsim_lab.streams import Draws

A = np.ndarray

UNSHOWN = 1e6
"""The score of items that a user has not been shown: above all others, so that each is tried."""
_PURPOSES_A_ROUND = 2


class Tally:
    """How often each user was shown and clicked each item: all that these bandits know."""

    def __init__(self, num_users: int, num_items: int) -> None:
        self.shown = np.zeros((num_users, num_items), np.int32)
        self.clicked = np.zeros((num_users, num_items), np.int32)

    def add(self, users: Int[A, " rows"], slate: Int[A, "rows slots"], clicks: Bool[A, "rows slots"]) -> None:
        """Take in a slate of distinct items for each of some distinct users."""
        self.shown[users[:, None], slate] += 1
        self.clicked[users[:, None], slate] += clicks

    def rate(self, users: Int[A, " rows"]) -> Float[A, "rows items"]:
        """Clicks by showings, 0 where there are none."""
        return self.clicked[users] / np.maximum(self.shown[users], 1)


@final
@dataclass(eq=False)
class ClickRate(Scorer):
    """Greedy: each user's own click rate; items that were never shown come first."""

    tally: Tally

    @property
    def name(self) -> str:
        return "click-rate"

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float[A, "rows candidates"]:
        unshown = self.tally.shown[observation.user] == 0
        return gather(np.where(unshown, UNSHOWN, self.tally.rate(observation.user)), items)


@final
@dataclass(eq=False)
class UpperBound(Scorer):
    """UCB1: click rate + sqrt(2 ln t / n) at the user's t-th visit, for an item shown n times before.

    Auer, Cesa-Bianchi and Fischer 2002, with several arms a round. Items that were never shown come first.
    """

    tally: Tally

    @property
    def name(self) -> str:
        return "ucb1"

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float[A, "rows candidates"]:
        shown = self.tally.shown[observation.user]
        doubt = 2 * np.log(observation.session[:, None] + 1.0) / np.maximum(shown, 1)
        bound = self.tally.rate(observation.user) + np.sqrt(doubt)
        return gather(np.where(shown == 0, UNSHOWN, bound), items)


@final
@dataclass(eq=False)
class Thompson(Policy):
    """Shows the items whose click rates are highest in one draw from their posteriors, Beta(1 + clicks, 1 + others).

    Thompson 1933. All draws are independent; `probabilities` are estimated by `redraws`.
    """

    tally: Tally
    redraws: int = NUM_REDRAWS

    @property
    def name(self) -> str:
        return "thompson"

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        return sampled(self._slate(observation, num_slots, draws), self.name)

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        return by_redraws(
            lambda draws: self._slate(observation, slates.shape[1], draws), observation, slates, self.redraws
        )

    def _slate(self, observation: Observation, num_slots: int, draws: Draws) -> Int[A, "rows slots"]:
        eligible = observation.eligible()
        # What is not out yet needs no draw, and stands at the end where a catalogue grows.
        num_items = int(np.flatnonzero(eligible.any(axis=0)).max(initial=-1)) + 1
        clicked = self.tally.clicked[observation.user, :num_items]
        passed = self.tally.shown[observation.user, :num_items] - clicked
        return top_items(beta(draws, 1.0 + clicked, 1.0 + passed), eligible[:, :num_items], num_slots)


def beta(draws: Draws, a: Float[A, "rows items"], b: Float[A, "rows items"]) -> Float[A, "rows items"]:
    """Independent draws from Beta(a, b), a and b at least 1: the share of one gamma number in the sum of two."""
    one, other = gamma(draws.fork("a"), a), gamma(draws.fork("b"), b)
    return one / (one + other)


def gamma(draws: Draws, shape: Float[A, "rows items"]) -> Float[A, "rows items"]:
    """Independent draws from Gamma(shape, 1), shapes at least 1 (Marsaglia and Tsang, ACM TOMS 2000).

    A cube of a normal number is accepted in more than 19 of 20 cases; in every round the others are drawn anew.
    """
    out = np.empty(shape.shape)
    row, item = (index.ravel() for index in np.indices(shape.shape))
    first = 0
    while len(row):
        least = shape[row, item] - 1 / 3
        if first == 0:
            normal, uniform = (
                draws.normal(first, shape.shape[1]).ravel(),
                draws.uniform(first + 1, shape.shape[1]).ravel(),
            )
        else:
            some = draws.take(row)
            normal, uniform = some.normal_at(first, item), some.uniform_at(first + 1, item)
        normal = normal.astype(np.float64)
        cube = np.maximum(1 + normal / np.sqrt(9 * least), 0.0) ** 3
        with np.errstate(divide="ignore"):
            accepted = np.log(uniform) < normal**2 / 2 + least * (1 - cube + np.log(cube))
        out[row[accepted], item[accepted]] = (least * cube)[accepted]
        row, item = row[~accepted], item[~accepted]
        first += _PURPOSES_A_ROUND
    return out
