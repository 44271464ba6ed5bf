"""Claims that the benchmarks on real data have judged: their kept results as rows of the table of claims.

A training seed tells how a training comes out on one fixed test set, and a query what MQ2008 sampled: `units` says
which of the two an interval is over.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
from scipy import stats

from recsim_lab.evaluation.claims import verdict_of
from recsim_lab.evaluation.statistics import Interval

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "real_data.csv"
NUM_QUERIES = 784
"""Of MQ2008, over which the intervals of its rows are."""
_COMMAND = "benchmarks.real_data --only "


@final
@dataclass(frozen=True)
class Kept:
    """The table of results, by name and metric."""

    table: pd.DataFrame

    def has(self, name: str, metric: str) -> bool:
        return bool(((self.table["name"] == name) & (self.table["metric"] == metric)).any())

    def __call__(self, name: str, metric: str) -> dict[str, Any]:
        found = self.table[(self.table["name"] == name) & (self.table["metric"] == metric)]
        if len(found) != 1:
            raise ValueError(f"results must hold one row of {name}, {metric}, got {len(found)}")
        return found.iloc[0].to_dict()


@dataclass(frozen=True)
class KeptClaim(ABC):
    """A claim, and what of the results it is judged by."""

    claim: str

    @abstractmethod
    def row(self, results: Kept) -> dict[str, object]:
        """As `evaluation.claims.claim_row`; raises ValueError where a row that it is judged by isn't there."""


@final
@dataclass(frozen=True)
class KeptDifference(KeptClaim):
    """The results hold the paired difference itself: `sign` times it is positive if the claim holds."""

    name: str
    metric: str
    sign: int = 1
    measure: str = ""
    """What the difference is of, where the metric's name doesn't say it."""

    def row(self, results: Kept) -> dict[str, object]:
        kept = results(self.name, self.metric)
        estimate = self.sign * float(kept["ours"])
        if results.has(self.name, f"{self.metric}, low"):
            low, high = (float(results(self.name, f"{self.metric}, {end}")["ours"]) for end in ("low", "high"))
            freedom, units = NUM_QUERIES - 1, f"{NUM_QUERIES} queries"
            error = (high - low) / 2 / float(stats.t.ppf(0.975, freedom))
        else:
            freedom, units = int(kept["num_seeds"]) - 1, _training_seeds(int(kept["num_seeds"]))
            error = float(kept["ours_sd"]) / np.sqrt(freedom + 1)
        return _row(self.claim, (kept,), self.measure or self.metric, estimate, error, freedom, units)


@final
@dataclass(frozen=True)
class KeptMeans(KeptClaim):
    """The results hold both models' means and deviations between training seeds, compared by Welch's test."""

    better: str
    worse: str
    metric: str

    def row(self, results: Kept) -> dict[str, object]:
        kept = results(self.better, self.metric), results(self.worse, self.metric)
        num = np.array([int(row["num_seeds"]) for row in kept])
        spread = np.array([float(row["ours_sd"]) for row in kept]) ** 2 / num
        freedom = float(spread.sum() ** 2 / (spread**2 / (num - 1)).sum())
        estimate = float(kept[0]["ours"] - kept[1]["ours"])
        measure = f"{self.metric}: {self.better} minus {self.worse}"
        error = float(np.sqrt(spread.sum()))
        return _row(self.claim, kept, measure, estimate, error, freedom, _training_seeds(*num))


def _training_seeds(*counts: int) -> str:
    return f"{' and '.join(str(count) for count in dict.fromkeys(counts))} training seeds on one test set"


def _row(
    claim: str,
    kept: tuple[dict[str, Any], ...],
    measure: str,
    estimate: float,
    error: float,
    freedom: float,
    units: str,
) -> dict[str, object]:
    margin = float(stats.t.ppf(0.975, freedom)) * error
    interval = Interval(estimate, estimate - margin, estimate + margin)
    commands = dict.fromkeys(str(row["command"]).removeprefix(f"python -m {_COMMAND}") for row in kept)
    return {
        "claim": claim,
        "where": f"{kept[0]['dataset']}, kept result of {_COMMAND}{' '.join(commands)}",
        "measure": measure,
        "difference": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "p_value": float(2 * stats.t.sf(abs(estimate) / error, freedom)),
        "units": units,
        "verdict": verdict_of(interval),
    }


_LESS_MLP, _NDCG = "HR@10 less the MLP's", "NDCG@10 difference"
_RECALL = "Recall@20 less that of two-tower-"
_TOWERS = {kind: f"two-tower-{kind}-ml-1m" for kind in ("uniform", "popularity", "mixed", "mixed-logq")}
KEPT_CLAIMS: tuple[KeptClaim, ...] = (
    KeptDifference("a dot product beats layers on the same ids, d 16", "mf-16-ncf", _LESS_MLP),
    KeptDifference("a dot product beats layers on the same ids, d 128", "mf-128-ncf", _LESS_MLP),
    KeptDifference("mixed negatives beat in-batch ones", "two-tower-mixed-ml-1m", f"{_RECALL}in-batch-ml-1m"),
    KeptDifference("logQ corrects mixed negatives", "two-tower-mixed-logq-ml-1m", f"{_RECALL}mixed-ml-1m"),
    KeptMeans("popularity-based negatives beat uniform ones", _TOWERS["popularity"], _TOWERS["uniform"], "Recall@20"),
    KeptMeans("mixed negatives beat uniform ones", _TOWERS["mixed"], _TOWERS["uniform"], "Recall@20"),
    KeptMeans("mixed negatives with logQ beat uniform ones", _TOWERS["mixed-logq"], _TOWERS["uniform"], "Recall@20"),
    KeptMeans("feature crosses let DLRM pass two towers", "dlrm-frappe", "two-tower-frappe", "AUC"),
    KeptMeans("feature crosses let DCNv2 pass two towers", "dcn-frappe", "two-tower-frappe", "AUC"),
    KeptMeans("feature crosses let DLRM pass the plain MLP", "dlrm-frappe", "mlp-frappe", "AUC"),
    KeptMeans("feature crosses let DCNv2 pass the plain MLP", "dcn-frappe", "mlp-frappe", "AUC"),
    KeptDifference("pairwise beats pointwise: RankNet against BCE", "pairwise-against-pointwise-mq2008", _NDCG),
    KeptDifference("pairwise beats pointwise: RankNet against MSE", "pairwise-against-mse-mq2008", _NDCG),
    KeptDifference("listwise beats pointwise: softmax against BCE", "listwise-against-pointwise-mq2008", _NDCG),
    KeptDifference("listwise beats pointwise: softmax against MSE", "listwise-against-mse-mq2008", _NDCG),
    KeptDifference("LambdaRank raises NDCG above RankNet's", "lambdarank-against-ranknet-mq2008", _NDCG),
    KeptDifference(
        "inverse propensities lower the error", "mf-ips-coat", "MSE less naive MSE", -1, "naive MSE less MSE with them"
    ),
)


def kept_claims(path: Path = RESULTS, claims: tuple[KeptClaim, ...] = KEPT_CLAIMS) -> pd.DataFrame:
    """A row for each claim; none where there are no results at all. Raises ValueError for a claim without its rows."""
    if not path.exists():
        return pd.DataFrame()
    results = Kept(pd.read_csv(path))
    return pd.DataFrame([claim.row(results) for claim in claims])
