"""The bubble of a feedback loop in numbers: what was shown, what was clicked, and what users have come to prefer.

Each level has metrics within users (narrowing) and between users (all alike, or all on the same few items). `METRICS`
says of each what it means and which way it moves as the bubble tightens; `measure` gives all of them.

Coverage, entropies, concentration and Jaccard depend on how much was shown or clicked. Arms that differ in that are
compared at equal numbers of clicks (`rarefaction`).
"""

from recsim_lab.evaluation.bubble.concentration import stability
from recsim_lab.evaluation.bubble.ground import Ground, mainstream_users
from recsim_lab.evaluation.bubble.interactions import Interactions, Window, clicks_of, joined
from recsim_lab.evaluation.bubble.measure import (
    Measured,
    consumption_metrics,
    exposure_metrics,
    measure,
    preference_metrics,
)
from recsim_lab.evaluation.bubble.metrics import METRICS, PAIR_KINDS, RAREFIED, BubbleMetric
from recsim_lab.evaluation.bubble.opportunity import top_likes
from recsim_lab.evaluation.bubble.overlap import Pairs
from recsim_lab.evaluation.bubble.pairs import nearest_pairs, random_pairs
from recsim_lab.evaluation.bubble.rarefaction import rarefied_metrics, with_enough

__all__ = [
    "METRICS",
    "PAIR_KINDS",
    "RAREFIED",
    "BubbleMetric",
    "Ground",
    "Interactions",
    "Measured",
    "Pairs",
    "Window",
    "clicks_of",
    "consumption_metrics",
    "exposure_metrics",
    "joined",
    "mainstream_users",
    "measure",
    "nearest_pairs",
    "preference_metrics",
    "random_pairs",
    "rarefied_metrics",
    "stability",
    "top_likes",
    "with_enough",
]
