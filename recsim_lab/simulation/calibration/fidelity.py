"""Does a calibrated world look like the ratings it came from? Real and simulated, side by side."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int

from recsim_lab.datasets import Ratings
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.calibration.estimates import main_topics
from recsim_lab.simulation.calibration.held_out import LIKED, auc, clear_ratings, lasting_utility
from recsim_lab.simulation.sessions import population_sessions
from recsim_lab.simulation.world import World

A = np.ndarray

QUANTILES = (0.1, 0.5, 0.9, 0.99)
_FEWEST_CHOICES = 10
"""Users with fewer choices tell too little about their shares."""
_MOST_USERS = 500
"""So many users, spread over the population, tell how an item attracts on average."""


def fidelity(
    ratings: Ratings,
    world: World,
    held_out: Ratings | None = None,
    num_days: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Columns `measure`, `topic` (empty where the measure is not by topic), `real` and `simulated`.

    The simulated side is `organic_choices` under `implied_exposure`: no recommender learns. A rating and a first
    click on an item both say that the user chose it. Measures:
        held_out_auc: of the world's lasting utility for liked against disliked held-out ratings (`held_out`; the
            row is left out without). The ratings themselves, on the real side, have 1.
        popularity_gini: of the choices of each item, on as many choices from either side (drawn from the larger).
        activity_quantile_<q>: of a user's number of choices, as a multiple of the mean.
        topic_share_mean, topic_share_spread: mean over users of the share of their choices that falls on the topic
            (the item's main genre), and its standard deviation, freed of the noise of few choices. Users with
            fewer than ten choices are left out; NaN where all are.

    Raises:
        ValueError: if the world's users and items are not as many as the ratings', or nobody clicks at all.
    """
    rated, offered = (ratings.num_users, ratings.num_items), (world.population.num_users, world.catalogue.num_items)
    if rated != offered:
        raise ValueError(f"world must have the users and items of the ratings, {rated}, got {offered}")
    if not ratings.num_ratings:
        raise ValueError("ratings must hold at least one rating, got 0")
    exposure = implied_exposure(world, ratings.ratings_per_item())
    chosen_user, chosen_item = organic_choices(world, exposure, num_days, seed)
    if not len(chosen_user):
        raise ValueError(f"num_days must be long enough for a click, got {num_days}")
    real, simulated = (ratings.user, ratings.item), (chosen_user, chosen_item)
    topic, names = main_topics(ratings)
    rows: list[tuple[Any, ...]] = (
        [] if held_out is None else [("held_out_auc", "", 1.0, _held_out_auc(world, held_out))]
    )
    rows.append(("popularity_gini", "", *_ginis(ratings.item, chosen_item, ratings.num_items, seed)))
    activity = [_relative_activity(user, ratings.num_users) for user, _ in (real, simulated)]
    quantiles = ((q, *(float(np.quantile(side, q)) for side in activity)) for q in QUANTILES)
    rows.extend((f"activity_quantile_{q:g}", "", *values) for q, *values in quantiles)
    shares = [_topic_shares(user, topic[item], ratings.num_users, len(names)) for user, item in (real, simulated)]
    for place, measure in enumerate(("topic_share_mean", "topic_share_spread")):
        both = (share[place].tolist() for share in shares)
        rows.extend((measure, name, *values) for name, *values in zip(names, *both, strict=True))
    return pd.DataFrame(rows, columns=["measure", "topic", "real", "simulated"])


def implied_exposure(world: World, num_choices: Int[A, " items"]) -> Float64[A, " items"]:
    """How often each item must have been seen (shares) to be chosen so often, given how it attracts.

    Choices are taken to be in proportion to exposure times the mean over users of exp(utility), as they are
    where most of what is seen is passed over. So popularity is not counted twice, once for what is shown and once
    for what is clicked.
    """
    num_users, num_items = world.population.num_users, world.catalogue.num_items
    users = np.unique(np.linspace(0, num_users - 1, _MOST_USERS).astype(np.int64))
    user, item = np.divmod(np.arange(len(users) * num_items), num_items)
    utility = lasting_utility(world, users[user], item).astype(np.float64).reshape(len(users), num_items)
    exposure = num_choices / np.exp(utility - utility.max()).mean(axis=0)
    return exposure / exposure.sum()


def organic_choices(
    world: World, exposure: Float64[A, " items"], num_days: int, seed: int = 0
) -> tuple[Int[A, " choices"], Int[A, " choices"]]:
    """User and item of what users click when slots are filled at random, with chances in proportion to `exposure`.

    Items that a user clicks again count once. Every user of the population lives once, for `num_days`.
    """
    clicks = list(_visits(world, exposure, num_days, seed))
    pairs = np.unique(np.concatenate([np.zeros(0, np.int64), *clicks]))
    user, item = np.divmod(pairs, world.catalogue.num_items)
    return user.astype(np.int32), item.astype(np.int32)


def _visits(world: World, exposure: Float64[A, " items"], num_days: int, seed: int) -> Iterator[Int[A, " clicks"]]:
    """The clicks of every round of slates, as user times number of items plus item."""
    generator = np.random.default_rng(seed)
    cumulative = np.cumsum(exposure) / exposure.sum()
    sessions = population_sessions(world, seed)
    due = sessions.first_visit(np.arange(len(sessions)))
    for day in range(num_days):
        rows = np.flatnonzero(due // TICKS_PER_DAY == day)
        sessions.open(rows, due[rows])
        while rows.size:
            luck = generator.random((len(rows), sessions.num_slots))
            slate = np.minimum(np.searchsorted(cumulative, luck, side="right"), len(cumulative) - 1)
            response = sessions.answer(rows, slate.astype(np.int32))
            yield rows[response.clicked_row] * np.int64(len(cumulative)) + response.clicked_item
            gone = rows[response.left]
            due[gone] = sessions.close(gone)
            rows = rows[~response.left]


def _held_out_auc(world: World, held_out: Ratings) -> float:
    clear = clear_ratings(held_out)
    return auc(clear.rating >= LIKED, lasting_utility(world, clear.user, clear.item))


def gini(counts: Int[A, " items"]) -> float:
    """0 where all items have the same, nearly 1 where one has everything; NaN where nothing is counted.

    Half the mean absolute difference between two items, relative to the mean.
    """
    rank = np.arange(1, len(counts) + 1)
    total = counts.sum(dtype=np.float64)
    if not total:
        return float("nan")
    return float(2 * (rank @ np.sort(counts)) / (len(counts) * total) - (len(counts) + 1) / len(counts))


def _ginis(real: Int[A, " ratings"], simulated: Int[A, " choices"], num_items: int, seed: int) -> tuple[float, float]:
    """Few choices are scattered more unevenly than many, so both sides are brought to the same number."""
    generator = np.random.default_rng(seed)
    size = min(len(real), len(simulated))
    thinned = (generator.choice(side, size, replace=False) for side in (real, simulated))
    first, second = (gini(np.bincount(side, minlength=num_items)) for side in thinned)
    return first, second


def _relative_activity(user: Int[A, " choices"], num_users: int) -> Float64[A, " active"]:
    counts = np.bincount(user, minlength=num_users)
    return counts / counts.mean()


def _topic_shares(
    user: Int[A, " choices"], topic: Int[A, " choices"], num_users: int, num_topics: int
) -> tuple[Float64[A, " topics"], Float64[A, " topics"]]:
    """Mean and spread of the shares, over users of at least `_FEWEST_CHOICES`.

    Of n choices k fall on the topic: k (k - 1) / (n (n - 1)) is an unbiased estimate of the square of the share
    that k / n estimates, so the noise of k / n does not count as spread.
    """
    counts = np.bincount(user.astype(np.int64) * num_topics + topic, minlength=num_users * num_topics)
    counts = counts.reshape(num_users, num_topics)
    total = counts.sum(axis=1, keepdims=True)
    several = total[:, 0] >= _FEWEST_CHOICES
    if not several.any():
        return np.full(num_topics, np.nan), np.full(num_topics, np.nan)
    counts, total = counts[several], total[several]
    mean = (counts / total).mean(axis=0)
    square = (counts * (counts - 1) / (total * (total - 1))).mean(axis=0)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))
