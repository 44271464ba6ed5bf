"""What agreement depends on: the same study with one mechanism switched off, and after longer and longer logs.

Unlike the parts of `attribution`, these change the online truth too, so they do not sum to anything.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from recsim_lab.evaluation.agreement import KEYS
from recsim_lab.evaluation.contrasts import interval_of, resampled_spearman
from recsim_lab.evaluation.plan import REPLICATE

A = np.ndarray

NOTHING = "nothing"
"""The name of the study with every mechanism at work."""
NUMBERS = (
    "temporal-full/ndcg@10",
    "temporal-full-no-rules/ndcg@10",
    "temporal-sampled100/ndcg@10",
    "last-out-full/ndcg@10",
    "random-full/ndcg@10",
    "random-sampled100-no-rules/ndcg@10",
    "temporal-slate/auc",
)
SENSITIVITY_COLUMNS = (
    *("switched_off", "logging_policy", "protocol", "offline_metric", "online_metric"),
    *("agreement", "low", "high", "change", "change_low", "change_high"),
)
DECAY_COLUMNS = (
    *("log_days", "num_retrainings", "logging_policy", "protocol", "offline_metric", "online_metric"),
    *("agreement", "low", "high", "change", "change_low", "change_high"),
    *("beyond", "beyond_low", "beyond_high", "ceiling"),
)


def sensitivity_table(
    studies: Mapping[str, pd.DataFrame],
    numbers: tuple[str, ...] = NUMBERS,
    online_metric: str = "clicks_per_slate",
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Agreement in each study of the mapping from what was switched off to its scores, and its change against the one
    where `NOTHING` was, on the same resamples of families and seeds; with the columns `SENSITIVITY_COLUMNS`."""
    found = {
        (name, logging, number): values
        for name, scores in studies.items()
        for logging, _, number, values in _agreements(scores, numbers, online_metric, num_bootstrap, seed)
    }
    rows = []
    for (name, logging, number), values in found.items():
        rows.append(
            {"switched_off": name, "logging_policy": logging}
            | _words(number, online_metric)
            | _ends("agreement", values, ("low", "high"))
            | _ends("change", values - found[NOTHING, logging, number])
        )
    return pd.DataFrame(rows, columns=list(SENSITIVITY_COLUMNS))


def decay_table(
    studies: Mapping[int, pd.DataFrame],
    numbers: tuple[str, ...] = NUMBERS,
    online_metric: str = "clicks_per_slate",
    never_learns: str = "random",
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Agreement after logs of so many days, in each of which the logging policy learned every night from all before;
    with the columns `DECAY_COLUMNS`.

    `num_retrainings` is how often the logging policy learned while the log was collected: never, for `never_learns`.
    `change` is that since the shortest log, and `beyond` by how much it exceeds the change in logs of `never_learns`,
    which tell what the age of users and catalogue does by itself; both on the same resamples. The studies must let
    agents learn from as many days each.
    """
    found = {
        (days, logging, number): (group, values)
        for days, scores in sorted(studies.items())
        for logging, group, number, values in _agreements(scores, numbers, online_metric, num_bootstrap, seed)
    }
    rows, shortest = [], min(studies, default=0)
    for (days, logging, number), (group, values) in found.items():
        online, again = f"online/{online_metric}", f"{REPLICATE}/{online_metric}"
        ceiling = resampled_spearman(group, (again,), online, 1)[0, 0] if again in group else float("nan")
        change = values - found[shortest, logging, number][1]
        beyond = np.full_like(change, np.nan)
        if logging != never_learns and (days, never_learns, number) in found:
            by_age = found[days, never_learns, number][1] - found[shortest, never_learns, number][1]
            beyond = change - by_age
        num_retrainings = 0 if logging == never_learns else days - 1
        rows.append(
            {"log_days": days, "num_retrainings": num_retrainings, "logging_policy": logging}
            | _words(number, online_metric)
            | _ends("agreement", values, ("low", "high"))
            | _ends("change", change)
            | _ends("beyond", beyond)
            | {"ceiling": ceiling}
        )
    return pd.DataFrame(rows, columns=list(DECAY_COLUMNS))


def _agreements(
    scores: pd.DataFrame, numbers: tuple[str, ...], online_metric: str, num_bootstrap: int, seed: int
) -> Iterator[tuple[str, pd.DataFrame, str, Float[A, " resamples"]]]:
    """Logging policy, its scores, number and its resampled agreement."""
    for logging in dict.fromkeys(scores["logging_policy"]):
        group = _arm(scores, logging)
        for number in numbers:
            if f"offline/{number}" in group:
                found = resampled_spearman(
                    group, (f"offline/{number}",), f"online/{online_metric}", num_bootstrap, seed
                )
                yield logging, group, number, found[:, 0]


def _arm(scores: pd.DataFrame, logging: str) -> pd.DataFrame:
    deployments = set(scores["deployment"])
    deployment = "refit" if "refit" in deployments else "frozen"
    some = scores[(scores["logging_policy"] == logging) & (scores["deployment"] == deployment)]
    if some[list(KEYS)].drop_duplicates().shape[0] > 1:
        raise ValueError("scores of one switch must be of one world")
    return some


def _words(number: str, online_metric: str) -> dict[str, Any]:
    protocol, _, metric = number.rpartition("/")
    return {"protocol": protocol, "offline_metric": metric, "online_metric": online_metric}


def _ends(name: str, resampled: Float[A, " resamples"], ends: tuple[str, str] | None = None) -> dict[str, Any]:
    interval = interval_of(resampled)
    low, high = ends or (f"{name}_low", f"{name}_high")
    return {name: interval.estimate, low: interval.low, high: interval.high}
