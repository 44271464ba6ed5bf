"""Clicks as a linear function of features: what impressions tell of its weights, and how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky, solve_triangular

A = np.ndarray

_LARGEST_VARIANCE = 0.25
"""That of a click with probability 1/2."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """The sums over impressions that a ridge regression of clicks on features needs.

    `gram` is the sum of phi phi^T, `moment` the sum of phi over the clicked ones.
    """

    gram: Float[A, "features features"]
    moment: Float[A, " features"]
    num_impressions: float
    num_clicks: float

    @staticmethod
    def nothing(num_features: int) -> "Evidence":
        return Evidence(np.zeros((num_features, num_features)), np.zeros(num_features), 0.0, 0.0)

    def state(self) -> dict[str, A]:
        return {name: np.asarray(value, np.float64) for name, value in vars(self).items()}

    @staticmethod
    def restored(state: Mapping[str, A]) -> "Evidence":
        counts = (float(state[name]) for name in ("num_impressions", "num_clicks"))
        return Evidence(state["gram"], state["moment"], *counts)


class Posterior:
    """What is known of the weights: normal around `mean`, with covariance `noise`^2 (gram + regularization I)^-1.

    That is the posterior of weights that are normal around 0 with variance noise^2 / regularization, given clicks
    that are normal around phi . weights. The noise is that of the residuals, as if one more impression had had the
    largest variance that a click can have.
    """

    def __init__(self, evidence: Evidence, regularization: float | int) -> None:
        size = len(evidence.moment)
        lower = cholesky(evidence.gram + regularization * np.eye(size), lower=True)
        self.root: Float[A, "features features"] = solve_triangular(lower, np.eye(size), lower=True)
        """root^T root is (gram + regularization I)^-1."""
        self.mean: Float[A, " features"] = self.root.T @ (self.root @ evidence.moment)
        squares = evidence.num_clicks - 2 * self.mean @ evidence.moment + self.mean @ evidence.gram @ self.mean
        self.noise = float(np.sqrt((max(squares, 0.0) + _LARGEST_VARIANCE) / (evidence.num_impressions + 1)))

    @cached_property
    def covariance(self) -> Float[A, "features features"]:
        """(gram + regularization I)^-1, without the noise."""
        return self.root.T @ self.root

    def sample(self, normal: Float[A, "rows features"], scale: float | int) -> Float[A, "rows features"]:
        """Weights for each row of standard normal numbers; `scale` multiplies how far they are from the mean."""
        return self.mean + scale * self.noise * (normal @ self.root)


def check_ridge(regularization: float | int, scale: float | int, name: str) -> None:
    """Raise ValueError where the parameters of a posterior are out of range."""
    if not 0 < regularization < float("inf"):
        raise ValueError(f"regularization must be above 0 and finite, got {regularization}")
    if not 0 <= scale < float("inf"):
        raise ValueError(f"{name} must be at least 0 and finite, got {scale}")
