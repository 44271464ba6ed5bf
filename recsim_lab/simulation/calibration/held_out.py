"""How well a score tells liked items from disliked ones among ratings that were held out."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.datasets import Ratings
from recsim_lab.simulation.calibration.leniency import Leniency
from recsim_lab.simulation.sessions import population_sessions
from recsim_lab.simulation.world import World

A = np.ndarray

LIKED, DISLIKED = 4.0, 2.0
"""From so many stars up an item counts as liked, down to so many as disliked; ratings between count as neither."""


def clear_ratings(ratings: Ratings) -> Ratings:
    """The ratings that say liked or disliked."""
    return ratings.subset((ratings.rating >= LIKED) | (ratings.rating <= DISLIKED))


def lasting_utility(world: World, user: Int[A, " pairs"], item: Int[A, " pairs"]) -> Float[A, " pairs"]:
    """The world's utility of each item to each user, leniency included, before any mood, boredom or drift."""
    lasting = tuple(dynamics for dynamics in world.dynamics if isinstance(dynamics, Leniency))
    still = replace(world, dynamics=lasting)
    sessions = population_sessions(still, seed=0)
    utility, _ = still.true_utility(sessions.state, user, item[:, None])
    return utility[:, 0]


def auc(liked: Bool[A, " pairs"], score: Float[A, " pairs"], weight: Float[A, " pairs"] | None = None) -> float:
    """The chance that a liked pair scores above a disliked one, equal scores counting half; NaN without either."""
    return float(_WeightedAuc.of(liked, score)(np.ones(len(liked)) if weight is None else weight))


def auc_gain(
    ratings: Ratings,
    score: Float[A, " ratings"],
    reference: Float[A, " ratings"],
    generator: np.random.Generator,
    num_resamples: int = 500,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """By how much `score` has the higher AUC on these (clear) ratings, with the ends of its interval.

    A percentile bootstrap over users, since the ratings of a user are not independent.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    liked = ratings.rating >= LIKED
    ours, theirs = _WeightedAuc.of(liked, score), _WeightedAuc.of(liked, reference)
    everybody = np.ones(len(liked))
    users, user = np.unique(ratings.user, return_inverse=True)
    gains = np.empty(num_resamples)
    for resample in range(num_resamples):
        drawn = np.bincount(generator.integers(len(users), size=len(users)), minlength=len(users))
        weight = drawn[user].astype(np.float64)
        gains[resample] = ours(weight) - theirs(weight)
    low, high = np.nanquantile(gains, [(1 - level) / 2, (1 + level) / 2])
    return ours(everybody) - theirs(everybody), float(low), float(high)


@dataclass(frozen=True, eq=False)
class _WeightedAuc:
    """Pairs in order of their score: one sort serves any number of weightings."""

    order: Int[A, " pairs"]
    liked: Bool[A, " pairs"]
    first_of_ties: Int[A, " distinct"]

    @staticmethod
    def of(liked: Bool[A, " pairs"], score: Float[A, " pairs"]) -> "_WeightedAuc":
        if np.isnan(score).any():
            raise ValueError(f"score must not be NaN, got NaN for {int(np.isnan(score).sum())} ratings")
        order = np.argsort(score, kind="stable")
        ordered = score[order]
        new = np.ones(len(ordered), bool)
        new[1:] = ordered[1:] > ordered[:-1]
        return _WeightedAuc(order, liked[order], np.flatnonzero(new))

    def __call__(self, weight: Float[A, " pairs"]) -> float:
        if not len(self.order):
            return float("nan")
        ordered = weight[self.order]
        liked = np.add.reduceat(np.where(self.liked, ordered, 0.0), self.first_of_ties)
        disliked = np.add.reduceat(np.where(self.liked, 0.0, ordered), self.first_of_ties)
        below = np.cumsum(disliked) - disliked
        pairs = liked.sum() * disliked.sum()
        return float(liked @ (below + disliked / 2) / pairs) if pairs > 0 else float("nan")
