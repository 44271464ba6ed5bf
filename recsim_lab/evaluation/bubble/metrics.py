"""Every metric of the bubble: where it looks, which way it moves as the bubble tightens, and what has to move it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["exposure", "consumption", "preference"]
"""What was shown, what was clicked, and the latent tastes."""
Direction = Literal["within", "between"]
"""Within users (each sees ever fewer kinds of things), or between them (all see the same, or the same few items)."""
Control = Literal["homogeniser", "top-topic"]
"""Policies made to tighten the bubble: everybody is shown the same most popular items; everybody is shown items of
their own favourite topic alone."""

PAIR_KINDS = ("random", "true_nearest", "model_nearest")
"""Users who are compared: at random, nearest by preference when the loop began, nearest by the arm's own model."""


@dataclass(frozen=True)
class BubbleMetric:
    """What a metric says.

    `narrower` is the way it goes as the bubble tightens. `control` is the policy that must move it that way, compared
    with slates by each user's taste over all topics; None where neither has to: differences between groups and
    polarisation depend on what the world's tastes are like.
    """

    name: str
    level: Level
    direction: Direction
    narrower: Literal["higher", "lower"]
    control: Control | None
    meaning: str


def _both(
    name: str, direction: Direction, narrower: Literal["higher", "lower"], control: Control | None, meaning: str
) -> tuple[BubbleMetric, BubbleMetric]:
    """The same of what was shown and of what was clicked; `meaning` says "shown" for either."""
    return (
        BubbleMetric(name, "exposure", direction, narrower, control, meaning),
        BubbleMetric(name, "consumption", direction, narrower, control, meaning.replace("shown", "clicked")),
    )


_PAIRS = {
    "random": "two random users",
    "true_nearest": "a user and the one of most similar taste when the loop began",
    "model_nearest": "a user and the one whom the arm's own model holds for most similar",
}

_SHOWN_AND_CLICKED = (
    *_both("topic_entropy", "within", "lower", "top-topic", "How evenly the items shown to a user spread over topics."),
    *_both(
        "topic_entropy_gap",
        "within",
        "lower",
        None,
        "How much more evenly the items shown to niche users spread over topics than those of mainstream users.",
    ),
    *_both(
        "platform_topic_entropy", "between", "lower", "homogeniser", "How evenly all items shown spread over topics."
    ),
    *_both("gini", "between", "higher", "homogeniser", "How unequally often the items on offer were shown (0: alike)."),
    *_both("coverage", "between", "lower", "homogeniser", "The share of the items on offer that were shown at all."),
    *_both(
        "effective_catalogue",
        "between",
        "lower",
        "homogeniser",
        "How many items, shown equally often, would be as diverse as what was shown.",
    ),
    *_both(
        "top_share", "between", "higher", "homogeniser", "The share of all shown that the most shown 1% of items hold."
    ),
    *_both(
        "long_tail_share",
        "between",
        "lower",
        "homogeniser",
        "The share of all shown that lies outside the head, which held 80% of the clicks before the loop.",
    ),
    *_both(
        "average_popularity",
        "between",
        "higher",
        "homogeniser",
        "How many times as popular as the average item the items shown to a user were before the loop.",
    ),
    *_both(
        "popularity_lift",
        "between",
        "higher",
        "homogeniser",
        "By what share the items shown to users are more popular than those they had clicked before.",
    ),
    *_both(
        "novelty", "between", "lower", "homogeniser", "How little known the items shown were before the loop, in bits."
    ),
    *_both("creator_gini", "between", "higher", "homogeniser", "How unequally often creators' items were shown."),
    *_both(
        "new_item_share", "between", "lower", "homogeniser", "The share of all shown that was released in the loop."
    ),
    *(
        metric
        for kind, who in _PAIRS.items()
        for metric in _both(
            f"jaccard_{kind}",
            "between",
            "higher",
            "homogeniser",
            f"The share of the items shown to {who} that was shown to both.",
        )
    ),
)

_SHOWN = (
    BubbleMetric(
        "list_diversity", "exposure", "within", "lower", "top-topic", "How much two items of a slate differ in content."
    ),
    BubbleMetric(
        "calibration_kl",
        "exposure",
        "within",
        "higher",
        "top-topic",
        "How far the topics shown to a user are from those clicked before; topics left out weigh most.",
    ),
    BubbleMetric(
        "calibration_js",
        "exposure",
        "within",
        "higher",
        "top-topic",
        "How far the topics shown to a user are from those clicked before, either way alike.",
    ),
    BubbleMetric(
        "calibration_kl_gap",
        "exposure",
        "between",
        "higher",
        None,
        "How much farther from their earlier clicks niche users are served than mainstream users.",
    ),
    BubbleMetric(
        "opportunity_gini",
        "exposure",
        "between",
        "higher",
        "homogeniser",
        "How much likelier items liked by many are to reach those who like them (0: alike; below 0: the reverse).",
    ),
)

_CLICKED = (
    BubbleMetric(
        "user_diversity",
        "consumption",
        "within",
        "lower",
        "top-topic",
        "How much two clicks of a user differ in content.",
    ),
    BubbleMetric(
        "history_diversity",
        "consumption",
        "within",
        "lower",
        "top-topic",
        "How much two clicks of a user differ in content, earlier ones included.",
    ),
    BubbleMetric(
        "inter_user_diversity",
        "consumption",
        "between",
        "lower",
        "homogeniser",
        "How far apart in content the average clicks of two users are.",
    ),
)

_PREFERENCE = (
    BubbleMetric(
        "drift",
        "preference",
        "within",
        "higher",
        "top-topic",
        "How far a user's taste has moved since the loop began, relative to its length.",
    ),
    BubbleMetric(
        "cosine_with_start",
        "preference",
        "within",
        "lower",
        "top-topic",
        "How alike a user's taste and the one when the loop began are (1: the same).",
    ),
    BubbleMetric(
        "caused_drift",
        "preference",
        "within",
        "higher",
        "top-topic",
        "How far a user's taste is from what it would be without any recommender, relative to its length at the start.",
    ),
    BubbleMetric(
        "taste_entropy", "preference", "within", "lower", "top-topic", "How evenly a user's taste spreads over topics."
    ),
    BubbleMetric(
        "drift_gap",
        "preference",
        "between",
        "higher",
        None,
        "How much farther the taste of niche users has moved than that of mainstream users.",
    ),
    BubbleMetric(
        "caused_drift_gap",
        "preference",
        "between",
        "higher",
        None,
        "How much farther recommendations have moved the taste of niche users than that of mainstream users.",
    ),
    BubbleMetric(
        "inter_user_distance",
        "preference",
        "between",
        "lower",
        "homogeniser",
        "How far apart the tastes of two users are, as a multiple of what it was when the loop began.",
    ),
    BubbleMetric(
        "mean_cosine", "preference", "between", "higher", "homogeniser", "How alike the tastes of two users are."
    ),
    *(
        BubbleMetric(
            f"cosine_{kind}", "preference", "between", "higher", "homogeniser", f"How alike the tastes of {who} are."
        )
        for kind, who in _PAIRS.items()
        if kind != "random"
    ),
    BubbleMetric(
        "first_component_share",
        "preference",
        "between",
        "higher",
        None,
        "The share of all differences of taste that lie along one axis.",
    ),
    BubbleMetric(
        "bimodality",
        "preference",
        "between",
        "higher",
        None,
        "How clearly users fall into two camps along the axis on which they differ most (above 5/9: two).",
    ),
)

METRICS: tuple[BubbleMetric, ...] = tuple(
    metric
    for level in ("exposure", "consumption", "preference")
    for metric in (*_SHOWN_AND_CLICKED, *_SHOWN, *_CLICKED, *_PREFERENCE)
    if metric.level == level
)
