"""Pairs of users and items as the lab's own log and requests, so that agents learn from them as from any other log."""

import numpy as np
from jaxtyping import Int

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import NEVER, FeatureTable, Observation, deterministic

A = np.ndarray


def click_log(user: Int[A, " clicks"], item: Int[A, " clicks"], num_items: int) -> InteractionLog:
    """A log in which each pair is a slate of this one item, clicked; a user's pairs are one visit, in their order.

    Such data says neither when it was nor what else was shown: every tick is 0 and every propensity NaN.
    """
    order = np.argsort(user, kind="stable")
    user, item = user[order].astype(np.int32), item[order].astype(np.int32)
    num_clicks = len(user)
    step = np.arange(num_clicks) - np.searchsorted(user, user)
    unknown = np.full((num_clicks, 1), np.nan, np.float32)
    answer = deterministic(item[:, None], "unknown")
    return InteractionLog(
        tick=np.zeros(num_clicks, np.int64),
        user=user,
        session=np.zeros(num_clicks, np.int32),
        step=step.astype(np.int32),
        device=np.zeros(num_clicks, np.int8),
        reward=np.ones(num_clicks, np.float32),
        left=np.append(user[1:] != user[:-1], True)[:num_clicks],
        slate=answer.items,
        propensity=unknown,
        prefix_propensity=unknown.astype(np.float64),
        propensity_error=answer.propensity_error,
        source=answer.source,
        clicks=np.ones((num_clicks, 1), np.bool_),
        dwell=np.ones((num_clicks, 1), np.float32),
        likes=np.zeros((num_clicks, 1), np.bool_),
        features=_all_on_offer(num_items),
        sources=answer.sources,
        history=0,
        shown=0,
    )


def requests_of(user: Int[A, " rows"], log: InteractionLog) -> Observation:
    """A request of each user that brings nothing beyond what stands in the log that the agent has learned from."""
    zeros, nothing = np.zeros(len(user), np.int32), np.zeros((len(user), 0), np.int32)
    return Observation(
        user=user.astype(np.int32),
        session=zeros + 1,
        step=zeros,
        tick=zeros.astype(np.int64),
        device=zeros.astype(np.int8),
        clicked=nothing,
        clicked_tick=nothing,
        shown=nothing,
        features=log.features,
        blocked=nothing,
    )


def _all_on_offer(num_items: int) -> FeatureTable:
    return FeatureTable((), (), {}, {}, np.zeros(num_items, np.int64), np.full(num_items, NEVER))
