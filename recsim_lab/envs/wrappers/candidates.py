"""A few candidates with their features at each step, from which the client fills the slate."""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations
from math import comb, perm

import gymnasium
import numba
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from jaxtyping import Float32, Int

from recsim_lab.compile import kernel
from recsim_lab.envs.seats import as_slates
from recsim_lab.envs.wrappers.base import Requests, View
from recsim_lab.envs.wrappers.public_numbers import PublicNumbers
from recsim_lab.policy import Observation, Policy, check_slates
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.streams import Draws

A = np.ndarray

MOST_SLATES = 10_000
"""Enumerated slates beyond which an action space is no longer small."""


@dataclass(frozen=True)
class CandidateSets(View):
    """At each step `num_candidates` distinct items on offer are drawn, each set of them as likely as any other, or a
    `retriever` recommends them; the client sees their features and answers by their places.

    Beyond a thousand items this is the way to learn in these environments: actions of 10 slots over 10,000 items
    cost an actor with 64 hidden units 6.5 million parameters in its last layer, and what is learned of one item says
    nothing of another. Among candidates the actor has 64 x 10 x `num_candidates`, and reads what items are.

    The observation is one vector: `PublicNumbers` of the request, then of each candidate its features, how well they
    match the mean of what the user clicked (dot product), whether it is among those clicks, and whether it was shown in
    this visit.

    The action names places among the candidates. `slates="slots"`: one for each slot, where a place that is repeated
    makes a void slot; just a number if there is one slot. With `"ordered"` or `"unordered"`, the number of one of all
    slates of distinct candidates, as those who learn a value for each action need it: in every order, or only in
    that of the candidates.
    """

    num_candidates: int = 20
    slates: str = "slots"
    retriever: Policy | None = None
    most_codes: int = 64
    num_newest: int = 3

    def __post_init__(self) -> None:
        num_slots, num_items = self.seats.num_slots, self.seats.world.catalogue.num_items
        if not num_slots <= self.num_candidates <= num_items:
            raise ValueError(
                f"num_candidates must be in [{num_slots}, {num_items}], the slots and items there are, "
                f"got {self.num_candidates}"
            )
        if self.slates not in ("slots", "ordered", "unordered"):
            raise ValueError(f"slates must be slots, ordered or unordered, got {self.slates!r}")
        if self.slates != "slots":
            number = (perm if self.slates == "ordered" else comb)(self.num_candidates, num_slots)
            if number > MOST_SLATES:
                raise ValueError(
                    f"slates={self.slates!r} must be at most {MOST_SLATES}, got {number} of {num_slots} out of "
                    f"{self.num_candidates} candidates"
                )

    @cached_property
    def numbers(self) -> PublicNumbers:
        return PublicNumbers(self.seats.world.features, self.most_codes, self.num_newest)

    @cached_property
    def places(self) -> Int[A, "slates slots"]:
        """The candidates of each enumerated slate."""
        every = permutations if self.slates == "ordered" else combinations
        return np.array(list(every(range(self.num_candidates), self.seats.num_slots)), np.int64)

    @property
    def observation_space(self) -> gymnasium.Space:
        request = self.numbers.space(self.inner_observations)
        items = np.abs(self.numbers.items)
        bound = max(self.numbers.bound, float((items.max(axis=0, initial=0) ** 2).sum()))
        width = self.num_candidates * (items.shape[1] + 3)
        low, high = (
            np.append(side, np.full(width, sign * bound, np.float32))
            for side, sign in ((request.low, -1), (request.high, 1))
        )
        return Box(low, high, dtype=np.float32)

    @property
    def action_space(self) -> gymnasium.Space:
        if self.slates != "slots":
            return Discrete(len(self.places))
        if self.seats.num_slots == 1:
            return Discrete(self.num_candidates)
        return MultiDiscrete([self.num_candidates] * self.seats.num_slots)

    def choices(self, observation: Observation, draws: Draws) -> Int[A, "rows choices"]:
        if self.retriever is None:
            return draw_items(observation, self.num_candidates, draws)
        items = self.retriever.recommend(observation, self.num_candidates, draws.fork("retriever")).items
        check_slates(items, observation, self.retriever.name)
        return items

    def observe(self, requests: Requests) -> Float32[A, "rows numbers"]:
        observation, items = requests.observation, requests.choices
        features = self.numbers.items[items]
        match = (features * self.numbers.liked(observation)[:, None]).sum(axis=2)
        clicked, shown = (
            (items[:, :, None] == past[:, None]).any(axis=2) for past in (observation.clicked, observation.shown)
        )
        each = np.concatenate([features, np.stack([match, clicked, shown], axis=2, dtype=np.float32)], axis=2)
        request = self.numbers.requests(observation, requests.fields)
        return np.concatenate([request, each.reshape(len(requests), -1)], axis=1)

    def translate(self, actions: A, requests: Requests) -> A:
        slots = self.slates == "slots"
        one = not slots or self.seats.num_slots == 1
        places = as_slates(actions, (len(requests), *(() if one else (self.seats.num_slots,))))
        limit = self.num_candidates if slots else len(self.places)
        if places.size and not 0 <= places.min() <= places.max() < limit:
            raise ValueError(f"actions must be in [0, {limit}), got {places.min()} to {places.max()}")
        chosen = places.reshape(len(requests), -1) if slots else self.places[places]
        return np.take_along_axis(requests.choices, chosen, axis=1)


def draw_items(observation: Observation, number: int, draws: Draws) -> Int[A, "rows number"]:
    """Distinct eligible items for each request, in random order, each ordered set as likely as any other.

    Raises:
        ValueError: if a request has fewer eligible items.
    """
    # Requests between the same two changes of what is on offer have the same items, unless a rule blocks some.
    period = observation.features.changes.searchsorted(observation.tick, "right")
    if observation.blocked.shape[1]:
        period = np.arange(len(observation))
    _, example, period = np.unique(period, return_index=True, return_inverse=True)
    allowed, item = np.nonzero(observation.take(example).eligible())
    count = np.bincount(allowed, minlength=len(example))
    if len(count) and count.min() < number:
        raise ValueError(f"num_candidates must be at most the items on offer, got {number} of {count.min()}")
    start = np.cumsum(count) - count
    # Two lanes for a draw: 2^23 steps alone would not be even among very many items.
    coarse, fine = np.split(draws.uniform(Purpose.CANDIDATES, 2 * number).astype(np.float64), 2, axis=1)
    luck = np.floor(coarse * 2**23) / 2**23 + fine / 2**23
    chosen = np.empty((len(observation), number), np.int32)
    _shuffle(luck, start[period], count[period], item, chosen)
    return chosen


@kernel
def _shuffle(luck, start, count, items, chosen):  # type: ignore[no-untyped-def]
    """The first steps of the shuffle of Fisher and Yates (Durstenfeld 1964, algorithm 235); of the list that it
    shuffles only the places that it has written to are held."""
    number = chosen.shape[1]
    for row in numba.prange(len(luck)):
        written, held = np.empty(number, np.int64), np.empty(number, np.int64)
        for step in range(number):
            place = step + np.int64(luck[row, step] * (count[row] - step))
            here, there = step, place
            for earlier in range(step):
                if written[earlier] == step:
                    here = held[earlier]
                if written[earlier] == place:
                    there = held[earlier]
            chosen[row, step] = items[start[row] + there]
            written[step], held[step] = place, here
