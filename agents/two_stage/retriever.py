"""A retriever finds a few items out of very many for each request, and says what it thinks of any."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from recsim_lab.policy import FeatureTable, Observation, Policy
from recsim_lab.selection import select_best

A = np.ndarray

_NUM_SAMPLED = 256
"""Items by whose scores the scores of a request are standardised."""


@dataclass(frozen=True)
class Retrieved:
    """Distinct eligible items of each request, best first, and the retriever's own scores of them.

    Where there are fewer, -1 and NaN pad on the right.
    """

    items: Int[A, "rows found"]
    scores: Float[A, "rows found"]


class Retriever(ABC):
    """The first of two stages: fast and rough, with whatever it knows.

    `policy` is the policy inside that learns; None: there is nothing to learn.
    """

    policy: Policy | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """What the log calls it as the source of a slot."""

    @abstractmethod
    def retrieve(self, observation: Observation, num: int) -> Retrieved:
        """The best `num` items of each request."""

    @abstractmethod
    def judge(self, observation: Observation, items: Int[A, "rows candidates"]) -> Float32[A, "rows candidates"]:
        """What it thinks of given items, found or not, on one scale for all requests; NaN where it can't tell.

        Either in [0, 1], or in standard deviations of the request's scores over the catalogue, so that a network can
        read it as it is.
        """


def found(scores: Float[A, "rows items"], eligible: Bool[A, "some items"], num: int) -> Retrieved:
    """The best `num` eligible columns of each row; one row of `eligible` may stand for all.

    Raises:
        ValueError: if an eligible score is NaN.
    """
    best = np.empty((len(scores), num), np.int32)
    num_found = np.empty(len(scores), np.int32)
    scores = np.require(scores, np.result_type(scores, np.float32), ["C", "W"])
    select_best(scores, np.require(eligible, None, ["C", "W"]), best, num_found)
    if (num_found < 0).any():
        raise ValueError(f"scores must not be NaN, got NaN for row {int(np.argmax(num_found < 0))}")
    return Retrieved(best, picked(scores, best))


def picked(scores: Float[A, "rows items"], places: Int[A, "rows found"]) -> Float[A, "rows found"]:
    """The scores at these places, NaN at -1."""
    if not scores.shape[1]:
        return np.full(places.shape, np.nan, scores.dtype)
    return np.where(places >= 0, np.take_along_axis(scores, np.maximum(places, 0), axis=1), np.nan).astype(scores.dtype)


def sampled_items(features: FeatureTable) -> Int[A, " sampled"]:
    """Items spread evenly over the catalogue, always the same."""
    num = min(features.num_items, _NUM_SAMPLED)
    return (np.arange(num) * features.num_items // num).astype(np.int32)


def standardised(
    scores: Float[A, "rows candidates"], sample: Float[A, "rows sampled"]
) -> Float32[A, "rows candidates"]:
    """Scores less the mean of the request's sample, in its standard deviations; NaN in the sample counts for nothing.

    Where the sample is all alike, deviations stay as they are.
    """
    known = ~np.isnan(sample)
    num = np.maximum(known.sum(axis=1, keepdims=True), 1)
    values = np.where(known, sample, 0).astype(np.float64)
    mean = values.sum(axis=1, keepdims=True) / num
    spread = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(axis=1, keepdims=True) / num)
    # Rounding leaves a trace where all are equal.
    spread = np.where(spread > 1e-6 * np.abs(mean), spread, 1.0)
    return ((scores - mean) / spread).astype(np.float32)
