"""A diary keeps whole files, tells no step twice, and gives back what a checkpoint held to the same run only."""

import builtins
import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.acting.diary import CHECKPOINT, CURVES, Diary

A = np.ndarray
WEIGHTS = {"agent/weights": np.arange(6, dtype=np.float32).reshape(2, 3), "own/none": np.zeros((4, 0), np.int32)}


def _figures(step: int) -> dict[str, float]:
    """Not in the order of their names, which files must keep all the same."""
    return {"reward": 0.1 * step, "loss/value": -1.0 / step, "another": float(step)}


def _curves(folder: Path) -> list[dict[str, str]]:
    with (folder / CURVES).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_checkpoint_is_given_back(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "new" / "run", checkpoint_seconds=0)
    assert diary.resume("me") == (0, {})
    for step in (20, 40):
        assert diary.write(step, 100, _figures(step))
        diary.keep(step, "me", WEIGHTS)
    files = sorted(path.name for path in diary.folder.iterdir() if path.is_file())
    assert files == [CHECKPOINT, CURVES]
    again = Diary(tmp_path / "new" / "run")
    step, arrays = again.resume("me")
    assert step == 40 and again.rows == diary.rows == [{"step": step, **_figures(step)} for step in (20, 40)]
    assert arrays.keys() == WEIGHTS.keys()
    for name, values in WEIGHTS.items():
        np.testing.assert_array_equal(arrays[name], values)
        assert arrays[name].dtype == values.dtype


def test_curves_are_as_they_were_told(tmp_path: Path) -> None:
    diary = Diary(tmp_path, checkpoint_seconds=0)
    for step in (1, 2, 3):
        diary.write(step, 3, _figures(step))
        diary.keep(step, "me", {})
    rows = _curves(tmp_path)
    assert list(rows[0]) == ["step", *_figures(1)]
    assert rows == [{"step": str(step)} | {n: repr(v) for n, v in _figures(step).items()} for step in (1, 2, 3)]


def test_what_was_told_after_the_checkpoint_is_dropped(tmp_path: Path) -> None:
    """Also where the curves on disk are behind the checkpoint, or ahead of it, or not there."""
    diary = Diary(tmp_path, checkpoint_seconds=0)
    for step in (1, 2):
        diary.write(step, 5, _figures(step))
        diary.keep(step, "me", {})
    diary.write(3, 5, _figures(3))
    kept = (tmp_path / CURVES).read_bytes()
    for found in (b"", kept.splitlines(keepends=True)[0], kept + b"3,0.3,-0.33,3.0\r\n", None):
        (tmp_path / CURVES).unlink()
        if found is not None:
            (tmp_path / CURVES).write_bytes(found)
        again = Diary(tmp_path)
        assert again.resume("me")[0] == 2
        assert (tmp_path / CURVES).read_bytes() == kept
    again.write(3, 5, _figures(3))
    again.keep(3, "me", {})
    assert [row["step"] for row in _curves(tmp_path)] == ["1", "2", "3"]


@pytest.mark.parametrize("target", [CHECKPOINT, CURVES])
def test_files_appear_whole_or_not_at_all(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed just before the file is moved to its place, what is there is what was there before."""
    diary = Diary(tmp_path, checkpoint_seconds=0)
    diary.write(1, 5, _figures(1))
    diary.keep(1, "me", WEIGHTS)
    before = (tmp_path / target).read_bytes()

    move = os.replace

    def stop(source: Any, place: Any) -> None:
        if Path(place).name == target:
            raise KeyboardInterrupt
        move(source, place)

    diary.write(2, 5, _figures(2))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", stop)
        diary.keep(2, "me", WEIGHTS)
    assert (tmp_path / target).read_bytes() == before
    again = Diary(tmp_path)
    step, _ = again.resume("me")
    assert step == (1 if target == CHECKPOINT else 2)
    assert [int(row["step"]) for row in _curves(tmp_path)] == [1, 2][:step]


def test_another_run_is_refused(tmp_path: Path) -> None:
    diary = Diary(tmp_path)
    diary.write(1, 1, _figures(1))
    diary.keep(1, "me", {})
    with pytest.raises(ValueError, match=r"must hold the run you, got me: use another folder"):
        Diary(tmp_path).resume("you")
    (tmp_path / CHECKPOINT).write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"checkpoint.safetensors must be a file in the safetensors format"):
        Diary(tmp_path).resume("me")


def test_a_checkpoint_waits_for_its_time_and_for_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("agents.acting.diary.time.monotonic", lambda: now)
    diary = Diary(tmp_path, checkpoint_seconds=30)
    assert not diary.write(1, 9, _figures(1))
    now = 130.0
    assert diary.write(2, 9, _figures(2))
    diary.keep(2, "me", {})
    now = 159.0
    assert not diary.write(3, 9, _figures(3))
    assert diary.write(9, 9, _figures(9))


def test_without_a_folder_only_the_report_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[Any] = []
    diary = Diary(report=lambda step, planned, figures: told.append((step, planned, dict(figures))))
    assert diary.resume("me") == (0, {})
    assert not diary.write(1, 2, _figures(1)) and not diary.write(2, 2, _figures(2))
    diary.keep(2, "me", WEIGHTS)
    assert told == [(1, 2, _figures(1)), (2, 2, _figures(2))]
    assert [row["step"] for row in diary.rows] == [1, 2]
    assert not list(tmp_path.iterdir())


# ---- TensorBoard ------------------------------------------------------------------------------------------------


def test_tensorboard_shows_each_step_once(tmp_path: Path) -> None:
    """What a run that was killed told beyond its checkpoint is replaced by what the next one tells."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    first = Diary(tmp_path, checkpoint_seconds=0)
    for step in (1, 2):
        first.write(step, 5, _figures(step))
        first.keep(step, "me", {})
    for step in (3, 4):
        first.write(step, 5, {name: 99.0 for name in _figures(step)})
    first._board.flush()
    second = Diary(tmp_path, checkpoint_seconds=0)
    second.resume("me")
    for step in (3, 4, 5):
        second.write(step, 5, _figures(step))
    second.keep(5, "me", {})
    shown = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    assert set(shown.Tags()["scalars"]) == set(_figures(1))
    for name in _figures(1):
        values = [(event.step, event.value) for event in shown.Scalars(name)]
        assert values == [(step, pytest.approx(_figures(step)[name])) for step in (1, 2, 3, 4, 5)]


def test_what_a_checkpoint_says_was_told_is_on_disk(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    diary = Diary(tmp_path, checkpoint_seconds=0)
    diary.write(1, 5, _figures(1))
    diary.keep(1, "me", {})
    shown = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    assert [event.step for event in shown.Scalars("reward")] == [1]


def test_all_else_works_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def refuse(name: str, *others: Any, **more: Any) -> Any:
        if name.startswith(("tensorboard", "torch.utils.tensorboard")):
            raise ImportError(f"no module named {name}")
        return load(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    diary = Diary(tmp_path, checkpoint_seconds=0)
    for step in (1, 2):
        assert diary.write(step, 2, _figures(step))
        diary.keep(step, "me", WEIGHTS)
    assert Diary(tmp_path).resume("me")[0] == 2
    assert [row["step"] for row in _curves(tmp_path)] == ["1", "2"]
    assert not (tmp_path / "tensorboard").exists()
