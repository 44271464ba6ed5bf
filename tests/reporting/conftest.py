"""Invented tables of the shapes that a study hands to the report."""

import itertools

import numpy as np
import pandas
import pytest

from recsim_lab.evaluation.attribution import PARTS

SETTING = {"world": "everyday", "logging_policy": "popularity", "deployment": "retrained", "num_retrainings": 20}
AGENTS = {
    "random": "random",
    "popularity": "popularity",
    "popularity:days=7": "popularity",
    "itemknn:neighbours=20": "itemknn",
    "ease": "ease",
    "mf:dim=32,target=impressions": "mf",
    "mf:dim=64,target=sampled": "mf",
    "oracle": "oracle",
}
PROTOCOLS = ("temporal-full", "random-sampled")
OFFLINE_METRICS = ("ndcg@10", "auc")
ONLINE_METRICS = ("clicks_per_slate", "regret")


@pytest.fixture
def scores() -> pandas.DataFrame:
    """`temporal-full` orders the agents as `clicks_per_slate` does, `random-sampled` the other way round."""
    noise = np.random.default_rng(5)
    rows = []
    for (place, (agent, family)), seed in itertools.product(enumerate(AGENTS.items()), range(3)):
        clicks = 0.1 + 0.05 * place + 0.002 * noise.normal()
        row = SETTING | {"agent": agent, "family": family, "seed": seed}
        row |= {f"offline/temporal-full/{metric}": clicks / 2 for metric in OFFLINE_METRICS}
        row |= {f"offline/random-sampled/{metric}": 1 - clicks for metric in OFFLINE_METRICS}
        rows.append(row | {"online/clicks_per_slate": clicks, "online/regret": 1 - clicks})
    return pandas.DataFrame(rows)


@pytest.fixture
def correlations() -> pandas.DataFrame:
    """Strong agreement under `temporal-full`, next to none (intervals across zero) under `random-sampled`."""
    rows = []
    for protocol, offline, online in itertools.product(PROTOCOLS, OFFLINE_METRICS, ONLINE_METRICS):
        value = 0.9 if protocol == "temporal-full" else -0.1
        value -= 0.01 * OFFLINE_METRICS.index(offline) + 0.02 * ONLINE_METRICS.index(online)
        row = SETTING | {"protocol": protocol, "offline_metric": offline, "online_metric": online}
        for statistic in ("spearman", "kendall", "pearson"):
            row |= {statistic: value, f"{statistic}_low": value - 0.2, f"{statistic}_high": min(1.0, value + 0.2)}
        row |= {"pairwise_accuracy": 0.9, "pairwise_accuracy_low": 0.8, "pairwise_accuracy_high": 1.0}
        rows.append(row | {"ceiling": 0.97, "num_agents": 7, "num_seeds": 3})
    return pandas.DataFrame(rows)


@pytest.fixture
def daily() -> pandas.DataFrame:
    noise = np.random.default_rng(6)
    return pandas.DataFrame(
        [
            SETTING
            | {"agent": agent, "family": family, "seed": seed, "day": day}
            | {"clicks_per_slate": 0.1 + 0.05 * place + 0.01 * noise.normal()}
            for (place, (agent, family)), seed, day in itertools.product(enumerate(AGENTS.items()), range(3), range(12))
        ]
    )


@pytest.fixture
def attribution() -> pandas.DataFrame:
    """A number that agrees by .4, most of whose gap is that foreseeing is not recommending."""
    values = dict(zip(PARTS, (0.1, 0.05, -0.05, 0.25, 0.15, 0.1), strict=True)) | {"total": 0.6}
    number = {"protocol": "random-full", "offline_metric": "ndcg@10", "online_metric": "clicks_per_slate"}
    return pandas.DataFrame(
        [number | {"part": part, "value": v, "low": v - 0.1, "high": v + 0.1} for part, v in values.items()]
    )
