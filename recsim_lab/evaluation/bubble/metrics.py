"""Every metric of the bubble: where it looks, which way it moves as the bubble tightens, and what has to move it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["exposure", "consumption", "preference"]
"""What was shown, what was clicked, and the latent tastes."""
Direction = Literal["within", "between"]
"""Within users (each meets ever fewer kinds of things), or between them (all meet the same, or the same few items)."""
Narrower = Literal["higher", "lower"]
Control = Literal["popularity", "top-topic"]
"""Policies that tighten the bubble, each in one direction: everybody is shown the same most popular items, which makes
them alike; everybody is shown items of their own favourite topic alone."""
GROUPS = "they compare groups of users, and how these differ depends on how the world's tastes are spread"
CAMPS = "whether a tighter bubble makes camps depends on how the world's tastes are spread"
"""Why no control has to move some metrics."""

PAIR_KINDS = ("random", "true_nearest", "model_nearest")
"""Users who are compared: at random, nearest by preference when the loop began, nearest by the arm's own model."""


@dataclass(frozen=True)
class BubbleMetric:
    """What a metric says.

    `narrower` is the way it goes as the bubble tightens. `control` is the policy that must move it that way, compared
    with slates that follow each user's taste over all topics; None where neither has to, and then `uncontrolled` says
    why.
    """

    name: str
    level: Level
    direction: Direction
    narrower: Narrower
    control: Control | None
    meaning: str
    uncontrolled: str = ""

    def __post_init__(self) -> None:
        if (self.control is None) != bool(self.uncontrolled):
            raise ValueError(
                f"control must be named, or uncontrolled say why there is none, got {self.control} and "
                f"{self.uncontrolled!r} for {self.name}"
            )


_WORDS: dict[Level, tuple[str, str]] = {"exposure": ("shown", "shown to"), "consumption": ("clicked", "clicked by")}


def _met(
    name: str, direction: Direction, narrower: Narrower, control: Control | None, meaning: str, uncontrolled: str = ""
) -> tuple[BubbleMetric, ...]:
    """A metric of what was shown, and the same of what was clicked."""
    return tuple(
        BubbleMetric(name, level, direction, narrower, control, meaning.format(met=met, met_by=met_by), uncontrolled)
        for level, (met, met_by) in _WORDS.items()
    )


def _within(name: str, narrower: Narrower, meaning: str) -> tuple[BubbleMetric, ...]:
    return _met(name, "within", narrower, "top-topic", meaning)


def _between(name: str, narrower: Narrower, meaning: str) -> tuple[BubbleMetric, ...]:
    return _met(name, "between", narrower, "popularity", meaning)


def _in_order(*metrics: BubbleMetric) -> tuple[BubbleMetric, ...]:
    levels: tuple[Level, ...] = ("exposure", "consumption", "preference")
    return tuple(metric for level in levels for metric in metrics if metric.level == level)


_PAIRS = {
    "random": "two random users",
    "true_nearest": "a user and the one of most similar taste when the loop began",
    "model_nearest": "a user and the one whom the arm's own model holds for most similar",
}

METRICS: tuple[BubbleMetric, ...] = _in_order(
    *_within("topic_entropy", "lower", "How evenly the items {met_by} a user spread over topics."),
    *_met(
        "topic_entropy_gap",
        "within",
        "lower",
        None,
        "How much more evenly the items {met_by} niche users spread over topics than those {met_by} mainstream users.",
        GROUPS,
    ),
    *_between("platform_topic_entropy", "lower", "How evenly all items {met} spread over topics."),
    *_between("gini", "higher", "How unequally often the items on offer were {met} (0: all alike)."),
    *_between("coverage", "lower", "The share of the items on offer that were {met} at all."),
    *_between(
        "effective_catalogue", "lower", "How many items, all {met} alike, would be as diverse as what was {met}."
    ),
    *_between("top_share", "higher", "The share of all {met} that the 1% of items {met} most hold."),
    *_between(
        "long_tail_share", "lower", "The share of all {met} outside the head, the items popular before the loop."
    ),
    *_between(
        "average_popularity", "higher", "How popular before the loop the items {met} were (1: the average item)."
    ),
    *_between("popularity_lift", "higher", "By what share items {met_by} users are more popular than earlier clicks."),
    *_between("novelty", "lower", "How little known before the loop the items {met_by} a user were, in bits."),
    *_between("creator_gini", "higher", "How unequally often the items of creators were {met} (0: all alike)."),
    *_between(
        "new_item_share",
        "lower",
        "The share of all {met} that was released since the loop began: 0 where a model places what it never met last.",
    ),
    *(
        metric
        for kind, who in _PAIRS.items()
        for metric in _between(
            f"jaccard_{kind}", "higher", f"Of the items {{met_by}} {who}, the share that was {{met_by}} both."
        )
    ),
    BubbleMetric(
        "list_diversity", "exposure", "within", "lower", "top-topic", "How much two items of a slate differ in content."
    ),
    BubbleMetric(
        "calibration_kl",
        "exposure",
        "within",
        "higher",
        "popularity",
        "How far the topics shown to a user are from those clicked before; topics left out weigh most.",
    ),
    BubbleMetric(
        "calibration_js",
        "exposure",
        "within",
        "higher",
        "popularity",
        "How far the topics shown to a user are from those clicked before, either way alike.",
    ),
    BubbleMetric(
        "calibration_kl_gap",
        "exposure",
        "between",
        "higher",
        None,
        "How much farther from their earlier clicks niche users are served than mainstream users.",
        GROUPS,
    ),
    BubbleMetric(
        "opportunity_gini",
        "exposure",
        "between",
        "higher",
        "popularity",
        "How much likelier items liked by many are to reach those who like them (0: alike; below 0: the reverse).",
    ),
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
        "popularity",
        "How far apart in content the average clicks of two users are.",
    ),
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
        GROUPS,
    ),
    BubbleMetric(
        "caused_drift_gap",
        "preference",
        "between",
        "higher",
        None,
        "How much farther recommendations have moved the taste of niche users than that of mainstream users.",
        GROUPS,
    ),
    BubbleMetric(
        "inter_user_distance",
        "preference",
        "between",
        "lower",
        "popularity",
        "How far apart the tastes of two users are, as a multiple of what it was when the loop began.",
    ),
    BubbleMetric(
        "mean_cosine", "preference", "between", "higher", "popularity", "How alike the tastes of two users are."
    ),
    *(
        BubbleMetric(
            f"cosine_{kind}", "preference", "between", "higher", "popularity", f"How alike the tastes of {who} are."
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
        CAMPS,
    ),
    BubbleMetric(
        "bimodality",
        "preference",
        "between",
        "higher",
        None,
        "How clearly users fall into two camps along the axis on which they differ most (above 5/9 hints at two).",
        CAMPS,
    ),
)

RAREFIED: tuple[BubbleMetric, ...] = _in_order(
    *_within("rarefied_topic_entropy", "lower", "Topic entropy at equal numbers of items {met_by} each user."),
    *_within("rarefied_num_topics", "lower", "Among how many topics equally many items {met_by} each user are."),
    *_between("rarefied_coverage", "lower", "Coverage at equal numbers of items {met_by} each user."),
    *(
        metric
        for kind, who in _PAIRS.items()
        for metric in _between(
            f"rarefied_jaccard_{kind}",
            "higher",
            f"Of equally many items {{met_by}} {who}, the share that was {{met_by}} both.",
        )
    ),
)
"""What `rarefied_metrics` gives, of what was shown or of what was clicked."""
