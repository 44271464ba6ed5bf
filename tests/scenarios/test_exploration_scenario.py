"""The scenario from the command line, on a world too small to prove anything."""

import sys

import numpy as np
import pandas as pd
import pytest

from recsim_lab.evaluation import dividend
from recsim_lab.reporting.exploration import DIVIDENDS, MEANS, compared_arms, compared_dividends
from scenarios import exploration
from scenarios.exploration import Config

OPTIONS = (
    "--name small --worlds everyday:num_users=20,num_items=60,num_slots=5 --model ease:regularization=20 "
    "--epsilons 0.3 --others epsilon=0.3,rarity_power=1 --seeds 1 --log-days 2 --loop-days 2 --measure-days 1 "
    "--retrain-every 1 --probe-share 0.5 --num-workers 1"
)


def _unused(*_, **__):
    raise AssertionError("all arms have been run")


def test_tables_and_report_are_there_and_a_second_run_only_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["exploration", *OPTIONS.split()])
    exploration.main()
    results = tmp_path / "runs" / "exploration" / "small"
    arms = pd.read_csv(results / "arms.csv")
    greedy = "ease:regularization=20"
    names = [greedy, f"{greedy},epsilon=0.3", f"{greedy},epsilon=0.3,rarity_power=1", "random"]
    assert list(dict.fromkeys(arms["agent"])) == names and len(arms) == 4
    dividends = pd.read_csv(results / "dividends.csv")
    np.testing.assert_allclose(
        dividends["learning_dividend"], dividends["own_model"] - dividends["greedy_model"], atol=1e-12
    )
    assert list(dividends["learning_dividend"].notna()) == [True, False]
    assert len(pd.read_csv(results / "daily.csv")) == 4 * 2
    page = (results / "report.html").read_text()
    assert page.count("<svg") == 2 and "boredom" in page and dividend.NO_FIT.replace("'", "&#39;") in page
    assert "nan" not in page.replace("nance", "")
    assert (results / "figures" / "dividends-0.svg").exists()

    monkeypatch.setattr(dividend, "run_arm", _unused)
    exploration.main()
    assert pd.read_csv(results / "arms.csv").equals(arms)
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    "option, words",
    [
        ("--model mff", "got 'mff'"),
        ("--epsilons 2", "epsilon must be in (0, 1] or None, got 2"),
        ("--others temperature=1", "parameter must be one that mf has"),
        ("--retrain-every 0", "retrain_every must be in [1, loop_days], got 0"),
        ("--worlds nowhere", "unknown preset 'nowhere'"),
    ],
)
def test_bad_options_are_one_line(option, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["exploration", *option.split()])
    with pytest.raises(SystemExit):
        exploration.main()
    assert words in " ".join(capsys.readouterr().out.split()) and not (tmp_path / "runs").exists()


def test_parameters_are_added_as_the_registry_reads_them():
    explorers = Config(model="mf:dim=8", epsilons=(0.05,), others=("boltzmann=1",)).plan().explorers
    assert [(e.agent, e.epsilon) for e in explorers] == [
        ("mf:dim=8,epsilon=0.05", 0.05),
        ("mf:dim=8,boltzmann=1", None),
    ]


def test_arms_and_dividends_are_compared_in_pairs():
    luck = np.random.default_rng(0).normal(size=6)
    arms = pd.concat(
        [
            pd.DataFrame({"agent": agent, "seed": range(6)} | {name: level + luck for name in MEANS})
            for agent, level in (("b", 1.0), ("a", 1.5))
        ]
    )
    row = compared_arms(arms, "b").set_index("agent").loc["a"]
    assert row["regret"] == pytest.approx(1.5 + luck.mean())
    assert row[["difference", "low", "high"]].tolist() == pytest.approx([0.5] * 3)  # luck is common, and cancels
    with pytest.raises(ValueError, match=r"greedy must be one of \['a', 'b'\], got 'c'"):
        compared_arms(arms, "c")
    told = pd.DataFrame({"agent": "a", "remark": ""} | dict.fromkeys(DIVIDENDS, np.nan) | {"crossed": [0.1, 0.3]})
    row = compared_dividends(told).iloc[0]
    # Student's t with one degree of freedom: 12.706 standard errors.
    assert row["crossed_high"] == pytest.approx(0.2 + 12.706 * 0.1, abs=1e-3)
    assert np.isnan(row["published"]) and np.isnan(row["published_low"])
