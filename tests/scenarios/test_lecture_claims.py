"""The lecture's claims from the command line, on a world and a sample that are too small to prove anything."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from recsim_lab.datasets import Ratings, load_sample
from recsim_lab.evaluation.claims import Comparison
from recsim_lab.evaluation.statistics import holm
from scenarios import lecture_claims
from scenarios.lecture_claims import DATA, Config, comparisons, plans
from scenarios.real_claims import FEWEST, NEGATIVES, NO_MODEL, WHERE, real_claims

KEPT = Path(__file__).parents[2] / "benchmarks" / "results" / "lecture_claims.csv"
OPTIONS = (
    "--seeds 1 --num-users 60 --num-users-of-sequences 80 --log-days 10 --online-days 1 --num-workers 1 --name small"
)


def few_ratings() -> Ratings:
    ratings = load_sample().with_min_ratings(per_item=60, per_user=20)
    return ratings.subset(ratings.user < 12)


def at_the_size_of(config: Config, some: list[Comparison]) -> tuple[Comparison, ...]:
    claims = {c.claim for c in some}
    return tuple(c for c in comparisons(config) if c.claim in claims)


LECTURE = {
    # What the lecture says, the families that it says it of, and the number that judges it.
    "a dot product beats layers on the same ids": ("mf", "mlp", "clicks_per_slate"),
    "popularity-based negatives beat uniform ones": ("mf", "mf", "clicks_per_slate"),
    "hard negatives beat uniform ones": ("mf", "mf", "clicks_per_slate"),
    "hard negatives beat popularity-based ones": ("mf", "mf", "clicks_per_slate"),
    "pairwise beats pointwise: RankNet against BCE": ("mf", "mf", "clicks_per_slate"),
    "RankNet raises ROC-AUC: mean within a slate": ("mf", "mf", "auc"),
    "RankNet raises ROC-AUC: all impressions pooled": ("mf", "mf", "auc_pooled"),
    "LambdaRank raises NDCG": ("mf", "mf", "ndcg@10"),
    "pairwise scores lose their calibration": ("mf", "mf", "calibration_error"),
    "feature crosses let DLRM pass two towers": ("dlrm", "two-tower", "clicks_per_slate"),
    "feature crosses let DCNv2 pass two towers": ("dcn", "two-tower", "clicks_per_slate"),
    "crosses let DLRM pass two towers of the same history": ("dlrm", "two-tower", "clicks_per_slate"),
    "crosses let DCNv2 pass two towers of the same history": ("dcn", "two-tower", "clicks_per_slate"),
    "DLRM passes factors": ("dlrm", "mf", "clicks_per_slate"),
    "DCNv2 passes factors": ("dcn", "mf", "clicks_per_slate"),
    "factors pass popularity": ("mf", "popularity", "clicks_per_slate"),
    "features help the cold": ("two-tower", "mf", "clicks_per_slate"),
    "order helps SASRec": ("sasrec", "mf", "clicks_per_slate"),
    "order helps SASRec against a pooled history": ("sasrec", "two-tower", "clicks_per_slate"),
}
GROUNDS = {
    "DLRM's ground is features": ("dlrm", "mf", "features=0"),
    "DCNv2's ground is features": ("dcn", "mf", "features=0"),
    "two towers' ground is the cold's features": ("two-tower", "mf", "features=0"),
    "SASRec's ground is order, in intent and series": ("sasrec", "mf", "intent=0,series=0"),
    "factors' ground is taste": ("mf", "popularity", "latent=0"),
}
ON_REAL_RATINGS = (
    "factors pass popularity",
    "a dot product beats layers on the same ids",
    "popularity negatives beat uniform ones",
    "in-batch negatives beat uniform ones",
    "in-batch, logQ negatives beat uniform ones",
    "hard negatives beat uniform ones",
    "learning on adds what is new",
    "learning on loses less than a twentieth against training anew",
)


def test_what_the_lecture_says_is_asked_of_the_agents_it_says_it_of():
    asked = comparisons(Config())
    families = {c.claim: (c.better.partition(":")[0], c.worse.partition(":")[0]) for c in asked}
    assert len(families) == len(asked) and families.keys() == LECTURE.keys() | GROUNDS.keys()
    for c in asked:
        if c.without is None:
            assert (*families[c.claim], c.metric.rpartition("/")[2]) == LECTURE[c.claim]
        else:
            assert (*families[c.claim], c.without.removeprefix(f"{c.world},")) == GROUNDS[c.claim]
    run = {(world, agent) for world, plan in plans(Config()).items() for agent in plan.agents}
    assert run == {(w, a) for c in asked for w in {c.world, c.without or c.world} for a in (c.better, c.worse)}


def test_kept_claims_are_all_that_are_asked_and_what_does_not_stand_corrected_is_named():
    kept = pd.read_csv(KEPT)
    asked = [c.claim for c in comparisons(Config())]
    assert kept["claim"].tolist()[: len(asked)] == asked and set(kept["where"][len(asked) :]) == {WHERE}
    for claim in ON_REAL_RATINGS:
        assert kept["claim"][len(asked) :].str.startswith(claim).sum() == 1
    corrected = pd.Series(holm(kept["p_value"].to_numpy(float)), kept["claim"])[
        (kept["verdict"] != "not confirmed").array
    ]
    # docs/lecture.md names them, with these numbers.
    assert corrected[corrected >= 0.05].round(3).to_dict() == {
        "feature crosses let DCNv2 pass two towers": 0.056,
        "crosses let DLRM pass two towers of the same history": 0.051,
        "DCNv2 passes factors": 0.098,
        "DLRM's ground is features": 0.098,
        "DCNv2's ground is features": 0.188,
        "two towers' ground is the cold's features": 0.061,
        "in-batch, logQ negatives beat uniform ones": 0.053,
    }


def test_tables_and_report_are_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lecture_claims", *OPTIONS.split()])
    monkeypatch.setattr(lecture_claims, "load_sample", few_ratings)
    few = [c for c in comparisons(Config()) if any(word in c.claim for word in ("taste", "calibration", "pooled"))]
    monkeypatch.setattr(lecture_claims, "comparisons", lambda config: at_the_size_of(config, few))
    lecture_claims.main()
    results = tmp_path / "runs" / "lecture_claims" / "small"
    claims = pd.read_csv(results / "claims.csv")
    assert {c.claim for c in few} <= set(claims["claim"])
    assert set(claims["verdict"]) <= {"confirmed", "not confirmed", "contradicted"}
    of_the_world = claims[claims["units"] == "1 seeds"]
    # One seed has no interval, whatever the difference.
    assert len(of_the_world) == len(few) and set(of_the_world["verdict"]) == {"not confirmed"}
    assert np.isfinite(claims["difference"]).all()
    page = (results / "report.html").read_text()
    assert page.count("<svg") == 1 and "taste" in page
    assert all(f"confirmed on {data}" in page for data in DATA) and "How each was measured" in page
    assert "report.html" in capsys.readouterr().out


def test_real_claims_compare_the_same_users(tmp_path):
    ratings, told = few_ratings(), []

    def claimed():
        return real_claims(ratings, 1, tmp_path, 1, lambda what, done, total: told.append((done, total)))

    claims, negatives = claimed()
    assert told == [(done, 8) for done in range(1, 9)]
    next(tmp_path.rglob("*in-two/seed=0.json")).unlink()
    again, _ = claimed()
    assert told[8:] == [(8, 8)]  # the rest was kept
    pd.testing.assert_frame_equal(again.drop(columns="measure"), claims.drop(columns="measure"))  # which tells seconds
    num_users = ratings.with_min_ratings(FEWEST, FEWEST).num_users
    assert set(claims["units"]) == {f"{num_users} users"}
    for claim in ON_REAL_RATINGS:
        assert claims["claim"].str.startswith(claim).sum() == 1
    assert list(negatives["negatives"]) == [*NEGATIVES, NO_MODEL] and (negatives["seconds"] > 0).all()
    assert ((negatives["hr@10"] >= negatives["ndcg@10"]) & (negatives["hr@10"] <= 1)).all()
