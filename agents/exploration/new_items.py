"""Exploration of what was rarely shown: explored slots go to new items first, not to all alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int

from agents.base import check_catalogue
from agents.baselines import RANDOM
from agents.eligible import eligible_items
from agents.exploration.base import Exploration, rule_out
from agents.exploration.epsilon_greedy import best_unplaced, places
from agents.exploration.race import Race, in_pieces, later_redrawn, only_first, told_in_pieces
from agents.wrapper import LearningWrapper
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Recommendation, answered, check_slots
from recsim_lab.probabilities import Probabilities, exact_where, exactly, is_certain, over_redraws, redraw
from recsim_lab.streams import Draws

A = np.ndarray

_EXPLORE = 0


@final
@dataclass(eq=False)
class NewItemExploration(Exploration, LearningWrapper):
    """Fills the slate slot by slot: with probability `epsilon` an eligible item not yet placed, drawn in proportion to
    (impressions + 1)^-`rarity_power`, else the best item of the inner policy's slate that is not yet placed.

    Impressions are those of the log that was learned last, so items that were released since come first. A power of 0
    draws all alike, as `EpsilonGreedy` does; with 1, an item shown 99 times is drawn a hundredth as often as a new
    one. Where the inner policy is certain of its slate, prefixes are exact, marginals in the first slot too; in later
    slots `recommend` says NaN and `probabilities` averages over `redraws` of the slots before.
    """

    rarity_power: float | int = 1.0
    impressions: Float[A, " items"] = field(init=False, repr=False, default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.rarity_power < float("inf"):
            raise ValueError(f"rarity_power must be at least 0 and finite, got {self.rarity_power}")

    @property
    def kind(self) -> dict[str, float | int | str]:
        return {"rarity_power": self.rarity_power}

    def learn_besides(self, log: InteractionLog) -> None:
        # Whoever showed an item, it is known the better for it.
        shown = log.as_served.slate.ravel()
        self.impressions = np.bincount(shown, minlength=log.features.num_items).astype(np.float64)

    def own_state(self) -> dict[str, A]:
        return {"impressions": self.impressions}

    def restore_own(self, state: Mapping[str, A]) -> None:
        self.impressions = state["impressions"]

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        self._check(observation)
        inner = self.policy.recommend(observation, num_slots, draws.fork("inner"))
        eligible = observation.eligible()
        check_slots(eligible, num_slots)
        epsilon = self.epsilon_at(observation.tick)
        items = np.empty(inner.items.shape, np.int32)
        source = np.empty(items.shape, np.int16)
        prefix = np.empty(items.shape)
        sources = tuple(dict.fromkeys((RANDOM, *inner.sources)))
        of_inner = np.array([sources.index(name) for name in inner.sources], np.int16)[inner.source]
        for rows in in_pieces(len(observation), eligible.shape[1]):
            race = self._race(eligible[rows])
            luck = draws.take(np.arange(len(draws))[rows])
            items[rows], source[rows] = _filled(race, epsilon[rows], inner.items[rows], of_inner[rows], luck)
            chance = _next_probability(race, epsilon[rows], inner.items[rows], items[rows], items[rows])
            prefix[rows] = np.cumprod(chance, axis=1)
        return answered(items, exactly(only_first(prefix), prefix), source, sources, is_certain(inner))

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        self._check(observation)
        check_slots(observation.eligible(), slates.shape[1])
        told = told_in_pieces(observation, slates, self._tell)
        return rule_out(told, eligible_items(observation, slates.shape[1]).number(slates))

    def _tell(self, observation: Observation, slates: Int[A, "piece slots"], rows: slice) -> Probabilities:
        race, epsilon = self._race(observation.eligible()), self.epsilon_at(observation.tick)

        def answer(draws: Draws) -> Recommendation:
            return self.policy.recommend(observation, slates.shape[1], draws.fork("inner"))

        def prefix_given(greedy: Int[A, "piece slots"]) -> Float[A, "piece slots"]:
            return np.cumprod(_next_probability(race, epsilon, greedy, slates, slates), axis=1)

        inner = answer(redraw(observation, 0))
        sure, prefix = is_certain(inner), prefix_given(inner.items)
        if sure.all() and slates.shape[1] < 2:
            return exactly(prefix, prefix)

        def given(draws: Draws) -> Probabilities:
            greedy = inner.items if sure.all() else answer(draws).items
            shown, _ = _filled(race, epsilon, greedy, np.zeros(greedy.shape, np.int16), draws)
            return exactly(_next_probability(race, epsilon, greedy, slates, shown), prefix_given(greedy))

        redrawn = over_redraws(given, observation, self.redraws)
        return exact_where(sure, later_redrawn(prefix, redrawn, race.has(slates)), redrawn)

    def _check(self, observation: Observation) -> None:
        if len(self.impressions):
            check_catalogue(len(self.impressions), observation.features)

    def _race(self, eligible: Bool[A, "rows items"]) -> Race:
        num_items = eligible.shape[1]
        impressions = self.impressions if len(self.impressions) else np.zeros(num_items)
        return Race.of(-self.rarity_power * np.log1p(impressions)[None], eligible)


def _filled(
    race: Race,
    epsilon: Float[A, " rows"],
    greedy: Int[A, "rows slots"],
    of_greedy: Int[A, "rows slots"],
    draws: Draws,
) -> tuple[Int[A, "rows slots"], Int[A, "rows slots"]]:
    """Slates, and the source of each slot: 0 where explored, else that of the greedy slate.

    One race serves all explored slots, each of which takes the first to arrive that is not placed: clocks that have
    not rung have no memory.
    """
    num_slots = greedy.shape[1]
    rows = np.arange(len(greedy))
    rare, _ = race.draw(num_slots, draws.fork("race"))
    explore = draws.uniform(_EXPLORE, num_slots) < epsilon.astype(np.float32)[:, None]
    items, source = np.empty((len(greedy), num_slots), np.int32), np.empty((len(greedy), num_slots), np.int16)
    greedy_placed, rare_placed = (np.zeros(items.shape, bool) for _ in range(2))
    for slot in range(num_slots):
        best, first = np.argmin(greedy_placed, axis=1), np.argmin(rare_placed, axis=1)
        chosen = np.where(explore[:, slot], rare[rows, first], greedy[rows, best])
        items[:, slot], source[:, slot] = chosen, np.where(explore[:, slot], 0, of_greedy[rows, best])
        greedy_placed |= greedy == chosen[:, None]
        rare_placed |= rare == chosen[:, None]
    return items, source


def _next_probability(
    race: Race,
    epsilon: Float[A, " rows"],
    greedy: Int[A, "rows slots"],
    slates: Int[A, "rows slots"],
    placed: Int[A, "rows slots"],
) -> Float[A, "rows slots"]:
    """The probability that each slot of `slates` is filled as it is once the slots before hold `placed`."""
    chance = epsilon[:, None] * race.next_probability(slates, placed)
    is_best = places(greedy, slates) == best_unplaced(places(greedy, placed))
    return chance + (1 - epsilon)[:, None] * is_best
