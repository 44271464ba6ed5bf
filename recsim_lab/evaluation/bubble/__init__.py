"""The bubble of a feedback loop in numbers: what was shown, what was clicked, and what users have come to prefer.

Each level has metrics within users (narrowing) and between users (all alike, or all on the same few items). `METRICS`
says of each what it means and which way it moves as the bubble tightens; `measure` gives all of them.

Coverage, entropies, concentration and Jaccard depend on how much was shown or clicked. Arms that differ in that are
compared at equal numbers of clicks (`rarefaction`).
"""

from recsim_lab.evaluation.bubble.ground import Ground, mainstream_users
from recsim_lab.evaluation.bubble.interactions import Interactions, Window, clicks_of, joined
from recsim_lab.evaluation.bubble.measure import (
    Measured,
    consumption_metrics,
    exposure_metrics,
    measure,
    preference_metrics,
)
from recsim_lab.evaluation.bubble.metrics import METRICS, PAIR_KINDS, BubbleMetric

__all__ = [
    "METRICS",
    "PAIR_KINDS",
    "BubbleMetric",
    "Ground",
    "Interactions",
    "Measured",
    "Window",
    "clicks_of",
    "consumption_metrics",
    "exposure_metrics",
    "joined",
    "mainstream_users",
    "measure",
    "preference_metrics",
]
