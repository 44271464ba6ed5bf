"""RecLab's experiment: ratings of random items, then steps in which some users are shown one new item each.

Krauth et al. 2020 (arXiv 2011.07931) and the code beside it. Agents of the lab learn from clicks, so that a log of
ratings is told to them in one of two ways: `stars`, where a rating is a slate of four slots that hold the same item and
of which as many are clicked as there are stars above one, or `likes`, where a rating of at least four is a click.
"""

from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import TICKS_PER_DAY, FeatureTable, Observation
from recsim_lab.simulation.sessions import Sessions, population_sessions
from recsim_lab.simulation.world import World

A = np.ndarray

Telling = Literal["stars", "likes"]
THRESHOLDS = np.array([1.5, 2.5, 3.5, 4.5])
LIKED = 4.0


@final
@dataclass(frozen=True)
class Ratings:
    """A row per rating, oldest first; `day` counts steps."""

    user: Int[A, " ratings"]
    item: Int[A, " ratings"]
    rating: Float[A, " ratings"]
    day: Int[A, " ratings"]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: Bool[A, " ratings"]) -> "Ratings":
        return replace(self, **{name: values[rows] for name, values in vars(self).items()})

    def pairs(self, num_users: int, num_items: int) -> Bool[A, "users items"]:
        """Which user has rated which item."""
        marks = np.zeros((num_users, num_items), bool)
        marks[self.user, self.item] = True
        return marks

    def log(self, telling: Telling, features: FeatureTable) -> InteractionLog:
        """The ratings as agents are told of them; who chose the items is unknown."""
        clicks = self.rating[:, None] > THRESHOLDS if telling == "stars" else self.rating[:, None] >= LIKED
        shape = clicks.shape
        unknown = np.full(shape, np.nan)
        return InteractionLog(
            tick=self.day.astype(np.int64) * TICKS_PER_DAY,
            user=self.user.astype(np.int32),
            session=self.day.astype(np.int32),
            step=np.zeros(len(self), np.int32),
            device=np.zeros(len(self), np.int8),
            reward=self.rating.astype(np.float32),
            left=np.ones(len(self), bool),
            slate=np.broadcast_to(self.item[:, None], shape).astype(np.int32),
            propensity=unknown.astype(np.float32),
            prefix_propensity=unknown,
            propensity_error=np.zeros(shape, np.float32),
            source=np.zeros(shape, np.int16),
            clicks=clicks,
            dwell=np.zeros(shape, np.float32),
            likes=np.broadcast_to(self.rating[:, None] >= LIKED, shape),
            features=features,
            sources=("unknown",),
            history=1,
            shown=0,
        )


def joined(parts: list[Ratings]) -> Ratings:
    """One after the other."""
    return Ratings(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


class RatingExperiment:
    """The users of a world of ratings, and all ratings so far; no user rates an item twice."""

    def __init__(self, world: World, seed: int, num_initial: int) -> None:
        self.world = world
        self.num_users, self.num_items = world.population.num_users, world.catalogue.num_items
        if not 1 <= num_initial <= self.num_users * self.num_items:
            raise ValueError(f"num_initial must be in [1, number of pairs], got {num_initial}")
        self.sessions: Sessions = population_sessions(world, seed)
        self.rng = np.random.default_rng([seed, 31])
        self.barred = np.zeros((self.num_users, self.num_items), np.float32)
        """Minus infinity where the user has rated the item."""
        self.day = 0
        self.parts: list[Ratings] = []
        pairs = np.sort(self.rng.permutation(self.num_users * self.num_items)[:num_initial])
        user, item = np.divmod(pairs, self.num_items)
        # Each user's ratings in random order, one a day.
        order = np.lexsort((self.rng.random(num_initial), user))
        user, item = user[order], item[order]
        turn = np.arange(num_initial) - np.searchsorted(user, user)
        for this in range(int(turn.max()) + 1):
            self.rate(user[turn == this], item[turn == this])

    @property
    def ratings(self) -> Ratings:
        """All so far."""
        return joined(self.parts)

    def rate(self, users: Int[A, " online"], items: Int[A, " online"]) -> Float32[A, " online"]:
        """Show one item to each of the users; a day passes."""
        self.sessions.open(users, np.full(len(users), self.day * TICKS_PER_DAY))
        rating = self.sessions.answer(users, items[:, None].astype(np.int32)).reward
        self.sessions.close(users)
        self.barred[users, items] = -np.inf
        self.parts.append(Ratings(users, items, rating, np.full(len(users), self.day)))
        self.day += 1
        return rating

    def requests(self, users: Int[A, " online"]) -> Observation:
        """Requests that bring nothing but who asks: what users have rated, agents know from the log."""
        nothing = np.zeros((len(users), 0), np.int32)
        zeros = np.zeros(len(users), np.int32)
        tick = np.full(len(users), self.day * TICKS_PER_DAY, np.int64)
        features = self.world.features
        return Observation(
            users.astype(np.int32), zeros, zeros, tick, zeros, nothing, nothing, nothing, features, nothing
        )

    def true_ratings(self, users: Int[A, " online"]) -> Float32[A, "online items"]:
        """What each item would be rated now but for noise; items of a topic are worth the same."""
        _, first, topic = np.unique(self.world.catalogue.topic, return_index=True, return_inverse=True)
        utility, _ = self.world.true_utility(
            self.sessions.state, users, np.tile(first.astype(np.int32), (len(users), 1))
        )
        return utility[:, topic]
