"""References that read the hidden truth: the oracle, oracles that know less, and the best low-rank model of it."""

from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.evaluation.organic import Organic, TopTopic
from recsim_lab.policy import TICKS_PER_DAY, Observation, Policy, Scorer
from recsim_lab.simulation.dynamics import SessionIntent
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.utility import PARTS_OF_DAY
from recsim_lab.simulation.world import World

A = np.ndarray


@final
@dataclass(eq=False)
class Oracle(Scorer):
    """Shows the items of highest true utility at this request, in order.

    It is the best answer to a single request under choice models that reward utility from the top, not a bound on
    a user's life: what it shows now bores and satisfies later, so regret against it may be negative.

    `known` is the world whose utility it goes by. Given the same world with some components switched off, it is
    an oracle that knows the others only. It must `watch` the sessions that it serves.
    """

    known: World
    label: str = "oracle"
    sessions: Sessions | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.label

    def watch(self, sessions: Sessions) -> "Oracle":
        """Read the truth from these sessions from now on; their rows must be the users of the requests."""
        self.sessions = sessions
        return self

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float32[A, "rows candidates"]:
        if self.sessions is None:
            raise ValueError("the oracle must watch the sessions it serves: call watch(sessions) first")
        if items is None:
            every = np.arange(self.known.catalogue.num_items, dtype=np.int32)
            items = np.tile(every, (len(observation), 1))
        utility, _ = self.known.true_utility(self.sessions.state, observation.user.astype(np.int64), items)
        return utility


@final
@dataclass(eq=False)
class FixedScores(Scorer):
    """Scores that are written down beforehand, `table[user, item]`: such as the best low-rank fit to the truth."""

    table: Float32[A, "users items"]
    label: str

    @property
    def name(self) -> str:
        return self.label

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float32[A, "rows candidates"]:
        if items is None:
            return self.table[observation.user]
        return self.table[observation.user[:, None], items]


def low_rank_fit(utility: Float32[A, "users items"], rank: int) -> Float32[A, "users items"]:
    """The best fit of item means plus a matrix of this rank, in the least-squares sense (Eckart and Young 1936)."""
    mean = utility.mean(axis=0)
    left, size, right = np.linalg.svd(utility - mean, full_matrices=False)
    return (mean + (left[:, :rank] * size[:rank]) @ right[:rank]).astype(np.float32)


KNOWN = {
    "oracle-appeal": (),
    "oracle-features": ("features",),
    "oracle-latent": ("latent",),
    "oracle-intent": ("intent",),
}
"""Oracles that know the items' appeal (with clickbait and freshness) and one component more."""
REFERENCES = ("oracle", *KNOWN, "low-rank", "organic", "top-topic")
"""The policies that `make_reference` makes; `low-rank` serves the best fit whose rank is that of the latent match."""


def make_reference(name: str, world: World, sessions: Sessions) -> Policy:
    """A reference policy that serves these sessions.

    Raises:
        ValueError: for an unknown name, naming those there are.
    """
    if name == "oracle":
        return Oracle(world).watch(sessions)
    if name in KNOWN:
        return Oracle(knowing(world, KNOWN[name]), name).watch(sessions)
    if name == "organic":
        return Organic(world)
    if name == "top-topic":
        return TopTopic(world)
    if name == "low-rank":
        rank = world.catalogue.latent.shape[1]
        return FixedScores(low_rank_fit(mean_utility(world, sessions), rank), name)
    raise ValueError(f"reference must be one of {', '.join(REFERENCES)}, got {name!r}")


def knowing(world: World, components: tuple[str, ...]) -> World:
    """The same world as somebody sees it who knows the items and these of `latent`, `features` and `intent`."""
    utility = replace(
        world.utility,
        latent=world.utility.latent * ("latent" in components),
        features=world.utility.features * ("features" in components),
    )
    intent = tuple(d for d in world.dynamics if isinstance(d, SessionIntent) and "intent" in components)
    return replace(world, utility=utility, dynamics=intent)


def mean_utility(world: World, sessions: Sessions) -> Float32[A, "users items"]:
    """Each user's utility of each item as of now, without the effects of dynamics, averaged over the day."""
    still = replace(world, dynamics=())
    rows = np.arange(len(sessions))
    items = np.tile(np.arange(world.catalogue.num_items, dtype=np.int32), (len(rows), 1))
    today = sessions.state["tick"] // TICKS_PER_DAY * TICKS_PER_DAY
    parts = TICKS_PER_DAY // PARTS_OF_DAY * np.arange(PARTS_OF_DAY)
    total = np.zeros(items.shape, np.float32)
    for part in parts:
        total += still.true_utility(sessions.state | {"tick": today + part}, rows, items)[0]
    return total / np.float32(len(parts))
