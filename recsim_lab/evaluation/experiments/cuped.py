"""CUPED: what users did before an experiment says what they would have done in it, and need not be noise.

Deng, Xu, Kohavi & Walker, "Improving the sensitivity of online controlled experiments by utilizing pre-experiment
data", WSDM 2013.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

A = np.ndarray


@dataclass(frozen=True)
class Adjusted:
    """A metric less what a covariate explains: `values - coefficient (covariate - mean)`, to be tested as the metric
    was. `variance_ratio` is what is left of the variance within arms, 1 - ρ²."""

    values: Float64[A, " users"]
    coefficient: float
    variance_ratio: float


def adjusted(values: Float[A, " users"], covariate: Float[A, " users"], arm: Int[A, " users"]) -> Adjusted:
    """The metric adjusted by one covariate from before the experiment, which the arms cannot have changed.

    The coefficient is the regression's within arms, so that an effect of the arms does not enter it, and one for all
    of them, so that the expected difference between arms stays what it is. A covariate that says nothing (or does not
    vary) changes nothing.
    """
    y, x = _within(values, arm), _within(covariate, arm)
    explained = float(x @ x)
    if explained == 0:
        return Adjusted(values.astype(np.float64), 0.0, 1.0)
    coefficient = float(x @ y) / explained
    left = y - coefficient * x
    whole = float(y @ y)
    ratio = float(left @ left) / whole if whole > 0 else 1.0
    return Adjusted(values - coefficient * (covariate - covariate.mean()), coefficient, ratio)


def _within(values: A, arm: A) -> A:
    """Deviations from the mean of the own arm."""
    _, number = np.unique(arm, return_inverse=True)
    means = np.bincount(number, values) / np.bincount(number)
    return values - means[number]
