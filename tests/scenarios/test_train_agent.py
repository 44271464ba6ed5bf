"""The scenarios of agents that learn by acting run from the command line to their report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from recsim_lab.reporting.learning import short_names
from scenarios import compare_learning, train_agent

ROOT = Path(__file__).parents[2]
AGENT = "reinforce:newest=4,dim=4,ids=false,horizon=5"


def _run(scenario: str, folder: Path, *options: str) -> Path:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"scenarios.{scenario}", "--name", "tiny", "--num-workers", "1", *options]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return folder / "runs" / scenario / "tiny"


SIZE = ("--world", "lts-dilemma:num_users=40,num_items=20", "--num-seats", "4", "--seeds", "2")


def test_an_agent_is_trained_judged_and_kept(tmp_path: Path) -> None:
    others = ("--others", AGENT + ",discount=0")
    run = _run("train_agent", tmp_path, *SIZE, "--agent", AGENT, *others, "--num-steps", "10")
    gains = pd.read_csv(run / "gains.csv")
    assert gains["policy"].tolist() == ["random", AGENT, AGENT + ",discount=0"]
    assert len(pd.read_csv(run / "lives.csv")) == 6 and len(pd.read_csv(run / "curves.csv")) == 8
    assert len(list(run.glob("units/*/*/10/policy.safetensors"))) == 4
    assert json.loads((run / "config.json").read_text())["config"]["agent"] == AGENT
    report = (run / "report.html").read_text()
    assert "How it learned" in report and "per life than" in report


def test_names_are_short_and_tell_learners_apart() -> None:
    plan = train_agent.Config(agent="a:x=1,y=2", others=("a:x=1,y=3", "b:x=1")).plan()
    assert short_names(plan) == {"a:x=1,y=2": "a:y=2", "a:x=1,y=3": "a:y=3", "b:x=1": "b", "random": "random"}
    ways = compare_learning.Config(agent="a:x=1").plan()
    assert list(short_names(ways).values()) == ["random", "a", "a, 50% from the log", "a from the log"]


def test_ways_to_learn_are_compared_at_each_number_of_slates(tmp_path: Path) -> None:
    run = _run("compare_learning", tmp_path, *SIZE, "--agent", AGENT, "--num-steps", "5", "10")
    gains = pd.read_csv(run / "gains.csv")
    assert gains.groupby("num_steps").size().to_dict() == {5: 4, 10: 4}
    assert "What lives earn, by what was learned from" in (run / "report.html").read_text()


@pytest.mark.parametrize("scenario", [train_agent, compare_learning])
def test_profiles_are_plans(scenario) -> None:  # type: ignore[no-untyped-def]
    for name, profile in scenario.PROFILES.items():
        assert profile.name == name
        assert profile.plan().seeds == tuple(range(profile.seeds))
