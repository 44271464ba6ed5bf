"""Kept results of benchmarks become claims with the intervals that their rows allow."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scenarios.kept_claims import KEPT_CLAIMS, KeptDifference, KeptMeans, kept_claims

OVER_SEEDS = KeptDifference("less", "mf-ips-coat", "MSE less naive MSE", sign=-1)
OVER_QUERIES = KeptDifference("more", "softmax-against-mse", "NDCG@10 difference")
MEANS = KeptMeans("better", "dcn", "dssm", "AUC")


def table_of(path, *rows: dict[str, object]):
    common = {"dataset": "D", "command": "python -m benchmarks.real_data --only it"}
    pd.DataFrame([common | {"ours_sd": np.nan} | row for row in rows]).to_csv(path)
    return path


def test_a_difference_over_seeds_and_one_over_queries(tmp_path):
    against = {"name": "softmax-against-mse", "num_seeds": 5}
    path = table_of(
        tmp_path / "results.csv",
        {"name": "mf-ips-coat", "metric": "MSE less naive MSE", "ours": -0.1, "ours_sd": 0.006, "num_seeds": 9},
        against | {"metric": "NDCG@10 difference", "ours": 0.01},
        against | {"metric": "NDCG@10 difference, low", "ours": -0.01},
        against | {"metric": "NDCG@10 difference, high", "ours": 0.03},
    )
    queries, seeds = kept_claims(path, (OVER_QUERIES, OVER_SEEDS)).to_dict("records")
    assert (queries["verdict"], queries["units"]) == ("not confirmed", "784 queries")
    assert (queries["low"], queries["high"]) == pytest.approx((-0.01, 0.03))
    # The interval's half width is 1.963 standard errors, the estimate .98.
    assert queries["p_value"] == pytest.approx(2 * stats.t.sf(0.5 * stats.t.ppf(0.975, 783), 783))
    assert (seeds["verdict"], seeds["units"]) == ("confirmed", "9 training seeds on one test set")
    assert seeds["difference"] == pytest.approx(0.1)
    # 2.306 is Student's 97.5% quantile at 8 degrees of freedom.
    assert seeds["low"] == pytest.approx(0.1 - 2.306 * 0.002, abs=1e-5)


def test_two_means_are_compared_by_welch(tmp_path):
    dcn, dssm = np.array([0.981, 0.984, 0.983]), np.array([0.980, 0.9815, 0.9805, 0.9801])
    rows = [
        {"name": name, "metric": "AUC", "ours": values.mean(), "ours_sd": values.std(ddof=1), "num_seeds": len(values)}
        for name, values in (("dcn", dcn), ("dssm", dssm))
    ]
    rows[1]["command"] = "python -m benchmarks.real_data --only other"
    (found,) = kept_claims(table_of(tmp_path / "results.csv", *rows), (MEANS,)).to_dict("records")
    expected = stats.ttest_ind(dcn, dssm, equal_var=False)
    assert found["p_value"] == pytest.approx(expected.pvalue)
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected.confidence_interval()))
    assert found["units"] == "3 and 4 training seeds on one test set"
    assert found["where"] == "D, kept result of benchmarks.real_data --only it other"


@pytest.mark.parametrize("claim", [OVER_SEEDS, OVER_QUERIES, MEANS])
def test_a_claim_whose_rows_have_gone_is_an_error(tmp_path, claim):
    path = table_of(tmp_path / "results.csv", {"name": "renamed", "metric": "AUC", "ours": 1.0, "num_seeds": 2})
    with pytest.raises(ValueError, match=r"results must hold one row of .*, got 0"):
        kept_claims(path, (claim,))


def test_without_results_there_are_no_claims(tmp_path):
    assert kept_claims(tmp_path / "none.csv").empty


def test_every_claim_is_judged_by_the_committed_results():
    found = kept_claims()
    assert list(found["claim"]) == [claim.claim for claim in KEPT_CLAIMS] and found["claim"].is_unique
    assert np.isfinite(found["difference"]).all()
    assert set(found["units"].str.replace(r"^\d+ ", "", regex=True)) == {
        "training seeds on one test set",
        "queries",
    }


def test_what_real_data_do_not_confirm_is_told():
    verdict = kept_claims().set_index("claim")["verdict"]
    assert verdict["feature crosses let DCNv2 pass two towers"] == "not confirmed"
    assert verdict["feature crosses let DCNv2 pass the plain MLP"] == "not confirmed"
    assert verdict["popularity-based negatives beat uniform ones"] == "contradicted"
    assert verdict["pairwise beats pointwise: RankNet against MSE"] == "not confirmed"
