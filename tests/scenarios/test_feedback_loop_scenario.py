"""The scenario from the command line, on a world too small to prove anything."""

import sys

import pandas as pd
import pytest

from recsim_lab.evaluation.feedback import study
from recsim_lab.evaluation.feedback.plan import ALL_DATA
from scenarios import feedback_loop

OPTIONS = (
    "--name small --world everyday:num_users=20,num_items=60,num_slots=10 --model ease:regularization=20 "
    "--remedies calibrated --seeds 1 --control-seeds 1 --log-days 3 --loop-days 2 --window-days 3 "
    "--measure-every 1 --recent-days 2 --price-days 1 --equal-clicks 1 --probe-share 0.5 --num-workers 1 "
    "--tested calibrated --test-days 2 --all-data"
)


def _unused(*_, **__):
    raise AssertionError("all arms have been run")


@pytest.mark.slow
def test_tables_and_report_are_there_and_a_second_run_only_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["feedback_loop", *OPTIONS.split()])
    feedback_loop.main()
    results = tmp_path / "runs" / "feedback_loop" / "small"
    remedies = pd.read_csv(results / "remedies.csv")
    assert list(remedies["arm"][:2]) == ["calibrated", "random"] and len(remedies) == 10
    days = pd.read_csv(results / "days.csv")
    assert set(days.loc[days["level"] == "exposure", "day"]) == {1, 2} and days["low"].isna().all()
    assert (results / "figures" / "what-remedies-cost-and-buy-1.svg").exists()
    page = (results / "report.html").read_text()
    assert "A/B tests of a remedy against none, of 2 days from the loop" in page and "learns from all data" in page
    controls = pd.read_csv(results / "controls.csv")
    assert controls["control"].notna().all() and controls["metric"].iloc[-1] == "stability"
    assert "one seed gives no intervals" in page and "nan" not in page.replace("nance", "")
    capsys.readouterr()

    monkeypatch.setattr(study, "run_arm", _unused)
    monkeypatch.setattr(feedback_loop, "write_feedback_loop_report", lambda folder, *_: folder / "report.html")
    feedback_loop.main()
    assert pd.read_csv(results / "remedies.csv").equals(remedies)
    assert "report.html" in capsys.readouterr().out


def test_every_dial_of_the_full_profile_has_its_four_settings():
    """Also where a named remedy is one of them: two random last slots are run once, under that name."""
    plan = feedback_loop.PROFILES["full"].plan()
    for dial, (_, settings) in feedback_loop.DIALS.items():
        assert len(settings) >= 4
        assert sorted(arm.turned_to for arm in plan.arms if arm.dial == dial) == sorted(settings), dial
    policies = [arm.policy for arm in plan.arms if arm.role == "remedy"]
    assert len(set(policies)) == len(policies)
    assert (plan.by_name["random last slots"].dial, plan.by_name["random last slots"].setting) == (
        "random last slots",
        2.0,
    )
    assert plan.by_name["epsilon .05"].setting == 0.05 and not plan.by_name["inverse propensity"].dial


def test_the_full_profile_alone_has_a_twin_that_never_forgets():
    plans = {name: config.plan() for name, config in feedback_loop.PROFILES.items()}
    forgetful = {name: [arm.name for arm in plan.arms if not arm.forgets] for name, plan in plans.items()}
    assert forgetful == {"demo": [], "standard": [], "full": [ALL_DATA]}
    twin = plans["full"].by_name[ALL_DATA]
    assert (twin.policy, twin.role, twin.learns) == (plans["full"].baseline.policy, "control", True)


def test_tests_learn_from_the_loops_window():
    config = feedback_loop.PROFILES["standard"]
    trials, plan = config.trials(), config.plan()
    for name in ("window_days", "retrain_every", "log_days", "history"):
        assert getattr(trials, name) == getattr(plan, name), name
    assert trials.days == config.test_days < plan.loop_days


@pytest.mark.parametrize(
    "option, words",
    [
        ("--model mff", "got 'mff'"),
        ("--remedies none", "remedies must be among epsilon .05"),
        ("--dials loudness", "dials must be among epsilon"),
        ("--measure-every 99", "measure_every must be in [1, loop_days], got 99 of 24"),
        ("--world nowhere", "unknown preset 'nowhere'"),
    ],
)
def test_bad_options_are_one_line(option, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["feedback_loop", *option.split()])
    with pytest.raises(SystemExit):
        feedback_loop.main()
    assert words in " ".join(capsys.readouterr().out.split()) and not (tmp_path / "runs").exists()
