"""The scenario from the command line, on a world too small to prove anything, and its table of arms."""

import sys

import numpy as np
import pandas as pd
import pytest

from recsim_lab.reporting.figures.losses import stacked_losses
from recsim_lab.reporting.two_stage import MEASURES, compared_arms
from scenarios import two_stage

OPTIONS = (
    "--name small --world everyday:num_users=40,num_items=120 --seeds 1 --log-days 4 --online-days 1 "
    "--num-candidates 30 --depth 20 --retriever mf:epochs=1 --heavy mlp:target=impressions,epochs=1,dim=4"
)


def test_tables_and_report_are_there_and_a_second_run_only_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["two_stage", *OPTIONS.split()])
    two_stage.main()
    results = tmp_path / "runs" / "two_stage" / "small"
    arms = pd.read_csv(results / "arms.csv").set_index("arm")
    assert list(arms.index) == [*two_stage.arms_of(two_stage.Config(), 0), two_stage.ORACLE]
    np.testing.assert_allclose(arms["regret"], arms["retrieval"] + arms["ranking"], atol=1e-9)
    assert arms.loc[two_stage.ORACLE, "regret"] == pytest.approx(0, abs=1e-6)
    staged = arms.index.str.contains("then")
    assert (arms.loc[staged, "retrieval"] > 0).all() and (arms.loc[~staged, "retrieval"] == 0).all()
    recall = pd.read_csv(results / "recall.csv")
    several = recall[recall["arm"].str.startswith("several")].set_index("retriever")["recall"]
    assert len(several) == 5 and several["union"] == several.max()
    latency = pd.read_csv(results / "latency.csv")
    assert {"in all", "merge", "opinions", "rank"} <= set(latency["stage"]) and (latency["seconds"] > 0).all()
    page = (results / "report.html").read_text()
    assert page.count("<svg") == 2 and "by retrieval" in page and "nan" not in page.replace("nance", "")
    assert (results / "figures" / "losses.svg").exists()

    monkeypatch.setattr(two_stage, "_arm", None)
    two_stage.main()
    assert pd.read_csv(results / "arms.csv").set_index("arm").equals(arms)
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    "option, words",
    [
        ("--retriever ease", "retriever must score by dot products of vectors, got 'ease'"),
        ("--retriever dlrm", "policy must score by dot products of vectors, got 'dlrm'"),
        ("--heavy random", "heavy must be an agent with scores, got 'random'"),
        ("--world nowhere", "unknown preset 'nowhere'"),
    ],
)
def test_bad_options_are_one_line(option, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["two_stage", *option.split()])
    with pytest.raises(SystemExit):
        two_stage.main()
    assert words in " ".join(capsys.readouterr().out.split()) and not (tmp_path / "runs").exists()


def test_arms_are_compared_in_pairs():
    rng = np.random.default_rng(0)
    luck = rng.normal(size=6)
    arms = pd.concat(
        [
            pd.DataFrame({"arm": arm, "seed": range(6)} | {name: level + luck for name in MEASURES})
            for arm, level in (("b", 1.0), ("a", 1.5))
        ]
    )
    table = compared_arms(arms, "b").set_index("arm")
    assert list(table.index) == ["b", "a"]
    row = table.loc["a"]
    assert row["regret"] == pytest.approx(1.5 + luck.mean())
    assert row[["regret_difference", "regret_difference_low", "regret_difference_high"]].tolist() == pytest.approx(
        [0.5] * 3
    )
    assert row["regret_high"] - row["regret_low"] > 0.5  # luck is common to both, and cancels
    with pytest.raises(ValueError, match=r"baseline must be one of \['a', 'b'\], got 'c'"):
        compared_arms(arms, "c")


def test_losses_are_said_in_words_too():
    figure = stacked_losses(["x", "y"], np.array([0.1, 0.0]), np.array([0.25, 0.5]), ("early", "late"), "Lost")
    assert "x: 0.100 and 0.250; y: 0.000 and 0.500" in figure.alt and "early" in figure.panels[0]
