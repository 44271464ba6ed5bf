"""Differences between agreements: of the same agents, in the same seeds, on the same resamples."""

import numpy as np
import pandas as pd
from jaxtyping import Float

from recsim_lab.evaluation.agreement import (
    LOWER_IS_BETTER_OFFLINE,
    LOWER_IS_BETTER_ONLINE,
    MIN_DEFINED_SHARE,
    MIN_FAMILIES,
    chosen_agents,
)
from recsim_lab.evaluation.resampled_agreement import STATISTICS, agreement_in_seed, resample_counts
from recsim_lab.evaluation.statistics import Interval

A = np.ndarray


def resampled_spearman(
    scores: pd.DataFrame,
    predictors: tuple[str, ...],
    online: str,
    num_bootstrap: int = 1000,
    seed: int = 0,
    agents: str = "all",
) -> Float[A, "resamples predictors"]:
    """Spearman correlation of each predictor column with the column `online`, averaged over seeds; the first resample
    is the study itself.

    `scores` are of one world, logging policy and deployment. Agents that lack one of the columns in some seed are left
    out of all, so that columns of the answer may be subtracted. Resamples are those of `agreement_table`, over agent
    families and seeds at once. NaN where fewer than three agents are left, or nothing varies.
    """
    competing = chosen_agents(scores, agents)
    columns = [*predictors, online]
    if missing := [name for name in columns if name not in competing]:
        raise ValueError(f"scores must have the columns {missing}")
    complete = np.isfinite(competing[columns].astype(float)).all(axis=1).groupby(competing["agent"]).all()
    competing = competing[competing["agent"].isin(complete.index[complete])].sort_values(["seed", "agent"])
    seeds = competing["seed"].unique()
    in_every = competing.groupby("agent")["seed"].nunique() == len(seeds)
    competing = competing[competing["agent"].isin(in_every.index[in_every])]
    if competing.empty:
        return np.full((1 + num_bootstrap, len(predictors)), np.nan)
    first = competing[competing["seed"] == seeds[0]]
    family = np.unique(first["family"], return_inverse=True)[1]
    values = competing[columns].to_numpy(float).reshape(len(seeds), len(first), -1) * _signs(columns)
    family_counts, seed_counts = resample_counts(
        int(family.max()) + 1, len(seeds), num_bootstrap, np.random.default_rng(seed)
    )
    total, weight = np.zeros((2, 1 + num_bootstrap, len(predictors)))
    for of_seed, count in zip(values, seed_counts.T, strict=True):
        found = agreement_in_seed(of_seed[:, :-1], of_seed[:, -1:], family_counts[:, family])
        answer = found[STATISTICS.index("spearman"), :, :, 0]
        total += np.where(np.isnan(answer), 0.0, answer) * count[:, None]
        weight += ~np.isnan(answer) * count[:, None]
    mean = np.where(weight > 0, total / np.maximum(weight, 1), np.nan)
    if family.max() + 1 < MIN_FAMILIES:
        mean[1:] = np.nan
    return mean


def interval_of(resampled: Float[A, " resamples"]) -> Interval:
    """The value in the study itself, with the 95% percentile interval of the resamples; no ends where most resamples
    have no value."""
    known = resampled[1:][~np.isnan(resampled[1:])]
    if np.isnan(resampled[0]) or known.size < MIN_DEFINED_SHARE * max(len(resampled) - 1, 1):
        return Interval(float(resampled[0]), np.nan, np.nan)
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(float(resampled[0]), float(low), float(high))


def _signs(columns: list[str]) -> Float[A, " columns"]:
    """-1 where less is better, so that a positive correlation always means agreement."""
    lower = LOWER_IS_BETTER_OFFLINE | LOWER_IS_BETTER_ONLINE
    return np.array([-1.0 if name.rpartition("/")[2].split("@")[0] in lower else 1.0 for name in columns])
