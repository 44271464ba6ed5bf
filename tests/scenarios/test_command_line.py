"""Wrong profiles are named, and an interrupted run ends without a traceback."""

import re
import sys
import time
from dataclasses import dataclass

import pytest

from scenarios import command_line
from scenarios.command_line import counting, parse


@dataclass(frozen=True)
class Config:
    seeds: int = 2
    """Number of seeds."""


PROFILES = {"demo": Config(), "standard": Config(10)}


def test_a_profile_and_options_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "standard"])
    assert parse(PROFILES, "") == Config(10)
    monkeypatch.setattr(sys, "argv", ["x", "--seeds", "3"])
    assert parse(PROFILES, "") == Config(3)


def test_an_unknown_profile_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "standrad", "--help"])
    with pytest.raises(SystemExit) as stopped:
        parse(PROFILES, "")
    assert stopped.value.code == 2
    assert "unknown profile 'standrad'; there are demo, standard" in capsys.readouterr().out


def test_an_interrupted_run_stops_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, counting("Work") as count:
        count("a piece", 1, 2)
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    assert "stopped" in capsys.readouterr().out


def test_where_output_is_no_terminal_lines_tell_how_far_the_work_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "_SECONDS_BETWEEN_LINES", 0.0)
    with counting("Work") as count:
        # 8 were done before: they say nothing of how fast this process is.
        for done in (8, 9, 10, 11):
            count(f"piece {done}", done, 12)
            time.sleep(0.1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Work: ")]
    assert len(lines) == 4
    assert re.fullmatch(r"Work: 8 of 12, time 0:00:\d\d, left unknown; piece 8", lines[0])
    assert re.fullmatch(r"Work: 11 of 12, time 0:00:\d\d, left 0:00:\d\d; piece 11", lines[-1])
