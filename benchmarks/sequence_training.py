"""Seconds per epoch of SASRec on sequences as long and as many as those of MovieLens-1M."""

from statistics import median
from typing import Any

import numpy as np

from agents.sasrec import SASRec
from benchmarks.real_data.clicks import click_log

NUM_USERS, NUM_ITEMS, NUM_CLICKS = 6_040, 3_416, 999_611
NUM_EPOCHS = 2


def sasrec_epoch() -> dict[str, Any]:
    """Length 200, 64 dimensions, 2 blocks, a softmax over 256 shared negatives; lengths are log-normal, as real ones
    nearly are, with the real median of 96."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.exp(rng.normal(np.log(96), 1.05, NUM_USERS)), 20, 2300)
    lengths = np.maximum((lengths * NUM_CLICKS / lengths.sum()).astype(int), 18)
    user = np.repeat(np.arange(NUM_USERS), lengths)
    agent = SASRec(
        max_length=200,
        dropout=0.2,
        embeddings="position",
        loss="softmax",
        num_negatives=256,
        batch_size=128,
        epochs=NUM_EPOCHS,
    )
    agent.learn(click_log(user, rng.integers(NUM_ITEMS, size=len(user)), NUM_ITEMS))
    return {
        "name": "sasrec_epoch",
        "value": round(median(epoch.seconds for epoch in agent.curve), 2),
        "unit": "s/epoch",
        "work": f"{np.minimum(lengths, 200).sum():,} tokens of {NUM_USERS:,} users, {NUM_ITEMS:,} items, {agent.name}",
    }
