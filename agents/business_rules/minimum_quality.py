"""Nothing below a standard: of a public number of each item, or of how often it was clicked when it was shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float, Float64, Int

from agents.base import ArrayAgent, check_catalogue, indifferent, learned
from agents.business_rules.forbidding import Forbidding
from agents.business_rules.item_fields import item_field
from agents.wrapper import Combination
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import FeatureTable, Observation, Policy, Scorer

A = np.ndarray


@final
@dataclass(eq=False)
class ClickRate(ArrayAgent, Scorer):
    """Clicks per impression of each item, drawn towards that of the whole log as if the item had been shown
    `prior_impressions` times more: (clicks + prior * mean) / (impressions + prior).

    It is no one's appeal but what the log tells of it: the slot, and the users whom a policy chose, are in it too.
    An item with fewer than `min_impressions` is not judged. As a policy it shows everyone the items of highest rate.
    """

    family: ClassVar[str] = "click-rate"

    prior_impressions: float | int = 100.0
    min_impressions: int = 100
    num_clicks: Int[A, " items"] = learned(1, np.int64)
    num_impressions: Int[A, " items"] = learned(1, np.int64)

    def __post_init__(self) -> None:
        for name in ("prior_impressions", "min_impressions"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")

    def learn(self, log: InteractionLog) -> None:
        """Start anew from this log."""
        num_items = log.features.num_items
        self.num_clicks = np.bincount(log.slate[log.clicks], minlength=num_items)
        self.num_impressions = np.bincount(log.slate[log.slate >= 0], minlength=num_items)

    @property
    def rate(self) -> Float64[A, " items"]:
        """Between 0 and 1; that of the log where there is nothing else to go by."""
        mean = self.num_clicks.sum() / max(self.num_impressions.sum(), 1)
        shown = self.num_impressions + self.prior_impressions
        return np.where(shown > 0, (self.num_clicks + self.prior_impressions * mean) / np.maximum(shown, 1e-9), mean)

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float[A, "rows candidates"]:
        if not len(self.num_clicks):
            return indifferent(observation, items)
        check_catalogue(len(self.num_clicks), observation.features)
        rate = self.rate
        return np.broadcast_to(rate, (len(observation), len(rate))) if items is None else rate[items]


@final
@dataclass(eq=False)
class MinimumQuality(Combination, Forbidding):
    """Shows no item whose quality is known to be below `least`.

    `quality` is the name of a numeric field of the items (NaN: not known), or a `ClickRate`, which is learned and saved
    together with the policy inside. Where too few items are good enough for a slate, all are allowed. The policy
    inside keeps its name.
    """

    least: float | int
    quality: str | ClickRate = field(default_factory=ClickRate)

    def __post_init__(self) -> None:
        if not np.isfinite(self.least):
            raise ValueError(f"least must be a finite number, got {self.least}")

    @property
    def parts(self) -> Mapping[str, Policy]:
        measure = {"quality": self.quality} if isinstance(self.quality, ClickRate) else {}
        return {"policy": self.policy, **measure}

    def forbidden(self, observation: Observation) -> Sequence[Int[A, "rows _"]]:
        """The items below the standard.

        Raises:
            ValueError: if there is no such numeric field.
        """
        below = np.flatnonzero(self._known_quality(observation) < self.least).astype(np.int32)
        return (np.broadcast_to(below, (len(observation), len(below))),)

    def _known_quality(self, observation: Observation) -> Float[A, " items"]:
        """The quality of each item, NaN where it is not known."""
        measure, features = self.quality, observation.features
        if isinstance(measure, str):
            return _numbers(features, measure)
        if not len(measure.num_clicks):
            return np.full(features.num_items, np.nan)
        check_catalogue(len(measure.num_clicks), observation.features)
        return np.where(measure.num_impressions >= measure.min_impressions, measure.rate, np.nan)


def _numbers(features: FeatureTable, name: str) -> Float[A, " items"]:
    return features.items[item_field(features, name, ("numeric",), "quality").name].astype(np.float64)
