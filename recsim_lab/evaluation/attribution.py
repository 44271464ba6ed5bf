"""Why an offline number and the truth part: their distance told by a ladder of scores, each rung one step closer.

The first rung is a protocol as it is. Three things are then put right, one after the other: the log's labels are
replaced by what users wanted (`labels`), the split by one that leaks nothing (`split`), and the rules of production are
applied (`rules`); what each is worth depends on what was put right before, so it is averaged over their six orders
(Shapley, 1953). The next rung is what the slates of a visit would earn of the users as they are, in expectation
(`prediction`: foreseeing a choice is not recommending); then what a second replicate earns while users change
(`change`); what is left is luck (`noise`). Rungs are compared with the same online metric over the same agents, seeds
and resamples, so the parts sum to 1 - agreement by construction.
"""

from dataclasses import dataclass, replace
from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
from jaxtyping import Float

from recsim_lab.evaluation.agreement import KEYS
from recsim_lab.evaluation.contrasts import interval_of, resampled_spearman
from recsim_lab.evaluation.plan import EXPECTED, ORACLE, REPLICATE
from recsim_lab.evaluation.protocols import Click, Protocol, TemporalSplit, TrueChoice

A = np.ndarray

REMEDIES = ("labels", "split", "rules")
"""What is put right in the protocol, in any order."""
PARTS = (*REMEDIES, "prediction", "change", "noise")
"""All parts, in the order of the ladder; `total` is their sum."""
METRICS = ("ndcg@10", "hr@10", "mrr@10", "auc")
COLUMNS = ("world", "logging_policy", "protocol", "offline_metric", "online_metric", "part", "value", "low", "high")


@dataclass(frozen=True)
class Ladder:
    """The rungs between a protocol's metric and an online metric, as columns of the scores."""

    protocol: Protocol
    metric: str
    online_metric: str
    test_days: int

    def remedied(self, *remedies: str) -> str:
        """The column of the metric once these things are put right."""
        protocol = self.protocol
        if "labels" in remedies:
            protocol = replace(protocol, target=TrueChoice())
        if "split" in remedies:
            protocol = replace(protocol, split=TemporalSplit(self.test_days))
        if "rules" in remedies:
            protocol = replace(protocol, rules=True)
        return f"{protocol.prefix}/{self.metric}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is compared with the online one."""
        subsets = [subset for size in range(len(REMEDIES) + 1) for subset in combinations(REMEDIES, size)]
        remedied = [self.remedied(*subset) for subset in subsets]
        return (*dict.fromkeys(remedied), EXPECTED, f"{REPLICATE}/{self.online_metric}")

    @property
    def online(self) -> str:
        return f"online/{self.online_metric}"

    def parts(self, agreement: dict[str, Float[A, " resamples"]]) -> dict[str, Float[A, " resamples"]]:
        """The parts and their total, from the agreement of every column."""
        as_it_is, remedied = agreement[self.remedied()], agreement[self.remedied(*REMEDIES)]
        found = {remedy: self._shapley(remedy, agreement) for remedy in REMEDIES}
        found["prediction"] = agreement[EXPECTED] - remedied
        found["change"] = agreement[f"{REPLICATE}/{self.online_metric}"] - agreement[EXPECTED]
        found["noise"] = 1 - agreement[f"{REPLICATE}/{self.online_metric}"]
        return found | {"total": 1 - as_it_is}

    def _shapley(self, remedy: str, agreement: dict[str, Float[A, " resamples"]]) -> Float[A, " resamples"]:
        others = [other for other in REMEDIES if other != remedy]
        total = np.zeros_like(agreement[self.remedied()])
        for size in range(len(others) + 1):
            weight = factorial(size) * factorial(len(others) - size) / factorial(len(REMEDIES))
            for before in combinations(others, size):
                total += weight * (agreement[self.remedied(*before, remedy)] - agreement[self.remedied(*before)])
        return total


def attribution_table(
    scores: pd.DataFrame,
    protocols: tuple[Protocol, ...],
    test_days: int,
    online_metric: str = "clicks_per_slate",
    deployment: str = "refit",
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per world, logging policy, protocol, metric and part, with the columns `COLUMNS`.

    Values are signed points of Spearman's correlation with 95% intervals: a negative part brought the number closer to
    the truth. Protocols that lack a rung are left out. All are compared with the same `deployment`.
    """
    rows = []
    arms = scores[(scores["deployment"] == deployment) & (scores["family"] != ORACLE)]
    for key, group in arms.groupby(list(KEYS), dropna=False):
        of_key = dict(zip(KEYS, key, strict=True))
        for protocol in protocols:
            if protocol.target != Click():
                continue
            for metric in METRICS:
                ladder = Ladder(protocol, metric, online_metric, test_days)
                needed = [*ladder.columns, ladder.online]
                if not all(name in group and group[name].notna().any() for name in needed):
                    continue
                found = resampled_spearman(group, ladder.columns, ladder.online, num_bootstrap, seed)
                parts = ladder.parts(dict(zip(ladder.columns, found.T, strict=True)))
                for part, values in parts.items():
                    interval = interval_of(values)
                    rows.append(
                        {
                            "world": of_key["world"],
                            "logging_policy": of_key["logging_policy"],
                            "protocol": protocol.name,
                            "offline_metric": metric,
                            "online_metric": online_metric,
                            "part": part,
                            "value": interval.estimate,
                            "low": interval.low,
                            "high": interval.high,
                        }
                    )
    return pd.DataFrame(rows, columns=list(COLUMNS))
