"""All metrics of one moment of a loop: of what was shown, what was clicked, and what users have come to prefer.

Of users, each metric within is the mean over those of whom it is known; a value that nothing is known of is NaN.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from recsim_lab.evaluation.bubble import concentration
from recsim_lab.evaluation.bubble import preference as taste
from recsim_lab.evaluation.bubble.calibration import calibration_js, calibration_kl
from recsim_lab.evaluation.bubble.diversity import (
    entropy,
    inter_user_diversity,
    list_diversity,
    unit_sums,
    user_diversity,
)
from recsim_lab.evaluation.bubble.ground import Ground
from recsim_lab.evaluation.bubble.interactions import (
    Interactions,
    Window,
    item_counts,
    mean_known,
    topic_counts,
    user_means,
)
from recsim_lab.evaluation.bubble.metrics import METRICS, PAIR_KINDS
from recsim_lab.evaluation.bubble.opportunity import opportunity_gini, true_positive_rates
from recsim_lab.evaluation.bubble.overlap import Pairs, jaccard

A = np.ndarray


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
    """The metrics of what was shown; all are NaN where nothing was.

    `history` is what users had clicked before the window (without: no calibration, no lift); `on_offer` marks the items
    that coverage, Gini and the top share are of (without: all); `new` those released since the loop began; `likes`
    says who truly likes which items, of a sample of users (`top_likes`). What is not given makes its metrics NaN.
    """
    shown = window.shown
    _check(ground, shown, history)
    by_topic = topic_counts(shown, ground.topic, ground.num_users, ground.num_topics)
    kl, js = np.full((2, ground.num_users), np.nan)
    if history is not None:
        before = topic_counts(history, ground.topic, ground.num_users, ground.num_topics)
        kl, js = calibration_kl(before, by_topic), calibration_js(before, by_topic)
    opportunity = float("nan")
    if likes is not None:
        rates, audience = true_positive_rates(shown, likes, ground.num_users, ground.num_items)
        opportunity = opportunity_gini(rates, audience)
    return {
        **_of_either(shown, by_topic, history, ground, pairs, on_offer, new),
        "list_diversity": mean_known(list_diversity(shown, ground.latent, ground.num_users)),
        "calibration_kl": mean_known(kl),
        "calibration_js": mean_known(js),
        "calibration_kl_gap": _gap(kl, ground),
        "opportunity_gini": opportunity,
    }


def consumption_metrics(
    window: Window,
    history: Interactions | None,
    ground: Ground,
    pairs: Pairs,
    *,
    on_offer: Bool[A, " items"] | None = None,
    new: Bool[A, " items"] | None = None,
) -> dict[str, float]:
    """The metrics of what was clicked; all but `history_diversity` are NaN where nothing was.

    Arguments as of `exposure_metrics`. `history_diversity` is of the history and the window together, and of the
    window alone where no history is given.
    """
    clicked = window.clicked
    _check(ground, clicked, history)
    by_topic = topic_counts(clicked, ground.topic, ground.num_users, ground.num_topics)
    sums = unit_sums(clicked, ground.latent, ground.num_users)
    whole = sums if history is None else sums + unit_sums(history, ground.latent, ground.num_users)
    return {
        **_of_either(clicked, by_topic, history, ground, pairs, on_offer, new),
        "user_diversity": mean_known(user_diversity(sums)),
        "history_diversity": mean_known(user_diversity(whole)),
        "inter_user_diversity": inter_user_diversity(sums),
    }


def preference_metrics(
    preference: Float[A, "users dims"], natural: Float[A, "users dims"] | None, ground: Ground, pairs: Pairs
) -> dict[str, float]:
    """The metrics of users' tastes now.

    `natural` is what the same users would prefer at the same moment had nothing been recommended; without it, what was
    caused is NaN.
    """
    start = ground.preference
    drift = taste.distance(preference, start, start)
    caused = np.full(ground.num_users, np.nan) if natural is None else taste.distance(preference, natural, start)
    share, place = taste.first_component(preference)
    apart = taste.inter_user_distance(start)
    return {
        "drift": mean_known(drift),
        "cosine_with_start": mean_known(taste.cosine(preference, start)),
        "caused_drift": mean_known(caused),
        "taste_entropy": mean_known(taste.taste_entropy(preference, ground.latent, ground.topic, ground.num_topics)),
        "drift_gap": _gap(drift, ground),
        "caused_drift_gap": _gap(caused, ground),
        "inter_user_distance": taste.inter_user_distance(preference) / apart if apart > 0 else float("nan"),
        "mean_cosine": taste.mean_cosine(preference),
        **{
            f"cosine_{kind}": mean_known(taste.cosine(*(preference[side] for side in pairs[kind].T)))
            if kind in pairs
            else float("nan")
            for kind in PAIR_KINDS
            if kind != "random"
        },
        "first_component_share": share,
        "bimodality": taste.bimodality(place),
    }


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
    """A row for each of `METRICS`, in their order; arguments as above."""
    offer = {"on_offer": on_offer, "new": new}
    values = {
        "exposure": exposure_metrics(window, ground, pairs, history=history, likes=likes, **offer),
        "consumption": consumption_metrics(window, history, ground, pairs, **offer),
        "preference": preference_metrics(preference, natural, ground, pairs),
    }
    return [Measured(m.level, m.direction, m.name, values[m.level][m.name]) for m in METRICS]


def _check(ground: Ground, *parts: Interactions | None) -> None:
    for part in parts:
        if part is not None:
            ground.check(part)


def _of_either(
    met: Interactions,
    by_topic: Int[A, "users topics"],
    history: Interactions | None,
    ground: Ground,
    pairs: Pairs,
    on_offer: Bool[A, " items"] | None,
    new: Bool[A, " items"] | None,
) -> dict[str, float]:
    """The metrics that what was shown and what was clicked have in common."""
    counts = item_counts(met, ground.num_items)
    offered = np.ones(ground.num_items, bool) if on_offer is None else on_offer
    topic_entropy = entropy(by_topic)
    popularity = user_means(met, ground.popularity, ground.num_users)
    profile = np.full(ground.num_users, np.nan)
    if history is not None:
        profile = user_means(history, ground.popularity, ground.num_users)
    overlap = {
        f"jaccard_{kind}": mean_known(jaccard(met, pairs[kind], ground.num_users, ground.num_items))
        if kind in pairs
        else float("nan")
        for kind in PAIR_KINDS
    }
    return {
        "topic_entropy": mean_known(topic_entropy),
        "topic_entropy_gap": _gap(topic_entropy, ground),
        "platform_topic_entropy": float(entropy(by_topic.sum(axis=0))),
        "gini": concentration.gini(counts[offered]),
        "coverage": concentration.coverage(counts[offered]),
        "effective_catalogue": concentration.effective_catalogue(counts),
        "top_share": concentration.top_share(counts[offered]),
        "long_tail_share": concentration.share_of(counts, ground.tail),
        "average_popularity": mean_known(popularity),
        "popularity_lift": concentration.popularity_lift(popularity, profile),
        "novelty": mean_known(user_means(met, ground.self_information, ground.num_users)),
        "creator_gini": concentration.creator_gini(counts[offered], ground.creator[offered]),
        "new_item_share": float("nan") if new is None else concentration.share_of(counts, new),
        **overlap,
    }


def _gap(values: Float64[A, " users"], ground: Ground) -> float:
    """The mean of niche users minus that of mainstream users; NaN where nothing is known of either group."""
    return mean_known(values[~ground.mainstream]) - mean_known(values[ground.mainstream])
