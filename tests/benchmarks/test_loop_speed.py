"""The benchmarks of combinators, of the feedback loop and of acting run, and say what they measured."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks import acting, combinators, feedback
from recsim_lab.platform.platform import Platform


def test_every_combinator_is_compared_with_the_model_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combinators, "REPETITIONS", 1)
    alone, *others = combinators.overheads(num_users=40, num_items=80)
    assert alone["name"] == "recommend[alone]" and alone["value"] > 0
    assert [told["name"] for told in others] == [f"recommend[{name}]" for name in (*combinators.AROUND, "repeat rules")]
    assert all(told["ratio_to"]["time of recommend[alone]"] > 0 and told["value"] > 0 for told in others)


def test_the_loop_is_timed_by_users_items_and_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "SIZES", ((30, 60, 2), (60, 60, 2)))
    first, second = feedback.growth()
    assert first["name"] == "feedback_loop_30_users_60_items_2_days" and "ratio_to" not in first
    assert first["value"] > 0 and second["ratio_to"]["the smallest"] > 0
    assert "30 users" in first["work"] and first["unit"] == "s"


def test_an_arm_that_is_stopped_goes_on_with_the_same_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(folder: Path) -> Any:
        (file,) = (tmp_path / folder).rglob("result.json")
        return json.loads(file.read_text())

    whole = feedback.one_arm(40, 60, 3, tmp_path / "whole")
    assert set(whole["parts"]) == {"before_the_loop", "days", "after_the_loop"}
    assert math.isclose(sum(whole["parts"].values()), whole["value"], abs_tol=0.1)
    assert "goes on" not in whole["work"] and capsys.readouterr().err == ""

    run = Platform.run

    def stop_on_the_third_day(platform: Platform, days: int) -> Any:
        if days == feedback.LOG_DAYS + 3:
            raise KeyboardInterrupt
        return run(platform, days)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Platform, "run", stop_on_the_third_day)
        feedback.one_arm(40, 60, 3, tmp_path / "stopped", aloud=True)
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        f"day {day} of 3" for day in range(3)
    ]
    told = feedback.one_arm(40, 60, 3, tmp_path / "stopped", aloud=True)
    assert "goes on after 2 of these days: seconds are of this process alone" in told["work"]
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("day 2 of 3") and last.startswith("day 3 of 3") and last.endswith("0:00:00 left")
    assert json.dumps(figures(tmp_path / "stopped")) == json.dumps(figures(tmp_path / "whole"))

    over = feedback.one_arm(40, 60, 3, tmp_path / "stopped")
    assert "goes on after 3 of these days" in over["work"] and over["parts"] == {}


def test_the_environment_has_its_share_of_each_acting_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "NUM_SEATS", 8)
    monkeypatch.setattr(acting, "NUM_STEPS", 3)
    told = list(acting.loops())
    assert [one["name"] for one in told] == [f"learn_by_acting[{spec}]" for spec in acting.SPECS]
    assert all(one["value"] > 0 and 0 < one["ratio_to"]["time in the environment"] < 1 for one in told)
