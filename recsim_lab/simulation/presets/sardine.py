"""SARDINE's SlateTopK-Bored (Deffayet et al. 2024): rank for a user who is soon bored by more of the same."""

import numpy as np

from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import Logistic, PositionBased
from recsim_lab.simulation.dynamics import BoredomTimeout
from recsim_lab.simulation.examination import Geometric
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.utility import Utility
from recsim_lab.simulation.world import World

A = np.ndarray


def sardine_topk_bored(
    seed: int = 0,
    num_users: int = 1000,
    num_items: int = 1000,
    num_topics: int = 10,
    num_slots: int = 10,
    slope: float = 100.0,
    offset: float = 0.65,
    examination_ratio: float = 0.85,
    boredom_threshold: int = 5,
) -> World:
    """Slots are looked at with chance .85^k and clicked, independently, if relevant: sigmoid(slope (u.e - offset)).

    Items e are unit vectors of two or three topics, users u unit vectors of three to five. Five clicks on a topic
    among the last ten, within five slates, and nothing is relevant for the next five slates. A visit is the 100
    slates of an episode. Users do not drift (omega = 1 there).
    """
    for name, value in (("num_users", num_users), ("num_items", num_items)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if num_topics < 5:
        raise ValueError(f"num_topics must be at least 5, got {num_topics}")
    rng = np.random.default_rng(seed)
    items = _unit_vectors(rng, _some_topics(rng, num_items, num_topics))
    users = _unit_vectors(rng, _liked_topics(rng, num_users, num_topics))
    return World(
        name="sardine-topk-bored",
        catalogue=plain_catalogue(items, items.argmax(axis=1), num_topics),
        population=plain_population(users),
        choice=PositionBased(Geometric(examination_ratio), Logistic()),
        utility=Utility(latent=slope, offset=-slope * offset),
        dynamics=(BoredomTimeout(boredom_threshold),),
        num_slots=num_slots,
        session_steps=100,
    )


def _some_topics(rng: np.random.Generator, num_rows: int, num_topics: int) -> A:
    """Two or three topics, any set of them as likely as another of its size."""
    how_many = rng.integers(2, 4, size=num_rows)
    order = rng.random((num_rows, num_topics)).argsort(axis=1).argsort(axis=1)
    return order < how_many[:, None]


def _liked_topics(rng: np.random.Generator, num_rows: int, num_topics: int) -> A:
    """Each topic with chance .4, drawn anew until there are three to five."""
    liked = np.zeros((num_rows, num_topics), bool)
    while len(wrong := np.flatnonzero((liked.sum(axis=1) < 3) | (liked.sum(axis=1) > 5))):
        liked[wrong] = rng.random((len(wrong), num_topics)) > 0.6
    return liked


def _unit_vectors(rng: np.random.Generator, support: A) -> A:
    """Uniform entries on the support, scaled to length 1."""
    vectors = rng.random(support.shape) * support
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
