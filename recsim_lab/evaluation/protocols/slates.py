"""The logged slate as the protocol: what a policy would have said of the very items that users saw."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

from recsim_lab.evaluation.ranking import WEIGHT, mean_metrics, ranking_metrics, weight_of
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Policy

A = np.ndarray
Key = TypeVar("Key")


def slate_metrics(
    policy: Policy,
    log: InteractionLog,
    test: Bool[A, " rows"],
    gains: Mapping[Key, Float[A, "rows slots"]],
    cutoffs: tuple[int, ...] = (5, 10),
    max_slates: int = 5000,
    seed: int = 0,
    batch: int = 512,
) -> dict[Key, dict[str, float]]:
    """Metrics over the slates marked in `test`, or a random `max_slates` of them, by each of the `gains`: how relevant
    each slot of the log turned out. A slate with a NaN is left out of its gains' metrics.

    `auc` and `ndcg@k` order the items within each slate that has a relevant one; `auc_pooled` orders all impressions at
    once. `log_loss`, `rmse` and `calibration_error` take the logistic function of a score as the probability of being
    relevant, as models do that were trained by cross-entropy: they say what scores are worth as probabilities, not how
    they order. Empty for a policy without scores, and for gains that are known of no slate.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(test)
    if len(rows) > max_slates:
        rows = np.sort(rng.choice(rows, max_slates, replace=False))
    if policy.ranker is None or not len(rows):
        return {key: {} for key in gains}
    observation = log.observations(rows)
    parts = [slice(start, start + batch) for start in range(0, len(rows), batch)]
    scores = np.concatenate([policy.ranker.scores(observation.take(part), log.slate[rows[part]]) for part in parts])
    return {key: _metrics(scores, of_key[rows], cutoffs) for key, of_key in gains.items()}


def _metrics(
    scores: Float[A, "rows slots"], gains: Float[A, "rows slots"], cutoffs: tuple[int, ...]
) -> dict[str, float]:
    known = ~np.isnan(gains).any(axis=1)
    scores, gains = scores[known], gains[known]
    if not len(scores):
        return {}
    relevant = gains > 0
    metrics = mean_metrics(ranking_metrics(scores, gains, cutoffs) | {WEIGHT: weight_of(gains)})
    pooled = ranking_metrics(scores.reshape(1, -1), relevant.reshape(1, -1), (1,))
    chance = expit(scores.astype(np.float64))
    return {name: metrics[name] for name in ("auc", *(f"ndcg@{cutoff}" for cutoff in cutoffs))} | {
        "auc_pooled": float(pooled["auc"][0]),
        "log_loss": log_loss(chance, relevant),
        "rmse": float(np.sqrt(np.mean((chance - relevant) ** 2))),
        "calibration_error": calibration_error(chance, relevant),
    }


def log_loss(chance: Float[A, "*shape"], clicked: Bool[A, "*shape"]) -> float:
    """The mean of -log of the probability given to what happened; probabilities count as at least 1e-7."""
    chance = np.clip(chance, 1e-7, 1 - 1e-7)
    return float(-np.log(np.where(clicked, chance, 1 - chance)).mean())


def calibration_error(chance: Float[A, "*shape"], clicked: Bool[A, "*shape"], num_bins: int = 20) -> float:
    """The expected calibration error: how far predicted and observed click rates lie apart, over bins of equally many.

    Naeini, Cooper & Hauskrecht (AAAI 2015), with bins of equal mass; equal predictions may be split by order.
    """
    order = np.argsort(chance, axis=None, kind="stable")
    apart = (chance.ravel() - clicked.ravel())[order]
    return float(sum(abs(part.sum()) for part in np.array_split(apart, num_bins)) / max(len(apart), 1))
