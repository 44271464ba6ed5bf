"""Kept results of benchmarks become claims with the intervals that their rows allow."""

import pandas as pd
import pytest
from scipy import stats

from scenarios.kept_claims import KEPT_CLAIMS, kept_claims


def table_of(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{"dataset": "D", "command": "python -m benchmarks.real_data --only it"} | row for row in rows])


def test_a_difference_over_seeds_and_one_over_queries(tmp_path):
    path = tmp_path / "results.csv"
    pairwise = {"name": "pairwise-against-pointwise-mq2008", "num_seeds": 5}
    table_of(
        {"name": "mf-ips-coat", "metric": "MSE less naive MSE", "ours": -0.1, "ours_sd": 0.006, "num_seeds": 9},
        pairwise | {"metric": "NDCG@10 difference", "ours": 0.01},
        pairwise | {"metric": "NDCG@10 difference, low", "ours": -0.01},
        pairwise | {"metric": "NDCG@10 difference, high", "ours": 0.03},
    ).to_csv(path)
    queries, seeds = kept_claims(path).to_dict("records")
    assert (queries["verdict"], queries["units"]) == ("not confirmed", "784 queries")
    assert (queries["low"], queries["high"]) == pytest.approx((-0.01, 0.03))
    # The interval's half width is 1.963 standard errors, the estimate .98.
    assert queries["p_value"] == pytest.approx(2 * stats.t.sf(0.5 * stats.t.ppf(0.975, 783), 783))
    assert (seeds["verdict"], seeds["units"], seeds["difference"]) == ("confirmed", "9 seeds", pytest.approx(0.1))
    # 2.306 is Student's 97.5% quantile at 8 degrees of freedom.
    assert seeds["low"] == pytest.approx(0.1 - 2.306 * 0.002, abs=1e-5)


def test_what_was_not_measured_is_left_out(tmp_path):
    assert kept_claims(tmp_path / "none.csv").empty


def test_claims_name_rows_of_their_own():
    named = [(claim.name, claim.metric) for claim in KEPT_CLAIMS]
    assert len(set(named)) == len(named)
