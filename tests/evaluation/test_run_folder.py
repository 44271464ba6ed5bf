"""A run's folder says what made its results, also where the run was taken up again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recsim_lab.evaluation import run_folder
from recsim_lab.evaluation.run_folder import RunFolder


@dataclass(frozen=True)
class Config:
    """A config of some scenario."""

    name: str = "demo"
    seeds: tuple[int, ...] = (0, 1)
    num_workers: int = 1


@dataclass(frozen=True)
class LaterConfig:
    """The same after it has lost a field."""

    name: str = "demo"
    num_workers: int = 1


VERSIONS = {"python": "3.11.4", "numpy": "2.1.0"}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch)


def _pretend(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str] = VERSIONS, commit: str = "abc123") -> None:
    monkeypatch.setattr(run_folder, "package_versions", lambda: dict(versions))
    monkeypatch.setattr(run_folder, "commit", lambda: commit)


def test_what_is_returned_is_what_is_written(tmp_path: Path) -> None:
    content = RunFolder(tmp_path / "run").begin(Config())
    assert content == json.loads((tmp_path / "run" / "config.json").read_text())
    assert content["config"] == {"name": "demo", "seeds": [0, 1], "num_workers": 1}
    assert content["versions"] == VERSIONS and content["commit"] == "abc123"


def test_a_run_may_go_on_with_more_to_do(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(Config())
    more = folder.begin(Config(seeds=(0, 1, 2)), axes=("seeds",))
    assert more["config"]["seeds"] == [0, 1, 2] and more == json.loads((tmp_path / "run" / "config.json").read_text())
    with pytest.raises(ValueError, match="different: name"):
        folder.begin(Config(name="other", seeds=(0,)), axes=("seeds",))
    with pytest.raises(ValueError, match=r"holds a run of more than this \(seeds\).*--name"):
        folder.begin(Config(seeds=(0, 1, 5)), axes=("seeds",))
    assert more == json.loads((tmp_path / "run" / "config.json").read_text())


def test_a_run_that_goes_on_keeps_what_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path)
    first = run.begin(Config())
    monkeypatch.setattr("sys.argv", ["elsewhere"])
    assert run.begin(Config(num_workers=8)) == first
    for commit, recorded in (
        ("def456", "abc123, resumed at def456"),
        ("def456", "abc123, resumed at def456"),
        ("abc123", "abc123, resumed at def456, resumed at abc123"),
    ):
        _pretend(monkeypatch, commit=commit)
        assert run.begin(Config()) == first | {"commit": recorded}
        assert json.loads((tmp_path / "config.json").read_text()) == first | {"commit": recorded}


@pytest.mark.parametrize(
    ("config", "different"),
    [(Config(seeds=(0,)), "seeds"), (Config("other", (1,), 3), "name, seeds"), (LaterConfig(), "seeds")],
)
def test_another_config_is_refused(config: Any, different: str, tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(Config())
    with pytest.raises(ValueError, match=rf"another config \(different: {different}\); give this run another --name"):
        RunFolder(tmp_path).begin(config)


@pytest.mark.parametrize(
    ("versions", "different"),
    [
        (VERSIONS | {"numpy": "2.2.0"}, "numpy 2.1.0, now 2.2.0"),
        (VERSIONS | {"torch": "2.9"}, "torch unknown, now 2.9"),
        ({"python": "3.12"}, "numpy 2.1.0, now unknown; python 3.11.4, now 3.12"),
    ],
)
def test_other_versions_are_refused(
    versions: dict[str, str], different: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RunFolder(tmp_path).begin(Config())
    _pretend(monkeypatch, versions)
    with pytest.raises(ValueError, match=rf"other versions \({different}\); give this run another --name, or delete"):
        RunFolder(tmp_path).begin(Config())
    assert json.loads((tmp_path / "config.json").read_text()) == first
