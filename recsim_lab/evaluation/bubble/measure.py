"""All metrics of one moment of a loop: what was shown, what was clicked, what users now prefer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.evaluation.bubble.ground import Ground
from recsim_lab.evaluation.bubble.interactions import Interactions, Window

A = np.ndarray
Pairs = Mapping[str, Int[A, "pairs 2"]]
"""Pairs of users by kind (`PAIR_KINDS`); the metrics of a kind that is absent are NaN."""


@dataclass(frozen=True)
class Measured:
    """The value of one metric."""

    level: str
    direction: str
    metric: str
    value: float


def exposure_metrics(
    window: Window,
    ground: Ground,
    pairs: Pairs,
    *,
    history: Interactions | None = None,
    on_offer: Bool[A, " items"] | None = None,
    new: Bool[A, " items"] | None = None,
    likes: Interactions | None = None,
) -> dict[str, float]:
    raise NotImplementedError


def consumption_metrics(
    window: Window,
    history: Interactions | None,
    ground: Ground,
    pairs: Pairs,
    *,
    on_offer: Bool[A, " items"] | None = None,
    new: Bool[A, " items"] | None = None,
) -> dict[str, float]:
    raise NotImplementedError


def preference_metrics(
    preference: Float[A, "users dims"], natural: Float[A, "users dims"] | None, ground: Ground, pairs: Pairs
) -> dict[str, float]:
    raise NotImplementedError


def measure(
    window: Window,
    history: Interactions | None,
    preference: Float[A, "users dims"],
    natural: Float[A, "users dims"] | None,
    ground: Ground,
    pairs: Pairs,
    *,
    on_offer: Bool[A, " items"] | None = None,
    new: Bool[A, " items"] | None = None,
    likes: Interactions | None = None,
) -> list[Measured]:
    raise NotImplementedError
