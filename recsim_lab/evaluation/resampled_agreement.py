"""Agreement between offline and online orders of the same agents, on all bootstrap resamples at once.

Three of the statistics are one formula (Daniels, Biometrika 1944): with scores a_ij and b_ij for pairs of agents,

    sum a_ij b_ij / sqrt(sum a_ij^2 * sum b_ij^2)

is Pearson's correlation for differences of values, Kendall's tau-b for their signs and Spearman's for differences
of mid-ranks. A resample is a count per agent, so it weights pairs by products of counts. An agent that a
resample holds twice forms no pair with itself: its score is 0, and copies cannot agree with each other.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

A = np.ndarray

STATISTICS = ("spearman", "kendall", "pearson", "pairwise_accuracy", "top1_regret")

OF_PAIRS = ("kendall", "pairwise_accuracy")
"""Those that are sums over pairs of agents and nothing else."""

MIN_AGENTS = 3
"""Fewer distinct agents have no agreement worth a number."""


def resample_counts(
    num_families: int, num_seeds: int, num_bootstrap: int, generator: np.random.Generator
) -> tuple[Float[A, "resamples families"], Float[A, "resamples seeds"]]:
    """How often each resample holds each family and each seed; the first resample is the study itself."""

    def counts(size: int) -> Float[A, "resamples size"]:
        drawn = generator.multinomial(size, np.full(size, 1 / size), size=num_bootstrap)
        return np.concatenate([np.ones((1, size)), drawn])

    return counts(num_families), counts(num_seeds)


def agreement_in_seed(
    offline: Float[A, "agents offline"],
    online: Float[A, "agents online"],
    agent_counts: Float[A, "resamples agents"],
    group: Int[A, " agents"] | None = None,
) -> Float[A, "statistics resamples offline online"]:
    """Columns known for the same agents are handled together, so that nothing below meets a missing value.

    With `group`, only pairs of agents of different groups count: Kendall's correlation and pairwise accuracy are
    theirs, and the other statistics, which are not made of pairs alone, are NaN.
    """
    answer = np.full((len(STATISTICS), len(agent_counts), offline.shape[1], online.shape[1]), np.nan)
    for with_offline, offline_columns in column_groups(~np.isnan(offline)):
        for with_online, online_columns in column_groups(~np.isnan(online)):
            agents = with_offline & with_online
            if agents.sum() >= MIN_AGENTS:
                answer[:, :, offline_columns[:, None], online_columns] = _agreement(
                    offline[agents][:, offline_columns],
                    online[agents][:, online_columns],
                    agent_counts[:, agents],
                    None if group is None else group[agents],
                )
    return answer


def column_groups(known: Bool[A, "agents columns"]) -> Iterator[tuple[Bool[A, " agents"], Int[A, " same"]]]:
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        yield pattern, np.flatnonzero(which.ravel() == number)


def _agreement(
    offline: Float[A, "agents offline"],
    online: Float[A, "agents online"],
    counts: Float[A, "resamples agents"],
    group: Int[A, " agents"] | None,
) -> Float[A, "statistics resamples offline online"]:
    """The statistics of every resample, which holds each agent `counts` times; undefined ones are NaN."""
    first, second = np.triu_indices(len(offline), k=1)
    pair_counts = counts[:, first] * counts[:, second]
    if group is not None:
        pair_counts = pair_counts * (group[first] != group[second])
    offline_gaps, online_gaps = offline[first] - offline[second], online[first] - online[second]
    offline_signs, online_signs = np.sign(offline_gaps), np.sign(online_gaps)

    in_any_order = (np.count_nonzero(counts, axis=1) >= MIN_AGENTS)[:, None]
    offline_varies = in_any_order & (pair_counts @ offline_signs**2 > 0)
    online_varies = in_any_order & (pair_counts @ online_signs**2 > 0)
    defined = offline_varies[:, :, None] & online_varies[:, None, :]

    with np.errstate(divide="ignore", invalid="ignore"):  # undefined resamples, masked below
        concordance = _sum_over_pairs(pair_counts, offline_signs, online_signs)
        answer = np.stack(
            [
                _spearman(offline, online, counts),
                concordance / _norms(pair_counts, offline_signs, online_signs),
                _pearson(pair_counts, offline_gaps, online_gaps),
                0.5 + 0.5 * concordance / pair_counts.sum(axis=1)[:, None, None],
                _top1_regret(offline, online, counts),
            ]
        )
    answer[:3] = np.clip(answer[:3], -1.0, 1.0)
    if group is not None:
        answer[[name not in OF_PAIRS for name in STATISTICS]] = np.nan
    return np.where(defined, answer, np.nan)


def _sum_over_pairs(
    pair_counts: Float[A, "resamples pairs"], a: Float[A, "pairs offline"], b: Float[A, "pairs online"]
) -> Float[A, "resamples offline online"]:
    products = (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)
    return (pair_counts @ products).reshape(-1, a.shape[1], b.shape[1])


def _norms(
    pair_counts: Float[A, "resamples pairs"], a: Float[A, "pairs offline"], b: Float[A, "pairs online"]
) -> Float[A, "resamples offline online"]:
    return np.sqrt(pair_counts @ a**2)[:, :, None] * np.sqrt(pair_counts @ b**2)[:, None, :]


def _pearson(
    pair_counts: Float[A, "resamples pairs"], a: Float[A, "pairs offline"], b: Float[A, "pairs online"]
) -> Float[A, "resamples offline online"]:
    # Gaps of 1 at most, so that no square leaves the range of a float.
    a, b = (x / np.where((largest := np.abs(x).max(axis=0)) > 0, largest, 1.0) for x in (a, b))
    return _sum_over_pairs(pair_counts, a, b) / _norms(pair_counts, a, b)


def _spearman(
    offline: Float[A, "agents offline"], online: Float[A, "agents online"], counts: Float[A, "resamples agents"]
) -> Float[A, "resamples offline online"]:
    a, b = _centred_ranks(offline, counts), _centred_ranks(online, counts)
    weighted = np.swapaxes(a * counts[:, :, None], 1, 2)
    offline_norm = np.einsum("roa,rao->ro", weighted, a)
    online_norm = np.einsum("ra,ran->rn", counts, b**2)
    return weighted @ b / np.sqrt(offline_norm[:, :, None] * online_norm[:, None, :])


def _centred_ranks(
    values: Float[A, "agents metrics"], counts: Float[A, "resamples agents"]
) -> Float[A, "resamples agents metrics"]:
    """Agents of the resample below each agent, minus those above: twice its mid-rank, but for a constant."""
    num_agents, num_metrics = values.shape
    above = np.sign(values[None, :, :] - values[:, None, :])  # [other, agent, metric]
    return (counts @ above.reshape(num_agents, -1)).reshape(-1, num_agents, num_metrics)


def _top1_regret(
    offline: Float[A, "agents offline"], online: Float[A, "agents online"], counts: Float[A, "resamples agents"]
) -> Float[A, "resamples offline online"]:
    present = counts[:, :, None] > 0
    chosen = np.where(present, offline, -np.inf)
    winners = (chosen == chosen.max(axis=1, keepdims=True)) * counts[:, :, None]
    deployed = np.swapaxes(winners, 1, 2) @ online / winners.sum(axis=1)[:, :, None]
    best = np.where(present, online, -np.inf).max(axis=1)[:, None, :]
    return np.where(best == 0, np.nan, np.maximum(best - deployed, 0.0) / np.abs(best))  # rounding may pass 0
