"""Logs that a policy of our choice has served, with clicks of which the truth is known."""

from dataclasses import replace

import numpy as np

from recsim_lab.evaluation.oracle import FixedScores
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Policy
from recsim_lab.probabilities import redraw
from recsim_lab.testing import planted_log

A = np.ndarray
EXAMINED = np.array([1.0, 0.8, 0.6, 0.5, 0.4])


def click_chance(log: InteractionLog, slates: A) -> A:
    """Of an item in its slot, whatever stands around it: even users like even items, odd ones odd ones."""
    own = slates % 2 == log.user[:, None] % 2
    quality = 0.5 + 0.5 * slates / log.features.num_items
    return np.where(own, 0.8, 0.2) * quality * EXAMINED[: slates.shape[1]]


def serve(policy: Policy, num_items: int = 8, num_slots: int = 2, num_days: int = 10, seed: int = 0) -> InteractionLog:
    """What 60 users did with the policy's slates; `policy` may depend on the user and on nothing of the past."""
    log = planted_log(num_items=num_items, num_slots=num_slots, num_days=num_days, seed=seed)
    answer = policy.recommend(log.observations(), num_slots, redraw(log.observations(), 10**6 + seed))
    clicks = np.random.default_rng(seed + 1).random(answer.items.shape) < click_chance(log, answer.items)
    return replace(
        log,
        slate=answer.items,
        propensity=answer.propensity,
        prefix_propensity=answer.prefix_propensity.astype(np.float64),
        propensity_error=answer.propensity_error,
        clicks=clicks,
        source=answer.source,
        sources=answer.sources,
    )


def true_value(log: InteractionLog, policy: Policy, num_redraws: int = 50) -> float:
    """Clicks per slate that the policy would earn."""
    observation = log.observations()
    values = [
        click_chance(log, policy.recommend(observation, log.num_slots, redraw(observation, number)).items)
        for number in range(5000, 5000 + num_redraws)
    ]
    return float(np.mean(values) * log.num_slots)


def by_taste(strength: float, num_items: int = 8, num_users: int = 60, seed: int = 0) -> FixedScores:
    """Scores that follow the users' taste as far as `strength` says."""
    noise = np.random.default_rng(seed).normal(size=(num_users, num_items))
    own = np.arange(num_users)[:, None] % 2 == np.arange(num_items) % 2
    return FixedScores((noise + strength * own).astype(np.float32), f"taste{strength:g}-{seed}")
