"""What is done to large weights: a little bias for much less variance, as much as the data ask for.

The constant is given, or chosen from candidates in order from the least bias to the least variance. With a model to
fall back on, by SLOPE (Su, Srinath & Krishnamurthy, ICML 2020): the last one whose interval still meets those of all
before it. Without, SLOPE would give away a tenth of the value before it took offence, so that clipping takes the one
of least estimated squared error: the squared distance to the unchanged estimate plus the squared standard error.

The standard error of a changed estimate says nothing of its bias; how far it was moved stands beside it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
from jaxtyping import Float

from recsim_lab.evaluation.off_policy.estimate import Terms, mean_and_error
from recsim_lab.evaluation.off_policy.logged import LoggedSlates
from recsim_lab.evaluation.off_policy.weighting import Weights

A = np.ndarray

NUM_CONSTANTS = 10
"""Candidates for a constant, in equal ratios."""
_SLOPE = np.sqrt(6) - 1
"""How much of its own width a candidate may differ by (Su et al., Section 3)."""
_ROWS_AT_ONCE = 2**12
"""Rows whose weights stay in the processor's caches while they are changed and summed."""


class Change(ABC):
    """A map of weights that leaves the small ones as they are; `constant` None: chosen from the data."""

    constant: float | None

    @property
    @abstractmethod
    def name(self) -> str:
        """What is done; empty for nothing."""

    @abstractmethod
    def apply(self, weight: Float[A, "*shape"], constant: float) -> Float[A, "*shape"]:
        """The changed weights."""

    @abstractmethod
    def candidates(self, largest: float) -> Float[A, " constants"]:
        """The constants to choose from, for weights of which the largest is given, from infinity, no change, on."""

    @abstractmethod
    def choose(self, trial: "Trial", constants: Float[A, " constants"]) -> float:
        """One of the candidates."""


Trial = Callable[[float], tuple[float, float]]
"""The estimate with a constant, and its standard error."""


@final
@dataclass(frozen=True)
class Plain(Change):
    """Nothing."""

    constant: float | None = float("inf")

    def __post_init__(self) -> None:
        if self.constant != np.inf:
            raise ValueError(f"constant of plain weights must be infinite, got {self.constant}")

    @property
    def name(self) -> str:
        return ""

    def apply(self, weight: Float[A, "*shape"], constant: float) -> Float[A, "*shape"]:
        return weight

    def candidates(self, largest: float) -> Float[A, " constants"]:
        return np.array([np.inf])

    def choose(self, trial: Trial, constants: Float[A, " constants"]) -> float:
        return np.inf


@final
@dataclass(frozen=True)
class Clip(Change):
    """min(weight, constant) (Ionides 2008); the candidates go down to 1, a weight of like policies."""

    constant: float | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def name(self) -> str:
        return "clip"

    def apply(self, weight: Float[A, "*shape"], constant: float) -> Float[A, "*shape"]:
        return np.minimum(weight, constant)

    def candidates(self, largest: float) -> Float[A, " constants"]:
        return np.append(np.inf, np.geomspace(max(largest, 1.0), 1.0, NUM_CONSTANTS)[1:])

    def choose(self, trial: Trial, constants: Float[A, " constants"]) -> float:
        return least_error(trial, constants)


@final
@dataclass(frozen=True)
class Switch(Change):
    """The weight up to the constant, 0 above it (Wang, Agarwal & Dudík, ICML 2017): there the model speaks alone.

    The candidates end at 0, where it does everywhere.
    """

    constant: float | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def name(self) -> str:
        return "switch"

    def apply(self, weight: Float[A, "*shape"], constant: float) -> Float[A, "*shape"]:
        return weight * (np.abs(weight) <= constant)

    def candidates(self, largest: float) -> Float[A, " constants"]:
        return _down_to_nothing(largest)

    def choose(self, trial: Trial, constants: Float[A, " constants"]) -> float:
        return slope(trial, constants)


@final
@dataclass(frozen=True)
class Shrink(Change):
    """constant weight / (weight^2 + constant) (optimistic shrinkage; Su et al., ICML 2020): DRos with a model.

    The candidates end at 0, where the model speaks alone.
    """

    constant: float | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def name(self) -> str:
        return "shrink"

    def apply(self, weight: Float[A, "*shape"], constant: float) -> Float[A, "*shape"]:
        if np.isinf(constant):
            return weight
        if constant == 0:
            return np.zeros_like(weight)
        return weight / (1 + weight**2 / constant)

    def candidates(self, largest: float) -> Float[A, " constants"]:
        return _down_to_nothing(largest) ** 2

    def choose(self, trial: Trial, constants: Float[A, " constants"]) -> float:
        return slope(trial, constants)


def _down_to_nothing(largest: float) -> Float[A, " constants"]:
    steps = np.geomspace(max(largest, 1.0), 0.1, NUM_CONSTANTS - 1)
    return np.concatenate([[np.inf], steps[1:], [0.0]])


def _check(change: Change) -> None:
    if change.constant is not None and not change.constant >= 0:
        raise ValueError(f"constant must be at least 0, or None to choose it, got {change.constant}")


def weighted(
    base: Float[A, " rows"] | float,
    effect: Float[A, "rows slots"],
    weights: Weights,
    change: Change,
    logged: LoggedSlates,
    base_error: Float[A, " rows"] | None = None,
) -> Terms:
    """The terms base + sum over slots of changed weight x effect, with the constant chosen if it is to be.

    Their errors add up within a row as if they were of one sign.
    """

    constant = change.constant
    if constant is None:
        trial = partial(_mean_and_error, base, effect, weights, change, logged)
        constant = change.choose(trial, change.candidates(float(np.abs(weights.value).max())))
    error = base_error
    if weights.error is not None:
        # No change is steeper than the weight itself.
        of_weights = np.einsum("rs,rs->r", weights.error, np.abs(effect))
        error = of_weights if error is None else error + of_weights
    values, changed = _values(base, effect, weights, change, constant), change.apply(weights.value, constant)
    if change.name == "":
        return Terms(values, changed, error)
    plain = _values(base, effect, weights, change, np.inf)
    return Terms(values, changed, error, constant, float(values.mean() - plain.mean()))


def slope(trial: Trial, constants: Float[A, " constants"]) -> float:
    """The last of the constants whose value is compatible with those of all before it.

    Candidate j is compatible with i if |value_i - value_j| <= width_i + (sqrt 6 - 1) width_j, where the widths are two
    standard errors.
    """
    values, widths = np.empty(len(constants)), np.empty(len(constants))
    for j, constant in enumerate(constants):
        values[j], error = trial(float(constant))
        widths[j] = 2 * error
        if (np.abs(values[:j] - values[j]) > widths[:j] + _SLOPE * widths[j]).any():
            return float(constants[j - 1])
    return float(constants[-1])


def least_error(trial: Trial, constants: Float[A, " constants"]) -> float:
    """The constant of least squared distance to the first plus squared standard error."""
    values, errors = np.array([trial(float(constant)) for constant in constants]).T
    return float(constants[np.argmin((values - values[0]) ** 2 + errors**2)])


def _mean_and_error(
    base: Float[A, " rows"] | float,
    effect: Float[A, "rows slots"],
    weights: Weights,
    change: Change,
    logged: LoggedSlates,
    constant: float,
) -> tuple[float, float]:
    mean, error = mean_and_error(_values(base, effect, weights, change, constant), logged)
    return mean, float(np.nan_to_num(error))


def _values(
    base: Float[A, " rows"] | float,
    effect: Float[A, "rows slots"],
    weights: Weights,
    change: Change,
    constant: float,
) -> Float[A, " rows"]:
    sums = np.empty(len(effect))
    for start in range(0, len(effect), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        np.einsum("rs,rs->r", change.apply(weights.value[rows], constant), effect[rows], out=sums[rows])
    return base + sums
