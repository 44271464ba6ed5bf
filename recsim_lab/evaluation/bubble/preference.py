"""How have tastes changed: how far, how much of it because of what was recommended, and toward one another?"""

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy import special

from recsim_lab.evaluation.bubble.diversity import entropy
from recsim_lab.evaluation.bubble.ground import unit_vectors

A = np.ndarray

TEMPERATURE = 0.25
"""A topic whose cosine with the taste is larger by so much has e times its share.

Tastes of the default world then spread over 6 to 11 of its 20 topics (the exponential of the entropy), so that it can
fall as well as rise. At 1 they would spread over 18 or 19, whatever the taste; at 0.1, over 1 to 5.
"""


def distance(
    preference: Float[A, "users dims"], other: Float[A, "users dims"], start: Float[A, "users dims"]
) -> Float64[A, " users"]:
    """The length of the difference of two tastes of each user, relative to that of the taste at the start.

    With `start` as the other it is drift; with the taste that the same user would have had without any recommender, it
    is what recommendations have caused (Carroll et al. 2022 call the latter natural shifts). NaN where the start has
    no length.
    """
    length = np.sqrt(np.square(start.astype(np.float64)).sum(axis=1))
    moved = np.sqrt(np.square(preference.astype(np.float64) - other).sum(axis=1))
    return np.divide(moved, length, out=np.full(len(length), np.nan), where=length > 0)


def cosine(a: Float[A, "rows dims"], b: Float[A, "rows dims"]) -> Float64[A, " rows"]:
    """Row by row; NaN where either vector has no length and hence no direction."""
    known = np.any(a != 0, axis=1) & np.any(b != 0, axis=1)
    return np.where(known, (unit_vectors(a) * unit_vectors(b)).sum(axis=1), np.nan)


def taste_shares(
    preference: Float[A, "users dims"],
    latent: Float[A, "items dims"],
    topic: Int[A, " items"],
    num_topics: int,
    temperature: float = TEMPERATURE,
) -> Float64[A, "users topics"]:
    """How each taste spreads over topics: the softmax of its cosines with the topics' centroids, over a temperature.

    A centroid is the mean latent vector of a topic's items; topics without items, or whose items cancel out, have no
    share. Cosines, since the lengths of tastes differ between users and say how much items matter, not which. NaN where
    a taste has no length or no topic counts.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    sums = np.stack([np.bincount(topic, column, num_topics) for column in latent.T.astype(np.float64)], axis=1)
    counts = np.any(sums != 0, axis=1)
    shares = np.zeros((len(preference), num_topics))
    if counts.any():
        shares[:, counts] = special.softmax(
            unit_vectors(preference) @ unit_vectors(sums[counts]).T / temperature, axis=1
        )
    shares[~np.any(preference != 0, axis=1) | ~counts.any()] = np.nan
    return shares


def taste_entropy(
    preference: Float[A, "users dims"],
    latent: Float[A, "items dims"],
    topic: Int[A, " items"],
    num_topics: int,
    temperature: float = TEMPERATURE,
) -> Float64[A, " users"]:
    """The entropy of `taste_shares` in nats; NaN where they are."""
    shares = taste_shares(preference, latent, topic, num_topics, temperature)
    known = ~np.isnan(shares).any(axis=1)
    return np.where(known, entropy(np.where(known[:, None], shares, 0.0)), np.nan)


def mean_cosine(preference: Float[A, "users dims"]) -> float:
    """The mean cosine of two different users, those whose taste has no length left out; NaN for fewer than two."""
    units = unit_vectors(preference[np.any(preference != 0, axis=1)])
    n = len(units)
    return float((np.square(units.sum(axis=0)).sum() - n) / (n * (n - 1))) if n > 1 else float("nan")


def inter_user_distance(preference: Float[A, "users dims"]) -> float:
    """The root mean square distance between the tastes of two different users; NaN for fewer than two."""
    n = len(preference)
    if n < 2:
        return float("nan")
    centred = preference - preference.mean(axis=0, dtype=np.float64)
    return float(np.sqrt(2 * np.square(centred).sum() / (n - 1)))


def first_component(preference: Float[A, "users dims"]) -> tuple[float, Float64[A, " users"]]:
    """The share of the variance of tastes that lies along the first principal component, and each user's place on it.

    The share is between 1 / dims and 1. The component's sign is arbitrary. NaN where all tastes are the same.
    """
    centred = preference - preference.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    total = np.square(centred).sum() / len(centred)
    if not total > 1e-24 * np.square(preference.astype(np.float64)).sum():
        return float("nan"), np.full(len(centred), np.nan)
    return float(variances[-1] / variances.sum()), centred @ axes[:, -1]


def bimodality(values: Float64[A, " users"]) -> float:
    """Sarle's coefficient (g^2 + 1) / (k + 3 (n - 1)^2 / ((n - 2)(n - 3))) of the sample's skewness g and excess
    kurtosis k, both corrected for its size.

    1 for two camps without spread, 5/9 for even spread, 1/3 for the normal distribution, of many values (Pfister et
    al. 2013). A long tail to one side raises it too. NaN for fewer than four values, or where all
    are the same.
    """
    n = len(values)
    centred = values - values.mean()
    second = np.mean(centred**2)
    if n < 4 or not (values != values[0]).any() or not second > 0:
        return float("nan")
    skewness = np.mean(centred**3) / second**1.5 * np.sqrt(n * (n - 1)) / (n - 2)
    excess = np.mean(centred**4) / second**2 - 3
    excess = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * excess + 6)
    return float((skewness**2 + 1) / (excess + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))))
