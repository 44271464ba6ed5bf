"""A model of rewards: what an item is expected to earn in a slot, learned from other rows than it is asked about."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int

from recsim_lab.policy import Observation

A = np.ndarray


class Expectation(ABC):
    """What a fitted model expects."""

    @abstractmethod
    def predict(self, observation: Observation, slates: Int[A, "rows slots"]) -> Float[A, "rows slots"]:
        """The reward expected of each slot, which depends on the request, the item and the slot alone."""


class RewardModel(ABC):
    """How to learn what items earn."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The model and its parameters."""

    @abstractmethod
    def fit(
        self, observation: Observation, slates: Int[A, "rows slots"], reward: Float[A, "rows slots"]
    ) -> Expectation:
        """Learn from what logged slates earned; the model itself stays as it is."""


@final
@dataclass(frozen=True)
class SmoothedRates(RewardModel):
    """The mean reward of the slot, times how much more than expected the item earns, times the same for the user.

    Either factor is (earned + `prior`) / (expected + `prior`), the posterior mean of a Poisson rate under a gamma prior
    around 1; they are fitted in turns, `rounds` times. `prior` is in units of reward: 5 are five clicks. For rewards
    that are not negative.
    """

    prior: float = 5.0
    rounds: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.prior < np.inf:
            raise ValueError(f"prior must be above 0 and finite, got {self.prior}")
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")

    @property
    def name(self) -> str:
        return f"smoothed-rates:prior={self.prior:g}"

    def fit(self, observation: Observation, slates: Int[A, "rows slots"], reward: Float[A, "rows slots"]) -> "Rates":
        if reward.size and (least := reward.min()) < 0:
            raise ValueError(f"reward must be at least 0 for smoothed rates, got {least}")
        num_items, user = observation.features.num_items, observation.user
        num_users = int(user.max()) + 1 if len(user) else 0
        of_slot = reward.mean(axis=0) if len(reward) else np.zeros(slates.shape[1])
        of_item, of_user = np.ones(num_items), np.ones(num_users)
        flat, by_item = slates.ravel(), np.bincount(slates.ravel(), reward.ravel(), num_items)
        by_user = np.bincount(user, reward.sum(axis=1), num_users)
        for _ in range(self.rounds):
            expected = np.bincount(flat, np.outer(of_user[user], of_slot).ravel(), num_items)
            of_item = (by_item + self.prior) / (expected + self.prior)
            expected = np.bincount(user, of_item[slates] @ of_slot, num_users)
            of_user = (by_user + self.prior) / (expected + self.prior)
        return Rates(of_slot, of_item, of_user)


@final
@dataclass(frozen=True)
class Rates(Expectation):
    """The factors of `SmoothedRates`; users and items that were not learned from have 1."""

    of_slot: Float[A, " slots"]
    of_item: Float[A, " items"]
    of_user: Float[A, " users"]

    def predict(self, observation: Observation, slates: Int[A, "rows slots"]) -> Float[A, "rows slots"]:
        padded = np.append(self.of_user, 1.0)
        of_user = padded[np.minimum(observation.user, len(self.of_user))]
        return self.of_slot * self.of_item[slates] * of_user[:, None]


@final
@dataclass(frozen=True)
class CrossFitted:
    """One fitted model a fold of rows, learned from all other folds: no row is predicted by a model that knows it."""

    fold: Int[A, " rows"]
    models: tuple[Expectation, ...]

    def take(self, rows: Int[A, " taken"]) -> "CrossFitted":
        """Of some of the rows, which are numbered anew."""
        return CrossFitted(self.fold[rows], self.models)

    def predict(
        self, observation: Observation, slates: Int[A, "some slots"], rows: Int[A, " some"]
    ) -> Float[A, "some slots"]:
        """The rewards expected of some requests; `rows` says which of the rows each belongs to, in any order."""
        expected, fold = np.empty(slates.shape), self.fold[rows]
        for number, model in enumerate(self.models):
            if (mine := np.flatnonzero(fold == number)).size:
                expected[mine] = model.predict(observation.take(mine), slates[mine])
        return expected


def cross_fit(
    model: RewardModel,
    observation: Observation,
    slates: Int[A, "rows slots"],
    reward: Float[A, "rows slots"],
    num_folds: int = 3,
    seed: int = 0,
) -> CrossFitted:
    """Rows are dealt to folds at random; luck is independent between rows, also those of one user.

    Raises:
        ValueError: if there are fewer than two folds, or fewer rows than folds.
    """
    if not 2 <= num_folds <= len(slates):
        raise ValueError(f"num_folds must be in [2, number of rows], which is {len(slates)}, got {num_folds}")
    fold = np.random.default_rng(seed).permutation(len(slates)) % num_folds
    models = []
    for number in range(num_folds):
        others = np.flatnonzero(fold != number)
        models.append(model.fit(observation.take(others), slates[others], reward[others]))
    return CrossFitted(fold, tuple(models))
