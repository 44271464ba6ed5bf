"""Seconds per epoch of learned models, on made-up clicks of fixed size."""

from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from agents.neural import NetworkAgent
from agents.registry import make_agent
from benchmarks.real_data.clicks import click_log
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Field

NUM_USERS, NUM_ITEMS, NUM_GROUPS, NUM_GENRES = 5_000, 4_000, 8, 20
NUM_EPOCHS = 3

MATRIX_FACTORIZATION = "mf:dim=64,loss=bce,num_negatives=4,shared=false,batch_size=2048"
TWO_TOWERS = (
    "two-tower:dim=32,hidden=64,width=32,loss=softmax,negatives=mixed,num_negatives=512,shared=true,logq=true,"
    "history=pooled,newest=20,normalised=true,batch_size=512,validation=0"
)
MANY_NEGATIVES = "mf:dim=64,loss=softmax,num_negatives=256,shared=true,batch_size=2048"
DCN_V2 = (
    "dcn:dim=16,num_layers=2,rank=16,deep=64-32,loss=bce,num_negatives=4,shared=false,history=paired,newest=20,"
    "batch_size=1024,validation=0"
)


def made_up_clicks(num_clicks: int, history: int = 20) -> InteractionLog:
    """The same clicks every time: any user alike, items by Zipf's law, each of one genre, users of one group."""
    rng = np.random.default_rng(0)
    user = np.sort(rng.integers(NUM_USERS, size=num_clicks))
    weight = 1.0 / np.arange(10, 10 + NUM_ITEMS)
    item = rng.choice(NUM_ITEMS, size=num_clicks, p=weight / weight.sum())
    log = click_log(user, item, NUM_ITEMS)
    features = replace(
        log.features,
        user_fields=(Field("group", "categorical", NUM_GROUPS),),
        item_fields=(Field("genre", "categorical", NUM_GENRES),),
        users={"group": rng.integers(NUM_GROUPS, size=NUM_USERS).astype(np.int32)},
        items={"genre": rng.integers(NUM_GENRES, size=NUM_ITEMS).astype(np.int32)},
    )
    return replace(log, features=features, history=history)


def matrix_factorization_epoch(num_clicks: int = 200_000) -> dict[str, Any]:
    return _epoch("mf_epoch", MATRIX_FACTORIZATION, num_clicks)


def hard_negatives_epoch(num_clicks: int = 50_000) -> dict[str, Any]:
    """An epoch whose negatives a previous model chose; beside it, the same with uniform ones."""
    uniform = _epoch("mf_epoch", MANY_NEGATIVES, num_clicks)
    hard = _epoch("hard_negatives_epoch", f"{MANY_NEGATIVES},negatives=hard", num_clicks)
    return hard | {"ratio_to": {"uniform negatives": round(hard["value"] / uniform["value"], 2)}}


def two_tower_epoch(num_clicks: int = 50_000) -> dict[str, Any]:
    return _epoch("two_tower_epoch", TWO_TOWERS, num_clicks)


def dcn_epoch(num_clicks: int = 25_000) -> dict[str, Any]:
    return _epoch("dcn_v2_epoch", DCN_V2, num_clicks)


def _epoch(name: str, spec: str, num_clicks: int) -> dict[str, Any]:
    agent = make_agent(f"{spec},epochs={NUM_EPOCHS}")
    assert isinstance(agent, NetworkAgent)
    agent.learn(made_up_clicks(num_clicks))
    return {
        "name": name,
        "value": round(median(epoch.seconds for epoch in agent.curve), 3),
        "unit": "s/epoch",
        "work": f"{num_clicks:,} clicks of {NUM_USERS:,} users on {NUM_ITEMS:,} items, {spec}",
    }
