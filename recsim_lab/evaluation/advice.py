"""A lecture's advice on offline evaluation, put to the test: does the advised protocol agree better with the truth?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from recsim_lab.evaluation.across_worlds import over_worlds
from recsim_lab.evaluation.agreement import KEYS
from recsim_lab.evaluation.contrasts import interval_of, resampled_spearman
from recsim_lab.evaluation.plan import ORACLE
from recsim_lab.evaluation.protocols import (
    Composite,
    Examined,
    Full,
    LeaveLastOut,
    Like,
    LongDwell,
    Protocol,
    RandomSplit,
    Return,
    Sampled,
    TemporalSplit,
    Unselected,
)
from recsim_lab.evaluation.statistics import holm

COLUMNS = (
    *("world", "logging_policy", "advice", "advised", "instead_of", "online_metric"),
    *("agreement_advised", "agreement_instead", "difference", "low", "high"),
)


@dataclass(frozen=True)
class Advice:
    """Use the column `advised` and not `instead_of`."""

    words: str
    advised: str
    instead_of: str


def usual_advice(test_days: int, num_sampled: int = 100, metric: str = "ndcg@10") -> tuple[Advice, ...]:
    """Build business rules into offline evaluation; use simple targets; evaluate as production behaves; and, no part of
    the lecture, correct for the bias of positions and of what was shown."""
    temporal, random, last = TemporalSplit(test_days), RandomSplit(), LeaveLastOut()

    def column(protocol: Protocol) -> str:
        return f"{protocol.prefix}/{metric}"

    plain = column(Protocol(temporal))
    rules = [
        Advice("apply the rules of production", column(Protocol(split)), column(Protocol(split, rules=False)))
        for split in (temporal, last, random)
    ]
    targets = [
        Advice("use a simple target", plain, column(Protocol(temporal, target=target)))
        for target in (Composite(), LongDwell(), Like(), Return())
    ]
    naive = [
        Protocol(split, candidates, rules=False)
        for split in (random, last)
        for candidates in (Sampled(num_sampled), Full())
    ]
    production = [Advice("evaluate as production behaves", plain, column(protocol)) for protocol in naive]
    corrections = [
        Advice("correct for which slots are looked at", column(Protocol(temporal, target=Examined())), plain),
        Advice("correct for what was shown", column(Protocol(temporal, target=Unselected())), plain),
    ]
    return (*rules, *targets, *production, *corrections)


def advice_table(
    scores: pd.DataFrame,
    advices: tuple[Advice, ...],
    online_metrics: tuple[str, ...] = ("clicks_per_slate", "satisfaction", "visits_per_user"),
    deployment: str = "refit",
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per world, logging policy, advice and online metric, with the columns `COLUMNS`.

    `difference` is Spearman's correlation of the advised number with the online metric minus that of the other, over
    the agents that have both, with the 95% interval of the difference. Advice whose columns are not there is left out.
    """
    rows = []
    arms = scores[(scores["deployment"] == deployment) & (scores["family"] != ORACLE)]
    for key, group in arms.groupby(list(KEYS), dropna=False):
        of_key = dict(zip(KEYS, key, strict=True))
        for advice in advices:
            for metric in online_metrics:
                pair = (advice.advised, advice.instead_of)
                if not all(name in group and group[name].notna().any() for name in (*pair, f"online/{metric}")):
                    continue
                found = resampled_spearman(group, pair, f"online/{metric}", num_bootstrap, seed)
                interval = interval_of(found[:, 0] - found[:, 1])
                rows.append(
                    {
                        "world": of_key["world"],
                        "logging_policy": of_key["logging_policy"],
                        "advice": advice.words,
                        "advised": advice.advised.removeprefix("offline/"),
                        "instead_of": advice.instead_of.removeprefix("offline/"),
                        "online_metric": metric,
                        "agreement_advised": found[0, 0],
                        "agreement_instead": found[0, 1],
                        "difference": interval.estimate,
                        "low": interval.low,
                        "high": interval.high,
                    }
                )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def advice_over_worlds(advice: pd.DataFrame) -> pd.DataFrame:
    """Each comparison of an `advice_table` with worlds as the units: a row per online metric, logging policy and pair.

    `difference` is the mean over worlds of the paired differences, `low` and `high` its 95% Student t interval over
    worlds, `p_value` that of no difference, and `p_holm` the same corrected for all comparisons of the online metric.
    Intervals and p-values are NaN of fewer than three worlds, which can't tell.
    """
    keys = ["online_metric", "logging_policy", "advice", "advised", "instead_of"]
    rows = []
    for key, group in advice.groupby(keys, sort=False):
        found, known = over_worlds(group["difference"]), group["difference"].dropna()
        tells = not np.isnan(found.low) and known.any()
        p_value = stats.ttest_1samp(known, 0.0).pvalue if tells else np.nan
        rows.append((*key, found.estimate, found.low, found.high, p_value, len(known)))
    table = pd.DataFrame(rows, columns=[*keys, "difference", "low", "high", "p_value", "num_worlds"])
    by_metric = table.groupby("online_metric", sort=False)["p_value"]
    table["p_holm"] = by_metric.transform(lambda p_values: holm(p_values.to_numpy(float)))
    return table
