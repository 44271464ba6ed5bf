"""A scorer as a model of rewards: its scores turned into what such scores were seen to earn."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from recsim_lab.evaluation.off_policy.reward_model import Expectation, RewardModel
from recsim_lab.policy import Observation, Scorer

A = np.ndarray

_STEPS = 25
"""Newton's method on a convex loss of two kinds of coefficients has long converged by then."""


@final
@dataclass(frozen=True)
class CalibratedScores(RewardModel):
    """The scores of a learned model, calibrated on logged slots.

    `isotonic`: the non-decreasing function of the score that fits best (Zadrozny & Elkan, KDD 2002), times a factor of
    the slot. `platt`: the logistic function of a multiple of the score and a constant of the slot (Platt 1999), for
    rewards in [0, 1]. A scorer that has learned from the very rows it is asked about knows their rewards, which
    cross-fitting the calibration does not undo.
    """

    scorer: Scorer
    method: Literal["isotonic", "platt"] = "isotonic"

    def __post_init__(self) -> None:
        if self.method not in ("isotonic", "platt"):
            raise ValueError(f"method must be 'isotonic' or 'platt', got {self.method!r}")

    @property
    def name(self) -> str:
        return f"{self.method}({self.scorer.name})"

    def fit(
        self, observation: Observation, slates: Int[A, "rows slots"], reward: Float[A, "rows slots"]
    ) -> Expectation:
        scores = self.scorer.scores(observation, slates).astype(np.float64)
        if self.method == "platt":
            return Platt(self.scorer, *_platt(scores, reward))
        knots, heights = _isotonic(scores.ravel(), reward.ravel())
        expected = np.interp(scores, knots, heights)
        total = expected.sum(axis=0)
        factor = np.divide(reward.sum(axis=0), total, out=np.ones_like(total), where=total > 0)
        return Isotonic(self.scorer, knots, heights, factor)


@final
@dataclass(frozen=True)
class Isotonic(Expectation):
    """A step function of the score, joined by lines between its steps, times a factor of the slot."""

    scorer: Scorer
    knots: Float[A, " knots"]
    heights: Float[A, " knots"]
    factor: Float[A, " slots"]

    def predict(self, observation: Observation, slates: Int[A, "rows slots"]) -> Float[A, "rows slots"]:
        return self.factor * np.interp(self.scorer.scores(observation, slates), self.knots, self.heights)


@final
@dataclass(frozen=True)
class Platt(Expectation):
    """1 / (1 + exp(-slope score - constant of the slot))."""

    scorer: Scorer
    slope: float
    constant: Float[A, " slots"]

    def predict(self, observation: Observation, slates: Int[A, "rows slots"]) -> Float[A, "rows slots"]:
        return expit(self.slope * self.scorer.scores(observation, slates).astype(np.float64) + self.constant)


def _isotonic(scores: Float[A, " slots"], reward: Float[A, " slots"]) -> tuple[Float[A, " knots"], Float[A, " knots"]]:
    """Both ends of every step of the isotonic regression; equal scores count as one with their mean reward."""
    levels, place = np.unique(scores, return_inverse=True)
    weight = np.bincount(place)
    fitted = isotonic_regression(np.bincount(place, reward) / weight, weights=weight).x
    ends = np.append(True, fitted[1:] != fitted[:-1])
    ends[:-1] |= ends[1:]
    ends[-1] = True
    return levels[ends], fitted[ends]


def _platt(scores: Float[A, "rows slots"], reward: Float[A, "rows slots"]) -> tuple[float, Float[A, " slots"]]:
    """Newton's method, with half a reward more of either kind in each slot, so that constants stay finite."""
    if reward.size and not (0 <= reward.min() <= reward.max() <= 1):
        raise ValueError(f"reward must be in [0, 1] for platt, got {reward.min()} to {reward.max()}")
    centre, spread = scores.mean(), scores.std() or 1.0
    x, num_rows = (scores - centre) / spread, len(scores)
    start = (reward.sum(axis=0) + 0.5) / (num_rows + 1)
    slope, constant = 0.0, logit(start)
    for _ in range(_STEPS):
        chance, prior = expit(slope * x + constant), expit(constant)
        curve, off = chance * (1 - chance), chance - reward
        by_slope = (off * x).sum() + slope  # a standard normal prior on the slope
        by_constant = off.sum(axis=0) + prior - 0.5
        both = (curve * x).sum(axis=0)
        of_constant = curve.sum(axis=0) + prior * (1 - prior)
        # Constants are eliminated from the two-block system.
        schur = (curve * x**2).sum() + 1 - (both**2 / of_constant).sum()
        change = (by_slope - (both * by_constant / of_constant).sum()) / schur
        slope -= change
        constant = constant - (by_constant - both * change) / of_constant
    return float(slope / spread), constant - slope * centre / spread
