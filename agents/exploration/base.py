"""Now and then an item by chance: how often, as time passes, and what all that explores so has in common."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int

from agents.base import named_with
from agents.eligible import can_stand, eligible_items
from agents.wrapper import Wrapper
from recsim_lab.policy import TICKS_PER_DAY, Observation, Recommendation, Scorer, answered
from recsim_lab.probabilities import NUM_REDRAWS, Probabilities, certain, exactly, over_redraws
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(eq=False)
class Exploration(Wrapper):
    """Explores with a probability of `epsilon`, which may fall with time.

    With a half life it falls from `epsilon` at tick 0 towards `floor`, of which it is half as far away every
    `half_life_days` days of the request's tick.
    """

    epsilon: float | int
    half_life_days: float | int | None = None
    floor: float | int = 0.0
    redraws: int = NUM_REDRAWS

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon must be in [0, 1], got {self.epsilon}")
        if self.half_life_days is not None and not 0 < self.half_life_days < float("inf"):
            raise ValueError(f"half_life_days must be above 0 and finite, or None, got {self.half_life_days}")
        if self.half_life_days is None and self.floor != 0:
            raise ValueError(
                f"floor must go with half_life_days, without which epsilon does not fall, got {self.floor}"
            )
        if not 0 <= self.floor <= self.epsilon:
            raise ValueError(f"floor must be in [0, epsilon], which is {self.epsilon}, got {self.floor}")
        check_redraws(self.redraws)

    @property
    def name(self) -> str:
        parameters: dict[str, float | int | str] = {"epsilon": self.epsilon}
        if self.half_life_days is not None:
            parameters["half_life_days"] = self.half_life_days
        if self.floor != 0:
            parameters["floor"] = self.floor
        return named_with(self.policy.name, parameters | self.kind)

    @property
    @abstractmethod
    def kind(self) -> dict[str, float | int | str]:
        """What tells this way to explore from the others, as parameters of its name."""

    def epsilon_at(self, tick: Int[A, " rows"]) -> Float[A, " rows"]:
        """The probability to explore at each tick."""
        if self.half_life_days is None:
            return np.full(len(tick), self.epsilon, np.float64)
        half_lives = np.maximum(tick, 0) / (self.half_life_days * TICKS_PER_DAY)
        return self.floor + (self.epsilon - self.floor) * 0.5**half_lives


@final
@dataclass(eq=False)
class Ranking(Scorer):
    """The order in which a random policy goes on the whole, which offline metrics judge."""

    label: str
    score: Callable[[Observation, Int[A, "rows candidates"] | None], Float[A, "rows candidates"]]

    @property
    def name(self) -> str:
        return self.label

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float[A, "rows candidates"]:
        return self.score(observation, items)


def sampled(items: Int[A, "rows slots"], name: str) -> Recommendation:
    """The recommendation of slates that are the best under some luck, and how likely is not known in closed form."""
    unknown = np.full(items.shape, np.nan)
    return answered(items, exactly(unknown, unknown), np.zeros(items.shape, np.int16), (name,))


def by_redraws(
    slate: Callable[[Draws], Int[A, "rows slots"]],
    observation: Observation,
    slates: Int[A, "rows slots"],
    num_redraws: int,
) -> Probabilities:
    """How often redraws end in `slates`, of a policy that is certain of its `slate` given the luck."""
    told = over_redraws(lambda draws: certain(slate(draws), slates), observation, num_redraws)
    return rule_out(told, eligible_items(observation, slates.shape[1]).number(slates))


def check_redraws(redraws: int) -> None:
    """Raise ValueError where there are too few redraws for an estimate."""
    if redraws < 2:
        raise ValueError(f"redraws must be at least 2, got {redraws}")


def rule_out(told: Probabilities, numbers: Int[A, "rows slots"]) -> Probabilities:
    """The same, but exactly 0 for items that are not eligible (number -1), or stand in an earlier slot too.

    Redraws alone cannot tell what is impossible from what is rare.
    """
    eligible = numbers >= 0
    standing = np.logical_and.accumulate(can_stand(numbers), axis=1)
    return Probabilities(
        *(np.where(eligible, told.marginal, np.float32(0)), np.where(standing, told.prefix, 0.0)),
        *(np.where(eligible, told.error, np.float32(0)), np.where(standing, told.prefix_error, np.float32(0))),
    )
