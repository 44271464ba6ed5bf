"""Epsilon-greedy: now and then a slot, or a whole slate, shows random items; how likely that was is known exactly."""

from dataclasses import dataclass
from typing import final

import numba
import numpy as np
from jaxtyping import Float, Int

from agents.baselines import RANDOM, Random
from agents.eligible import EligibleItems, can_stand, draw_unplaced, eligible_items
from agents.exploration.base import Exploration, rule_out
from recsim_lab.compile import kernel
from recsim_lab.policy import Observation, Recommendation, answered
from recsim_lab.probabilities import Probabilities, certain, exactly, given_answers, is_certain, mixture
from recsim_lab.streams import Draws

A = np.ndarray

_EXPLORE, _PICK = 0, 1


@final
@dataclass(eq=False)
class EpsilonGreedy(Exploration):
    """Fills the slate slot by slot: with probability `epsilon` an eligible item drawn uniformly from those not yet
    placed, else the best item of the inner policy's slate that is not yet placed.

    Probabilities are exact where the inner policy is certain of its slate; where it is not, `probabilities` averages
    them over `redraws` of its answer, and the propensities of `recommend` are NaN. Explored items know only the rules
    of the request: put `RepeatRules` around this, not inside.
    """

    @property
    def kind(self) -> dict[str, float | int | str]:
        return {}

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        inner = self.policy.recommend(observation, num_slots, draws.fork("inner"))
        eligible = eligible_items(observation, num_slots)
        epsilon = self.epsilon_at(observation.tick)
        explore = draws.uniform(_EXPLORE, num_slots) < epsilon.astype(np.float32)[:, None]
        pick = draws.uniform(_PICK, num_slots)

        rows = np.arange(len(observation))
        inner_number = eligible.number(inner.items)
        inner_placed = np.zeros(inner.items.shape, bool)
        number = np.empty(inner.items.shape, np.int64)
        greedy = np.empty_like(number)
        for slot in range(num_slots):
            greedy[:, slot] = np.argmin(inner_placed, axis=1)
            number[:, slot] = np.where(
                explore[:, slot],
                draw_unplaced(pick[:, slot], eligible.num, number[:, :slot]),
                inner_number[rows, greedy[:, slot]],
            )
            inner_placed |= inner_number == number[:, slot, None]

        items = eligible.item(number)
        sources = tuple(dict.fromkeys((RANDOM, *inner.sources)))
        of_inner = np.array([sources.index(name) for name in inner.sources], np.int16)
        source = np.where(explore, 0, of_inner[np.take_along_axis(inner.source, greedy, axis=1)]).astype(np.int16)
        return answered(items, _given(eligible, epsilon, inner.items, items), source, sources, is_certain(inner))

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        num_slots = slates.shape[1]
        eligible = eligible_items(observation, num_slots)
        epsilon = self.epsilon_at(observation.tick)
        told = given_answers(
            lambda draws: self.policy.recommend(observation, num_slots, draws.fork("inner")),
            lambda inner: _given(eligible, epsilon, inner.items, slates),
            observation,
            self.redraws,
        )
        return rule_out(told, eligible.number(slates))


@final
@dataclass(eq=False)
class EpsilonGreedySlate(Exploration):
    """Shows a slate of random items with probability `epsilon`, else the inner policy's slate.

    A mixture of the two, as exact as the inner policy's probabilities. The propensities of `recommend` are NaN where
    the inner policy is not certain of its slate. Slates stay whole, so that what users do with either kind can be
    compared, and a model that learns from random slates sees items beside random ones.
    """

    @property
    def kind(self) -> dict[str, float | int | str]:
        return {"per": "slate"}

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        inner = self.policy.recommend(observation, num_slots, draws.fork("inner"))
        random = Random().recommend(observation, num_slots, draws.fork("random"))
        epsilon = self.epsilon_at(observation.tick)
        explore = draws.uniform(_EXPLORE) < epsilon.astype(np.float32)[:, None]
        items = np.where(explore, random.items, inner.items)
        sources = tuple(dict.fromkeys((RANDOM, *inner.sources)))
        of_inner = np.array([sources.index(name) for name in inner.sources], np.int16)
        told = self._mixed(observation, epsilon, items, certain(inner.items, items))
        return answered(items, told, np.where(explore, 0, of_inner[inner.source]), sources, is_certain(inner))

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        inner = self.policy.probabilities(observation, slates)
        told = self._mixed(observation, self.epsilon_at(observation.tick), slates, inner)
        return rule_out(told, eligible_items(observation, slates.shape[1]).number(slates))

    def _mixed(
        self,
        observation: Observation,
        epsilon: Float[A, " rows"],
        slates: Int[A, "rows slots"],
        inner: Probabilities,
    ) -> Probabilities:
        random = Random().probabilities(observation, slates)
        return mixture([random, inner], np.stack([epsilon, 1 - epsilon], axis=1))


def _given(
    eligible: EligibleItems, epsilon: Float[A, " rows"], greedy: Int[A, "rows slots"], slates: Int[A, "rows slots"]
) -> Probabilities:
    """The probabilities of `slates` where the inner policy answers `greedy`."""
    number, place = eligible.number(slates), places(greedy, slates)
    possible = np.where(number >= 0, 1.0, 0.0)
    return exactly(
        possible * marginal_probability(place, eligible.num, epsilon),
        prefix_probability(place, eligible.num, epsilon) * np.cumprod(can_stand(number), axis=1),
    )


def places(greedy: Int[A, "rows slots"], slates: Int[A, "rows slots"]) -> Int[A, "rows slots"]:
    """Where each item of the slates stands in the greedy slate; `slots` if it does not."""
    same = slates[:, :, None] == greedy[:, None, :]
    return np.where(same.any(axis=2), same.argmax(axis=2), slates.shape[1])


def marginal_probability(
    place: Int[A, "rows slots"], num_eligible: Int[A, " rows"], epsilon: Float[A, " rows"]
) -> Float[A, "rows slots"]:
    """The probability that each slot holds its item, which stands at `place` of the greedy slate.

    Followed item by item: as long as it is not placed, all that matters is how many of the items before it in the
    greedy slate are not placed either. With n - k items left for slot k and m of them before ours, exploring
    places ours with probability 1/(n - k) and one of those before with m/(n - k); greed places one of those
    before, or ours if there is none.
    """
    marginal = np.empty(place.shape)
    _follow(marginal, place, num_eligible, epsilon.astype(np.float64))
    return marginal


@kernel
def _follow(marginal, place, num_eligible, epsilon):  # type: ignore[no-untyped-def]
    num_slots = place.shape[1]
    for row in numba.prange(marginal.shape[0]):
        greed = 1 - epsilon[row]
        # chance[d]: the item is not placed yet, and d of those before it are.
        chance = np.empty(num_slots + 1)
        for slot in range(num_slots):
            chance[:] = 0.0
            chance[0] = 1.0
            for passed in range(slot):
                explored = epsilon[row] / (num_eligible[row] - passed)
                for d in range(passed, -1, -1):
                    before = max(place[row, slot] - d, 0)
                    placed = explored + (greed if before == 0 else 0.0)
                    fewer = explored * before + (greed if before > 0 else 0.0)
                    chance[d + 1] += chance[d] * fewer
                    chance[d] *= 1 - placed - fewer
            explored = epsilon[row] / (num_eligible[row] - slot)
            total = 0.0
            for d in range(slot + 1):
                total += chance[d] * (explored + (greed if place[row, slot] <= d else 0.0))
            marginal[row, slot] = total


def prefix_probability(
    place: Int[A, "rows slots"], num_eligible: Int[A, " rows"], epsilon: Float[A, " rows"]
) -> Float[A, "rows slots"]:
    """The probability of slots 0 to k together, for distinct eligible items that stand at `place` of the greedy
    slate: the product of epsilon/(n - k) + (1 - epsilon) [the item is the best not yet placed]."""
    explored = epsilon[:, None] / (num_eligible[:, None] - np.arange(place.shape[1]))
    return np.cumprod(explored + (1 - epsilon)[:, None] * (place == best_unplaced(place)), axis=1)


def best_unplaced(place: Int[A, "rows slots"]) -> Int[A, "rows slots"]:
    """The best place of the greedy slate that no slot before has taken."""
    taken = place[:, :, None] == np.arange(place.shape[1])
    before = np.zeros_like(taken)
    np.logical_or.accumulate(taken[:, :-1], axis=1, out=before[:, 1:])
    return np.argmin(before, axis=2)
