"""A small world whose users drift toward what they click, and three policies, two of which tighten the bubble."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from recsim_lab.evaluation.bubble import (
    METRICS,
    RAREFIED,
    Ground,
    Interactions,
    Window,
    joined,
    mainstream_users,
    measure,
    nearest_pairs,
    random_pairs,
    rarefied_metrics,
    top_likes,
    with_enough,
)
from recsim_lab.evaluation.bubble.ground import unit_vectors
from recsim_lab.evaluation.bubble.interactions import item_counts

NUM_USERS, NUM_ITEMS, NUM_TOPICS, NUM_DIMS, NUM_SLOTS = 400, 300, 6, 5, 8
NUM_DRAWN = 10
POLICIES = ("taste", "popularity", "top-topic")


@dataclass(frozen=True)
class World:
    ground: Ground
    new: np.ndarray
    natural: np.ndarray
    pairs: dict[str, np.ndarray]
    likes: Interactions
    history: Interactions


def by_taste(rng, preference, ground):
    """Items of a topic that each slot draws from the user's taste over all topics."""
    centroid = np.array([ground.latent[ground.topic == t].mean(axis=0) for t in range(NUM_TOPICS)])
    chance = special.softmax(2 * unit_vectors(preference) @ unit_vectors(centroid).T, axis=1)
    luck = rng.random((len(preference), NUM_SLOTS, 1))
    return of_topics(rng, (luck > chance.cumsum(axis=1)[:, None, :-1]).sum(axis=2))


def of_topics(rng, topic):
    """A random item of each topic: item i is of topic i modulo the number of topics."""
    return topic + NUM_TOPICS * rng.integers(NUM_ITEMS // NUM_TOPICS, size=topic.shape)


def slates(policy, rng, preference, ground):
    if policy == "popularity":
        return np.tile(np.argsort(-ground.audience, kind="stable")[:NUM_SLOTS], (len(preference), 1))
    if policy == "top-topic":
        centroid = np.array([ground.latent[ground.topic == t].mean(axis=0) for t in range(NUM_TOPICS)])
        favourite = (unit_vectors(ground.preference) @ unit_vectors(centroid).T).argmax(axis=1)
        return of_topics(rng, np.tile(favourite[:, None], (1, NUM_SLOTS)))
    return by_taste(rng, preference, ground)


def served(policy, rng, preference, ground, rounds):
    """What was shown and clicked in some rounds, and the preferences after them: pulled to clicks, lengths kept."""
    length = np.linalg.norm(preference, axis=1, keepdims=True)
    parts = []
    for _ in range(rounds):
        slate = slates(policy, rng, preference, ground)
        utility = np.einsum("ud,usd->us", preference, ground.latent[slate])
        clicks = rng.random(slate.shape) < special.expit(utility - 0.5)
        pull = (clicks[..., None] * (ground.latent[slate] - preference[:, None])).sum(axis=1)
        preference = unit_vectors(preference + 0.03 * pull) * length
        parts.append(Window(np.arange(len(preference)), slate, clicks))
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("user", "slate", "clicks")]
    return Window(*columns), preference


@lru_cache
def world():
    """Tastes that lean to the first topics; a history by taste; the last tenth of the items without any audience."""
    rng = np.random.default_rng(0)
    centroid = unit_vectors(rng.normal(size=(NUM_TOPICS, NUM_DIMS)))
    topic = np.arange(NUM_ITEMS) % NUM_TOPICS
    latent = unit_vectors(centroid[topic] + 0.3 * rng.normal(size=(NUM_ITEMS, NUM_DIMS)))
    share = rng.dirichlet([3, 2, 1, 1, 0.5, 0.5], NUM_USERS)
    preference = 1.5 * unit_vectors(share @ centroid + 0.2 * rng.normal(size=(NUM_USERS, NUM_DIMS)))
    new = np.arange(NUM_ITEMS) >= 0.9 * NUM_ITEMS
    blank = Ground(topic, NUM_TOPICS, latent, topic * 0, topic * 0, preference, mainstream_users(preference))
    history = served("taste", rng, preference, blank, 5)[0].clicked
    liked = top_likes(preference, latent, np.arange(NUM_USERS), 30)
    # What many like has been clicked more often before, beside some luck.
    audience = np.where(new, 0, 5 * item_counts(liked, NUM_ITEMS) + item_counts(history, NUM_ITEMS))
    ground = Ground(topic, NUM_TOPICS, latent, rng.integers(40, size=NUM_ITEMS), audience, preference, blank.mainstream)
    everybody = np.arange(NUM_USERS)
    pairs = {
        "random": random_pairs(NUM_USERS, 2000, rng),
        "true_nearest": nearest_pairs(preference, everybody),
        "model_nearest": nearest_pairs(preference + 0.5 * rng.normal(size=preference.shape), everybody),
    }
    step = 0.05 * rng.normal(size=preference.shape)
    natural = unit_vectors(preference + step) * np.linalg.norm(preference, axis=1, keepdims=True)
    return World(ground, new, natural, pairs, liked, history)


@lru_cache
def bubble(policy, seed):
    """All metrics after twenty rounds, of the last ten: `METRICS` by level and name, `RAREFIED` too."""
    here, rng = world(), np.random.default_rng(seed)
    ground = here.ground
    before, preference = served(policy, rng, ground.preference, ground, 10)
    window, preference = served(policy, rng, preference, ground, 10)
    history = joined(here.history, before.clicked)
    rows = measure(window, history, preference, here.natural, ground, here.pairs, new=here.new, likes=here.likes)
    told = {(row.level, row.metric): row.value for row in rows}
    users = with_enough(window.clicked, NUM_DRAWN, NUM_USERS)
    for level, met in (("exposure", window.shown), ("consumption", window.clicked)):
        rarefied = rarefied_metrics(met, NUM_DRAWN, users, ground, here.pairs)
        told |= {(level, name): value for name, value in rarefied.items()}
    assert set(told) == {(metric.level, metric.name) for metric in METRICS + RAREFIED}
    return told
