"""The scenario from the command line, on a world too small to prove anything."""

import sys

import numpy as np
import pandas as pd
import pytest

from recsim_lab.evaluation.experiments import trials
from recsim_lab.reporting.experiments import compared_effects, compared_needs, decided_days
from scenarios import experiments

OPTIONS = (
    "--name small --worlds everyday:num_users=30,num_items=60,num_slots=5 --pairs popularity ease:regularization=20 "
    "--seeds 1 --log-days 2 --days 3 --retrain-every 1 --sizes 10 100 --num-draws 20 --num-workers 1"
)


def _unused(*_, **__):
    raise AssertionError("all trials have been run")


def test_tables_and_report_are_there_and_a_second_run_only_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["experiments", *OPTIONS.split()])
    experiments.main()
    results = tmp_path / "runs" / "experiments" / "small"
    effects = pd.read_csv(results / "effects.csv")
    assert len(effects) == 3 * 2 and effects["truth"].notna().all()
    rows = {"preferences": 4, "looks": 3, "power": 5 * 2, "users_needed": 5}
    for name, num in rows.items():
        assert len(pd.read_csv(results / f"{name}.csv")) == num, name
    page = (results / "report.html").read_text()
    assert page.count("<svg") == 3 and "Interference" in page
    assert "nan" not in page.replace("nance", "") and (results / "figures" / "power-0.svg").exists()

    monkeypatch.setattr(trials, "run_unit", _unused)
    experiments.main()
    assert pd.read_csv(results / "effects.csv").equals(effects)
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    "option, words",
    [
        ("--pairs mf mff", "got 'mff'"),
        ("--pairs mf mf", "pairs must be of two agents, got 'mf' against itself"),
        ("--sizes 100 50", "sizes must be at least 4 users each and ascend, got (100, 50)"),
        ("--num-draws 0", "num_draws must be at least 1, got 0"),
        ("--worlds nowhere", "unknown preset 'nowhere'"),
    ],
)
def test_bad_options_are_one_line(option, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["experiments", *option.split()])
    with pytest.raises(SystemExit):
        experiments.main()
    assert words in " ".join(capsys.readouterr().out.split()) and not (tmp_path / "runs").exists()


def test_means_over_seeds_and_their_intervals():
    effects = pd.DataFrame(
        {"learning": "pooled", "metric": "clicks_per_slate", "truth": [0.1, 0.2], "estimate": [0.3, 0.1]}
        | {"low": [0.2, 0.0], "high": [0.4, 0.2], "sampling": [0.1, -0.2], "interference": [0.1, 0.1]}
        | {"variance_ratio": [0.5, 0.7]}
    )
    row = compared_effects(effects).iloc[0]
    assert row[["truth", "interference", "low", "high", "covers"]].tolist() == pytest.approx([0.15, 0.1, 0.1, 0.1, 0.5])


def test_needs_are_geometric_means_beside_those_of_interleaving():
    needed = pd.DataFrame(
        {"protocol": ["a/b"] * 2 + ["interleaving"] * 2, "seed": [0, 1, 0, 1], "users": [100.0, 400.0, 10.0, 10.0]}
        | {"drawn": [200.0, 200.0, np.inf, 10.0], "right": [True, True, True, False]}
    )
    ab, interleaved = compared_needs(needed).to_dict("records")
    assert (ab["users"], ab["drawn"], ab["times"]) == pytest.approx((200, 200, 20))
    # Student's t with one degree of freedom: 12.706 standard errors of log 2.
    assert ab["high"] == pytest.approx(200 * 2**12.706, rel=1e-3)
    assert interleaved["drawn"] == np.inf and interleaved["right"] == 0.5 and interleaved["times"] == 1
    never = needed.assign(users=[100.0, np.inf, 10.0, 10.0])
    assert np.isnan(compared_needs(never).loc[0, "low"])


def test_a_decision_is_any_look_that_excludes_zero():
    looks = pd.DataFrame({"seed": [0, 0, 1, 1], "low": [-1, 0.1, -1, -1], "high": [1, 1, 1, 1]})
    assert decided_days(looks, ("low", "high")) == (1, 2)
