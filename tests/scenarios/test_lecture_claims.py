"""The lecture's claims from the command line, on a world and a sample that are too small to prove anything."""

import sys

import numpy as np
import pandas as pd

from recsim_lab.datasets import Ratings, load_sample
from recsim_lab.evaluation.claims import Comparison
from scenarios import lecture_claims
from scenarios.lecture_claims import Config, comparisons, plans
from scenarios.real_claims import NEGATIVES, real_claims

OPTIONS = (
    "--seeds 1 --num-users 60 --num-users-of-sequences 80 --log-days 10 --online-days 1 --num-workers 1 --name small"
)


def few_ratings() -> Ratings:
    ratings = load_sample().with_min_ratings(per_item=60, per_user=20)
    return ratings.subset(ratings.user < 12)


def at_the_size_of(config: Config, some: list[Comparison]) -> tuple[Comparison, ...]:
    claims = {c.claim for c in some}
    return tuple(c for c in comparisons(config) if c.claim in claims)


def test_every_agent_that_is_compared_is_run():
    for world, plan in plans(Config()).items():
        for comparison in comparisons(Config()):
            if world in (comparison.world, comparison.without):
                assert {comparison.better, comparison.worse} <= set(plan.agents)
    assert len({comparison.claim for comparison in comparisons(Config())}) == len(comparisons(Config()))


def test_tables_and_report_are_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lecture_claims", *OPTIONS.split()])
    monkeypatch.setattr(lecture_claims, "load_sample", few_ratings)
    few = [c for c in comparisons(Config()) if "taste" in c.claim or "calibration" in c.claim]
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
    assert "report.html" in capsys.readouterr().out


def test_real_claims_compare_the_same_users():
    ratings = few_ratings()
    claims, negatives = real_claims(ratings, 1, lambda what, done, total: None)
    num_users = len(np.unique(ratings.user))
    assert set(claims["units"]) == {f"{num_users} users"}
    assert list(negatives["agent"]) == list(NEGATIVES) and (negatives["seconds"] > 0).all()
    assert ((negatives["hr@10"] >= negatives["ndcg@10"]) & (negatives["hr@10"] <= 1)).all()
