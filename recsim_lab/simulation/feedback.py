"""What a click leaves behind: dwell, likes, and the world's own reward."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int
from scipy.special import expit

from recsim_lab.simulation.dynamics import Response, State
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray

DWELL, LIKE, RATING_NOISE = 2, 3, 4  # purposes of draws; lane = slot


class Feedback(ABC):
    """Turns clicks into dwell (minutes), likes and one reward a row."""

    @abstractmethod
    def emit(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        """Fill `dwell`, `likes` and `reward` of the response, which come in as zeros."""


@dataclass(frozen=True)
class Engagement(Feedback):
    """Log-normal dwell, longer for quality and short for clickbait; likes follow value; the reward is the clicks.

    log dwell ~ N(log(median_minutes) + quality_effect q - clickbait_effect c, spread^2);
    P(like) = sigmoid(like_logit + like_value v).
    """

    median_minutes: float = 4.0
    quality_effect: float = 0.4
    clickbait_effect: float = 0.5
    spread: float = 0.6
    like_logit: float = -2.0
    like_value: float = 1.0

    def __post_init__(self) -> None:
        if self.median_minutes <= 0 or self.spread < 0:
            raise ValueError(
                f"median_minutes must be positive and spread at least 0, got {self.median_minutes} and {self.spread}"
            )

    def emit(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        row, slot, items = response.clicked_row, response.clicked_slot, response.clicked_item
        if not len(row):
            return
        clicked = draws.take(row)
        location = np.float32(np.log(self.median_minutes)) + (
            np.float32(self.quality_effect) * world.catalogue.quality.take(items)
            - np.float32(self.clickbait_effect) * world.catalogue.clickbait.take(items)
        )
        noise = clicked.normal_at(DWELL, slot)
        response.dwell[row, slot] = np.exp(location + np.float32(self.spread) * noise)
        logit = np.float32(self.like_logit) + np.float32(self.like_value) * response.value
        response.likes[row, slot] = clicked.uniform_at(LIKE, slot) < expit(logit)
        response.reward[:] = np.bincount(row, minlength=len(rows))


@dataclass(frozen=True)
class Rating(Feedback):
    """RecLab's answer (Krauth et al. 2020): the shown item is rated clip(utility + N(0, noise^2), low, high).

    The reward is the rating. Ratings of at least `liked` count as likes; dwell is not modelled (0).
    """

    noise: float = 0.5
    low: float = 1.0
    high: float = 5.0
    liked: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.noise < np.inf:
            raise ValueError(f"noise must be at least 0 and finite, got {self.noise}")
        if not self.low <= self.high:
            raise ValueError(f"low must be at most high {self.high}, got {self.low}")

    def emit(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        row, slot = response.clicked_row, response.clicked_slot
        noise = np.float32(self.noise) * draws.take(row).normal_at(RATING_NOISE, slot)
        rating = np.clip(response.utility[row, slot] + noise, np.float32(self.low), np.float32(self.high))
        response.likes[row, slot] = rating >= self.liked
        response.reward[:] = np.bincount(row, rating, len(rows))


@dataclass(frozen=True)
class ClicksOnly(Feedback):
    """A click is all there is: no dwell, no likes; the reward is the number of clicks."""

    def emit(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        response.reward[:] = np.bincount(response.clicked_row, minlength=len(rows))


@dataclass(frozen=True)
class WatchTime(Feedback):
    """RecSim's answer (Ie et al. 2019): a clicked video of `length` minutes is watched until the time left is over.

    Dwell and reward are the minutes watched; several clicks of a slate share the time left in the order of their
    slots. Nobody likes. Reads `time_left` of `TimeBudget`.
    """

    length: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.length < np.inf:
            raise ValueError(f"length must be positive and finite, got {self.length}")

    def emit(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        wanted = np.cumsum(response.clicks, axis=1, dtype=np.float32) * np.float32(self.length)
        watched = np.minimum(wanted, np.maximum(state["time_left"][rows], np.float32(0))[:, None])
        response.dwell[:] = np.diff(watched, axis=1, prepend=np.float32(0))
        response.reward[:] = response.dwell.sum(axis=1)


@dataclass(frozen=True)
class ChocKaleEngagement(Feedback):
    """RecSim's answer where clickbait is chocolate and the rest kale (Ie et al. 2019, long-term satisfaction).

    log dwell ~ N(S (c choc_mean + (1 - c) kale_mean), (c choc_spread + (1 - c) kale_spread)^2)

    with clickbait c and the satisfaction S before this slate. The reward is the dwell. Nobody likes. RecSim reports
    engagement cut at 100 and pays it in full; here it is reported in full too. Reads `satisfaction`, such as
    that of `LongTermSatisfaction`.
    """

    choc_mean: float = 5.0
    choc_spread: float = 1.0
    kale_mean: float = 4.0
    kale_spread: float = 1.0

    def __post_init__(self) -> None:
        for name in ("choc_mean", "kale_mean"):
            if not np.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")
        for name in ("choc_spread", "kale_spread"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {getattr(self, name)}")

    def emit(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        row, slot = response.clicked_row, response.clicked_slot
        choc = world.catalogue.clickbait.take(response.clicked_item)
        kale = 1 - choc
        mean = state["satisfaction"][rows[row]] * (
            np.float32(self.choc_mean) * choc + np.float32(self.kale_mean) * kale
        )
        spread = np.float32(self.choc_spread) * choc + np.float32(self.kale_spread) * kale
        response.dwell[row, slot] = np.exp(mean + spread * draws.take(row).normal_at(DWELL, slot))
        response.reward[:] = response.dwell.sum(axis=1)
