"""Ratings as a log, so that agents learn from real data as from the lab's own."""

import numpy as np
from jaxtyping import Int

from recsim_lab.datasets.base import Ratings
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import NEVER, TICKS_PER_DAY, FeatureTable, Field

A = np.ndarray


def rating_log(ratings: Ratings) -> InteractionLog:
    """Every rating as a slate of one item that was clicked, whatever the stars; `reward` holds the stars.

    A visit is all that a user rated without a day's break. Genres are a multi-valued field of items, the user
    features of the data set categorical fields of users; an item counts as on offer from its first rating. Who chose
    what was shown is unknown, so propensities are NaN.
    """
    num_ratings = ratings.num_ratings
    tick = (ratings.timestamp - ratings.timestamp.min()) // 60 if num_ratings else ratings.timestamp
    session, step = _visits(ratings.user, tick)
    unknown = np.full((num_ratings, 1), np.nan, np.float32)
    release = np.full(ratings.num_items, NEVER, np.int64)
    np.minimum.at(release, ratings.item, tick)
    return InteractionLog(
        tick=tick.astype(np.int64),
        user=ratings.user.astype(np.int32),
        session=session,
        step=step,
        device=np.zeros(num_ratings, np.int8),
        reward=ratings.rating.astype(np.float32),
        left=np.zeros(num_ratings, bool),
        slate=ratings.item[:, None].astype(np.int32),
        propensity=unknown,
        prefix_propensity=unknown.astype(np.float64),
        propensity_error=np.zeros((num_ratings, 1), np.float32),
        source=np.zeros((num_ratings, 1), np.int16),
        clicks=np.ones((num_ratings, 1), bool),
        dwell=np.ones((num_ratings, 1), np.float32),
        likes=(ratings.rating >= 4)[:, None],
        features=_features(ratings, release),
        sources=("unknown",),
        history=128,
        shown=0,
    )


def _visits(user: Int[A, " ratings"], tick: Int[A, " ratings"]) -> tuple[Int[A, " ratings"], Int[A, " ratings"]]:
    """The visit of each rating, counted from 0 for each user, and its place in the visit."""
    order = np.lexsort((np.arange(len(user)), tick, user))
    new_user = np.diff(user[order], prepend=-1) != 0
    opens = new_user | (np.diff(tick[order], prepend=0) > TICKS_PER_DAY)
    first_visit = np.cumsum(opens)[new_user][np.cumsum(new_user) - 1]
    first_row = np.flatnonzero(opens)[np.cumsum(opens) - 1]
    session, step = np.empty(len(user), np.int32), np.empty(len(user), np.int32)
    session[order] = np.cumsum(opens) - first_visit
    step[order] = np.arange(len(user)) - first_row
    return session, step


def _features(ratings: Ratings, release: Int[A, " items"]) -> FeatureTable:
    users = {name: codes.astype(np.int32) for name, codes in ratings.user_features.items()}
    return FeatureTable(
        tuple(Field(name, "categorical", len(ratings.user_feature_names[name])) for name in users),
        (Field("genres", "multi", len(ratings.genres)),),
        users,
        {"genres": ratings.item_genres},
        release,
        np.full(ratings.num_items, NEVER),
        ratings.titles,
    )
