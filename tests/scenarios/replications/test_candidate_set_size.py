"""Candidate-set size: the toy to three decimals, its expectation by drawing, and the scenario from the command line."""

import sys

import numpy as np
import pandas as pd
import pytest

from scenarios.replications import candidate_set_size
from scenarios.replications.candidate_set_size import (
    FULL,
    METRICS,
    agent_metrics,
    agreement,
    agreement_by_candidates,
    show_agreement,
)
from scenarios.replications.discovery import discover
from scenarios.replications.ranking_toy import (
    TOY_PUBLISHED,
    TOY_RANKS,
    measures_at,
    sampled_toy,
    toy,
    toy_findings,
)

WORLD = "static:num_users=60,num_items=40,new_items_a_day=0,features=0,position=0"


@pytest.mark.parametrize("name", TOY_RANKS)
def test_toy_to_three_decimals(name):
    for kind, measure in (("all", toy), ("sampled", sampled_toy)):
        printed = np.array(TOY_PUBLISHED[name, kind])
        known = ~np.isnan(printed)
        np.testing.assert_array_equal(np.round(measure(TOY_RANKS[name]), 3)[known], printed[known])


def test_every_row_of_the_toy_holds_and_none_would_off_by_a_digit():
    findings = toy_findings()
    assert len(findings) == 3 * 4 + 3 * 3 + 2 and {finding.verdict for finding in findings} == {"holds"}
    assert (np.abs(sampled_toy((101,) * 5) - sampled_toy((100,) * 5)) > 0.001)[:3].any()


def test_sampled_measures_are_those_of_draws():
    rng, ranks = np.random.default_rng(1), np.array(TOY_RANKS["C"])
    higher = rng.integers(1, 10_000, size=(20_000, 5, 99)) < ranks[:, None]
    drawn = measures_at(1.0 + higher.sum(axis=2), 100).mean(axis=1)
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - sampled_toy(ranks)) < 4.5 * error).all()


def test_all_items_as_candidates_are_the_full_ranking():
    """More sampled candidates than items is refused by nobody: 40 items have sizes below 40, and the full one."""
    found = discover(WORLD, 3, 1.5, 2, 0.2)
    assert not (found.met & found.tested).any() and not (found.clicked & ~found.tested).any()
    assert ((found.chance > 0) & (found.chance < 1)).all()
    rows = agent_metrics(found, ("random", "popularity"), 3)
    sizes = [name.split("/")[1] for name in rows[0] if name.startswith("ndcg@10/")]
    assert sizes == ["0", "5", "10", "20", FULL, "true"]
    for row in rows:
        among = [row[f"ndcg@10/{size}"] for size in sizes[:-1]]
        assert among == sorted(among, reverse=True)  # more candidates make it no easier


def test_agreement_is_one_for_the_truth_and_minus_one_for_its_opposite():
    truth = np.arange(5.0)
    columns = {f"{metric}/true": truth for metric in METRICS} | {"ndcg@10/0": truth**2, "ndcg@10/full": -truth}
    taus = agreement(pd.DataFrame({"discovery": "alike", "seed": 0} | columns))
    assert taus.set_index("candidates")["tau"].to_dict() == {"0": pytest.approx(1), "full": pytest.approx(-1)}


def made_taus(values: dict[str, list[float]]) -> pd.DataFrame:
    """Of each way items are met: the same taus of all metrics among 0 and all, negative among all."""
    return pd.DataFrame(
        [
            {"discovery": discovery, "seed": seed, "metric": metric, "candidates": size, "tau": sign * tau}
            for discovery, taus in values.items()
            for seed, tau in enumerate(taus)
            for size, sign in (("0", 1), (FULL, -1))
            for metric in METRICS
        ]
    )


def test_agreement_by_candidates_is_a_mean_over_worlds_with_its_interval():
    """0, 0 and .6: standard error .2, of which Student's 97.5% quantile with 2 degrees of freedom is 4.3027."""
    table = agreement_by_candidates(made_taus({"skewed": [0.0, 0.0, 0.6], "alike": [0.5]}))
    assert list(table) == ["discovery", "metric", "candidates", "mean", "low", "high"] and len(table) == 2 * 3 * 2
    rows = table.set_index(["discovery", "metric", "candidates"])
    for metric in METRICS:
        assert rows.loc[("skewed", metric, "0")].tolist() == pytest.approx([0.2, -0.66053, 1.06053], abs=1e-5)
        assert rows.loc[("skewed", metric, FULL)].tolist() == pytest.approx([-0.2, -1.06053, 0.66053], abs=1e-5)
        assert rows.loc[("alike", metric, "0"), "mean"] == 0.5
    assert rows.loc["alike"][["low", "high"]].isna().all(axis=None)


def test_agreement_is_printed_with_intervals_for_both_ways_items_are_met(capsys):
    show_agreement(agreement_by_candidates(made_taus({"skewed": [0.0, 0.0, 0.6], "alike": [0.4, 0.4]})), 3)
    words = capsys.readouterr().out.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")
    everywhere, alike = words.split("items met alike")
    assert everywhere.count("(-0.661 to 1.061)") == everywhere.count("(-1.061 to 0.661)") == len(METRICS)
    assert alike.count("(0.400 to 0.400)") == alike.count("(-0.400 to -0.400)") == len(METRICS)


def test_the_command_writes_what_it_found(tmp_path, monkeypatch, capsys):
    world = WORLD.replace("items=40", "items=120")
    options = f"--seeds 2 --days 1 --world {world} --agents popularity item-knn random"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["candidate_set_size", *options.split()])
    candidate_set_size.main()
    folder = tmp_path / "runs" / "replications.candidate_set_size" / "demo"
    findings = pd.read_csv(folder / "findings.csv")
    assert findings["gate"].sum() == 23 and (findings[findings["gate"]]["verdict"] == "holds").all()
    full = findings[findings["quantity"].str.endswith("tau among full")]
    assert len(full) == 3 and full["measured"].notna().all()
    taus = pd.read_csv(folder / "agreement.csv")
    assert (
        set(taus["candidates"]) == {"0", "5", "10", "20", "50", "100", "full"} and taus["tau"].abs().max() <= 1 + 1e-9
    )
    told = pd.read_csv(folder / "agreement_by_candidates.csv").set_index(["discovery", "metric", "candidates"])
    # In so small a world all agents may be alike among the held-out items, and then there is no tau.
    means = taus.groupby(["discovery", "metric", "candidates"])["tau"].agg(lambda own: own.mean(skipna=False))
    np.testing.assert_allclose(told["mean"], means[told.index])
    known = told.dropna()
    assert len(told) == 2 * 3 * 7 and len(known) > 2 * 3 * 5
    assert (known["low"] <= known["mean"]).all() and (known["mean"] <= known["high"]).all()
    assert "verdict" in capsys.readouterr().out
