"""How well did each offline number predict each online one? Agreement over agents, with its uncertainty.

Within one world, logging policy, deployment, number of retrainings and seed, an offline metric and an online one
order the same agents; the statistics say how alike. They are averaged over seeds.

The interval is a percentile bootstrap over agent families and seeds at once (the pigeonhole bootstrap: Owen,
Annals of Applied Statistics 2007): the variants of a family rise and fall together and count as one piece of
evidence, not as many. It speaks of other families and other seeds of the same world, not of other worlds. Measured
under independent noise with 7 to 14 families, the 95% interval covers zero in 92 to 96% of the cases for Spearman
and Kendall, 88 to 92% for Pearson; where seeds disagree by noise of their own, that noise is counted twice and it
is 97 to 99%. Of all orders of 5 families of one agent each, 16 of 120 have an interval of Spearman's beside zero, and
of 4 it is 10 of 24: fewer than 5 have no interval.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from recsim_lab.evaluation.plan import ORACLE, REPLICATE
from recsim_lab.evaluation.resampled_agreement import (
    MIN_AGENTS,
    STATISTICS,
    agreement_in_seed,
    column_groups,
    resample_counts,
)
from recsim_lab.evaluation.statistics import spearman

A = np.ndarray

KEYS = ("world", "logging_policy", "deployment", "num_retrainings")
"""What is held fixed while agents are compared."""

COLUMNS = (
    *KEYS,
    "agents",
    *("protocol", "offline_metric", "online_metric"),
    *(f"{statistic}{end}" for statistic in STATISTICS for end in ("", "_low", "_high")),
    *("ceiling", "num_agents", "num_seeds"),
)

LOWER_IS_BETTER_OFFLINE = frozenset({"rmse", "mse", "mae", "log_loss", "calibration_error", "mean_rank"})
LOWER_IS_BETTER_ONLINE = frozenset({"regret", "churn", "leave_rate", "return_days"})
"""Metrics negated before they are compared, so that a positive correlation always means agreement. A cut-off
(`@10`) does not matter."""

AGENT_SETS = ("all", "without random", "catalogue", "impressions", "between")
"""Which agents are compared: all, all but those of the family `random`, those of either training target (clicked
against sampled items, clicked against shown ones), and pairs of one of each."""

MIN_FAMILIES = 5
"""Fewer families have no interval: see above."""

MIN_DEFINED_SHARE = 0.5
"""Below this share of resamples with a defined statistic, the rest say too little for an interval."""

OFFLINE_BLOCK = 32
"""Offline columns handled at a time; bounds memory, changes no number."""

MULTIPLE_COMPARISONS_NOTE = (
    "Each interval holds for its own row at 95%. Of many rows without any agreement, about one in twenty excludes "
    "zero by chance, and the best of many rows looks better than it is: the winner of this table needs a second "
    "study before it is trusted. Rows share agents, seeds and resamples, so they are not independent evidence."
)


def agreement_table(
    scores: pd.DataFrame, num_bootstrap: int = 1000, seed: int = 0, agents: str = "all"
) -> pd.DataFrame:
    """One row per `KEYS`, protocol, offline metric and online metric, with the columns `COLUMNS`.

    `scores` has one row per `KEYS`, agent and seed, the agent's `family` (and its training `target`, where `agents` of
    `AGENT_SETS` asks for it), and columns `offline/<protocol>/<metric>` and `online/<metric>`. Missing and infinite
    values leave the agent out of that comparison; a column without any value under some keys has no row there.

    - `pairwise_accuracy`: share of pairs of agents that both metrics order alike, a tie in either counting half.
    - `top1_regret`: online loss from deploying the offline winner, relative to the best agent's absolute
      value; the mean over winners that tie; NaN where the best value is 0.
    - `_low`, `_high`: 95% interval; NaN with fewer than `MIN_FAMILIES` families, or where most resamples are
      undefined. It is not corrected for the number of rows: see `MULTIPLE_COMPARISONS_NOTE`.
    - `ceiling`: Spearman correlation of the online metric with the same metric of a second replicate
      (`replicate/<metric>`: the same users and models under other luck), for the agents of the row, averaged over
      seeds. Both are noisy: a number that knew each agent's expectation would reach about its square root
      (Spearman's formula for attenuation). NaN without replicates.
    - `num_agents`: agents with both numbers in some seed; `num_seeds`: seeds with at least `MIN_AGENTS` such
      agents.

    Between training targets only `kendall` and `pairwise_accuracy` are defined. All five statistics are NaN in a
    seed where a metric is constant or fewer than `MIN_AGENTS` agents have both numbers; the average is over the
    other seeds. The resamples depend on `seed` and on the numbers of families and seeds alone, so rows of the same
    study are compared on the same resamples.

    Raises ValueError for missing columns, an agent that stands twice under the same keys and seed, or one that
    belongs to two families.
    """
    _check(scores, num_bootstrap, agents)
    competing = chosen_agents(scores, agents)
    tables = [
        _agreement_of_panel(_panel(group), num_bootstrap, seed).assign(**dict(zip(KEYS, key, strict=True)))
        for key, group in competing.groupby(list(KEYS), dropna=False)
    ]
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(tables, ignore_index=True).assign(agents=agents)[list(COLUMNS)]


def chosen_agents(scores: pd.DataFrame, agents: str) -> pd.DataFrame:
    """The rows of one of the `AGENT_SETS`. The oracle is in none: it knows the truth, and would make every offline
    number look good."""
    competing = scores[(scores["agent"] != ORACLE) & (scores["family"] != ORACLE)]
    if agents == "without random":
        return competing[competing["family"] != "random"]
    if agents == "between":
        return competing[competing["target"].isin(("catalogue", "impressions"))].assign(_group=competing["target"])
    return competing if agents == "all" else competing[competing["target"] == agents]


@dataclass(frozen=True)
class _Panel:
    """The scores under one choice of keys, turned so that more is better; NaN where there is none."""

    family: Int[A, " agents"]
    """From 0 to the number of families - 1."""
    offline: Float[A, "seeds agents offline"]
    online: Float[A, "seeds agents online"]
    replicate: Float[A, "seeds agents online"]
    offline_names: tuple[str, ...]
    online_names: tuple[str, ...]
    group: Int[A, " agents"] | None


def _check(scores: pd.DataFrame, num_bootstrap: int, agents: str) -> None:
    if num_bootstrap < 1:
        raise ValueError(f"num_bootstrap must be at least 1, got {num_bootstrap}")
    if agents not in AGENT_SETS:
        raise ValueError(f"agents must be one of {', '.join(AGENT_SETS)}, got {agents!r}")
    asked = (*KEYS, "agent", "family", "seed", *(("target",) if agents in AGENT_SETS[2:] else ()))
    if missing := [name for name in asked if name not in scores]:
        raise ValueError(f"scores must have the columns {missing}, got {list(scores.columns)}")
    for kind, shape in (("offline", "offline/<protocol>/<metric>"), ("online", "online/<metric>")):
        names = _columns_of(scores, kind)
        if wrong := [name for name in names if name.count("/") < shape.count("/") or name.endswith("/")]:
            raise ValueError(f"columns must be named {shape}, got {wrong[0]!r}")
    repeated = scores.duplicated([*KEYS, "seed", "agent"])
    if repeated.any():
        row = scores.loc[repeated, [*KEYS, "seed", "agent"]].iloc[0]
        raise ValueError(f"scores must have one row per keys, seed and agent, got another of {row.to_dict()}")
    families = scores.groupby("agent")["family"].nunique()
    if (families != 1).any():
        raise ValueError(f"family must be one per agent, got {families[families != 1].to_dict()}")


def _columns_of(scores: pd.DataFrame, kind: str) -> list[str]:
    return [name for name in scores.columns if str(name).startswith(f"{kind}/")]


def _panel(group: pd.DataFrame) -> _Panel:
    seeds, agents = sorted(group["seed"].unique()), sorted(group["agent"].unique())
    cells = group.set_index(["seed", "agent"]).reindex(pd.MultiIndex.from_product([seeds, agents]))
    families = group.drop_duplicates("agent").set_index("agent")["family"].loc[agents]

    def values(names: list[str], lower_is_better: frozenset[str]) -> Float[A, "seeds agents metrics"]:
        table = cells.reindex(columns=names).to_numpy(dtype=np.float64, na_value=np.nan)
        sign = np.array([-1.0 if _metric(name) in lower_is_better else 1.0 for name in names])
        return (np.where(np.isfinite(table), table, np.nan) * sign).reshape(len(seeds), len(agents), -1)

    def known(kind: str) -> list[str]:
        names = _columns_of(group, kind)
        return [name for name in names if np.isfinite(cells[name].to_numpy(dtype=np.float64, na_value=np.nan)).any()]

    offline, online = known("offline"), known("online")
    groups = group.drop_duplicates("agent").set_index("agent")["_group"].loc[agents] if "_group" in group else None
    return _Panel(
        np.unique(families, return_inverse=True)[1],
        values(offline, LOWER_IS_BETTER_OFFLINE),
        values(online, LOWER_IS_BETTER_ONLINE),
        values([name.replace("online", REPLICATE, 1) for name in online], LOWER_IS_BETTER_ONLINE),
        tuple(offline),
        tuple(online),
        None if groups is None else np.unique(groups, return_inverse=True)[1],
    )


def _metric(column: str) -> str:
    return column.rsplit("/", 1)[1].split("@")[0]


def _agreement_of_panel(panel: _Panel, num_bootstrap: int, seed: int) -> pd.DataFrame:
    num_families = int(panel.family.max()) + 1
    family_counts, seed_counts = resample_counts(
        num_families, len(panel.offline), num_bootstrap, np.random.default_rng(seed)
    )
    agent_counts = family_counts[:, panel.family]
    blocks = [
        _estimate_and_interval(
            panel.offline[:, :, start : start + OFFLINE_BLOCK], panel.online, agent_counts, seed_counts, panel.group
        )
        for start in range(0, len(panel.offline_names), OFFLINE_BLOCK)
    ]
    if not blocks or not panel.online_names:
        return pd.DataFrame(columns=list(COLUMNS))
    answers = np.concatenate(blocks, axis=2)  # statistic, (estimate, low, high), offline, online

    both = np.isfinite(panel.offline)[:, :, :, None] & np.isfinite(panel.online)[:, :, None, :]
    agents = both.any(axis=0)
    families = np.stack([agents[panel.family == family].any(axis=0) for family in range(num_families)])
    answers[:, 1:, families.sum(axis=0) < MIN_FAMILIES] = np.nan
    ceilings = _ceilings(panel.online, panel.replicate, agents)
    num_seeds = (both.sum(axis=1) >= MIN_AGENTS).sum(axis=0)

    offline_index, online_index = (x.ravel() for x in np.indices(agents.shape[1:]))
    names = [panel.offline_names[i].removeprefix("offline/").rsplit("/", 1) for i in offline_index]
    table: dict[str, object] = {
        "protocol": [protocol for protocol, _ in names],
        "offline_metric": [metric for _, metric in names],
        "online_metric": [panel.online_names[i].removeprefix("online/") for i in online_index],
    }
    for statistic, estimate_low_high in zip(STATISTICS, answers, strict=True):
        for end, numbers in zip(("", "_low", "_high"), estimate_low_high, strict=True):
            table[f"{statistic}{end}"] = numbers.ravel()
    table |= {
        "ceiling": ceilings.ravel(),
        "num_agents": agents.sum(axis=0).ravel(),
        "num_seeds": num_seeds.ravel(),
    }
    return pd.DataFrame(table)


def _estimate_and_interval(
    offline: Float[A, "seeds agents offline"],
    online: Float[A, "seeds agents online"],
    agent_counts: Float[A, "resamples agents"],
    seed_counts: Float[A, "resamples seeds"],
    group: Int[A, " agents"] | None,
) -> Float[A, "statistics estimate_low_high offline online"]:
    shape = (len(STATISTICS), len(agent_counts), offline.shape[2], online.shape[2])
    total, weight = np.zeros(shape), np.zeros(shape)
    for in_seed, (offline_values, online_values) in enumerate(zip(offline, online, strict=True)):
        answer = agreement_in_seed(offline_values, online_values, agent_counts, group)
        count = seed_counts[None, :, in_seed, None, None]
        defined = ~np.isnan(answer)
        total += np.where(defined, answer, 0.0) * count
        weight += defined * count
    mean = np.where(weight > 0, total / np.maximum(weight, 1), np.nan)

    estimate, resampled = mean[:, :1], mean[:, 1:]
    trusted = np.mean(~np.isnan(resampled), axis=1, keepdims=True) >= MIN_DEFINED_SHARE
    ends = np.nanquantile(np.where(trusted, resampled, 0.0), [0.025, 0.975], axis=1)
    ends = np.where(trusted & ~np.isnan(estimate), np.moveaxis(ends, 0, 1), np.nan)
    return np.concatenate([estimate, ends], axis=1)


def _ceilings(
    online: Float[A, "seeds agents online"],
    replicate: Float[A, "seeds agents online"],
    agents: Bool[A, "agents offline online"],
) -> Float[A, "offline online"]:
    ceilings = np.full(agents.shape[1:], np.nan)
    for metric in range(online.shape[2]):
        for included, offline_columns in column_groups(agents[:, :, metric]):
            ceilings[offline_columns, metric] = _ceiling(online[:, included, metric], replicate[:, included, metric])
    return ceilings


def _ceiling(online: Float[A, "seeds agents"], replicate: Float[A, "seeds agents"]) -> float:
    known = ~np.isnan(online) & ~np.isnan(replicate)
    correlations = [
        spearman(one[both], other[both])
        for one, other, both in zip(online, replicate, known, strict=True)
        if both.sum() >= MIN_AGENTS
    ]
    defined = [value for value in correlations if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
