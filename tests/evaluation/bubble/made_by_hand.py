"""Small grounds and windows, and slow twins that read off the definitions."""

from itertools import combinations

import numpy as np

from recsim_lab.evaluation.bubble import Ground, Interactions, Window, clicks_of, mainstream_users


def clicks(*pairs):
    """A row per pair of user and item."""
    user, item = np.array(pairs, np.int64).reshape(-1, 2).T
    return clicks_of(user, item)


def sets_of(met):
    """The items that each user met, as lists with repetitions."""
    out = {}
    for user, row in zip(met.user.tolist(), met.item.tolist(), strict=True):
        out.setdefault(user, []).extend(item for item in row if item >= 0)
    return out


def cosine(a, b):
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0


def mean_distance(items, latent):
    """The mean of 1 - cosine over all pairs of a list; NaN for fewer than two."""
    pairs = list(combinations(items, 2))
    return np.mean([1 - cosine(latent[i], latent[j]) for i, j in pairs]) if pairs else np.nan


def random_ground(rng, num_users=7, num_items=12, num_topics=3, num_dims=4):
    preference = rng.normal(size=(num_users, num_dims))
    return Ground(
        topic=rng.integers(num_topics, size=num_items),
        num_topics=num_topics,
        latent=rng.normal(size=(num_items, num_dims)),
        creator=rng.integers(4, size=num_items),
        audience=rng.poisson(4, num_items),
        preference=preference,
        mainstream=mainstream_users(preference),
    )


def random_window(rng, ground, num_slates=20, num_slots=4, empty=0.1):
    """Slates of distinct items, some slots without any, and clicks by chance."""
    slate = np.array([rng.permutation(ground.num_items)[:num_slots] for _ in range(num_slates)]).reshape(-1, num_slots)
    slate[rng.random(slate.shape) < empty] = -1
    return Window(
        rng.integers(ground.num_users, size=num_slates), slate, (rng.random(slate.shape) < 0.4) & (slate >= 0)
    )


def random_clicks(rng, ground, num_clicks=30):
    return clicks_of(rng.integers(ground.num_users, size=num_clicks), rng.integers(ground.num_items, size=num_clicks))


def nothing(num_slots=3):
    return Interactions(np.zeros(0, np.int64), np.zeros((0, num_slots), np.int64))
