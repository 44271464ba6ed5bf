"""Claims that the benchmarks on real data have judged: their kept results as rows of the table of claims."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from recsim_lab.evaluation.claims import verdict_of
from recsim_lab.evaluation.statistics import Interval

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "real_data.csv"
NUM_QUERIES = 784
"""Of MQ2008, over which the intervals of its rows are."""


@dataclass(frozen=True)
class KeptClaim:
    """A claim, and the rows of the results that hold its difference: `sign` times it is positive if the claim holds."""

    claim: str
    name: str
    metric: str
    sign: int = 1

    def row(self, results: pd.DataFrame) -> dict[str, object] | None:
        """As `evaluation.claims.claim_row`; None where the benchmark has not been run."""
        rows = results[results["name"] == self.name].set_index("metric")
        if self.metric not in rows.index:
            return None
        kept = rows.loc[self.metric]
        if f"{self.metric}, low" in rows.index:
            num_units, unit = NUM_QUERIES, "queries"
            ends = [float(rows.loc[f"{self.metric}, {end}", "ours"]) for end in ("low", "high")]
            error = (ends[1] - ends[0]) / 2 / stats.t.ppf(0.975, num_units - 1)
        else:
            num_units, unit = int(kept["num_seeds"]), "seeds"
            error = float(kept["ours_sd"]) / np.sqrt(num_units)
        estimate = self.sign * float(kept["ours"])
        margin = stats.t.ppf(0.975, num_units - 1) * error
        interval = Interval(estimate, estimate - margin, estimate + margin)
        return {
            "claim": self.claim,
            "where": f"{kept['dataset']}, kept result of {kept['command'].removeprefix('python -m ')}",
            "measure": self.metric,
            "difference": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "p_value": float(2 * stats.t.sf(abs(estimate) / error, num_units - 1)),
            "units": f"{num_units} {unit}",
            "verdict": verdict_of(interval),
        }


_LESS_MLP = "HR@10 less the MLP's"
_RECALL = "Recall@20 less that of two-tower-"
KEPT_CLAIMS = (
    KeptClaim("a dot product beats layers on the same ids, d 16", "mf-16-ncf", _LESS_MLP),
    KeptClaim("a dot product beats layers on the same ids, d 128", "mf-128-ncf", _LESS_MLP),
    KeptClaim("mixed negatives beat in-batch ones", "two-tower-mixed-ml-1m", f"{_RECALL}in-batch-ml-1m"),
    KeptClaim("logQ corrects mixed negatives", "two-tower-mixed-logq-ml-1m", f"{_RECALL}mixed-ml-1m"),
    KeptClaim("pairwise beats pointwise", "pairwise-against-pointwise-mq2008", "NDCG@10 difference"),
    KeptClaim("listwise beats pointwise", "listwise-against-pointwise-mq2008", "NDCG@10 difference"),
    KeptClaim("LambdaRank raises NDCG above RankNet's", "lambdarank-against-ranknet-mq2008", "NDCG@10 difference"),
    KeptClaim("inverse propensities lower the error", "mf-ips-coat", "MSE less naive MSE", sign=-1),
)


def kept_claims(path: Path = RESULTS) -> pd.DataFrame:
    """A row for each claim whose benchmark has been run; none where there are no results."""
    results = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["name", "metric"])
    return pd.DataFrame([row for claim in KEPT_CLAIMS if (row := claim.row(results)) is not None])
