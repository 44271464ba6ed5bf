"""A run's folder: configuration and provenance beside the results; every file appears whole or not at all."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("recsim_lab", "numpy", "scipy", "pandas", "numba", "torch", "gymnasium", "simpy", "pyarrow", "seaborn")

WITHOUT_EFFECT = ("num_workers",)
"""Fields of a config that change the time of a run and not its results."""

RESUMED = ", resumed at "
"""Stands between the commits of a run that went on under another one."""


@dataclass(frozen=True)
class RunFolder:
    """`runs/<scenario>/<name>/`: `config.json`, tables as Parquet and CSV, `figures/`, `report.html`."""

    path: Path

    def begin(self, config: Any, axes: Sequence[str] = ()) -> dict[str, Any]:
        """Write `config.json`: the config, the command, versions and commit; returns its content.

        A run that goes on keeps what it began with; where the commit is another now, both are recorded. `axes` are
        fields that say what there is to do and not how: a run may go on with more of it, which is recorded instead.

        Raises:
            ValueError: if the folder holds a run of another config or under other versions, which would mix two
                runs' results, or one of more than is asked for now, whose tables and report would be lost.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        content = {
            "config": json.loads(json.dumps(asdict(config), default=str)),
            "command": "python -m " + " ".join([_module(), *sys.argv[1:]]),
            "versions": package_versions(),
            "commit": commit(),
        }
        file = self.path / "config.json"
        if file.exists():
            before = json.loads(file.read_text())
            different = [key for key in differing(before["config"], content["config"]) if key not in WITHOUT_EFFECT]
            if changed := [key for key in different if key not in axes]:
                raise ValueError(
                    f"{self.path} holds a run of another config (different: {', '.join(changed)}); "
                    "give this run another --name, or delete that folder"
                )
            asked, now = before["config"], content["config"]
            if fewer := [key for key in different if key in asked and _is_less(asked[key], now[key])]:
                raise ValueError(
                    f"{self.path} holds a run of more than this ({', '.join(fewer)}), whose tables and report would be "
                    "lost; give this run another --name, or delete that folder"
                )
            old, new = before["versions"], content["versions"]
            if packages := differing(old, new):
                moves = (f"{name} {old.get(name, 'unknown')}, now {new.get(name, 'unknown')}" for name in packages)
                raise ValueError(
                    f"{self.path} holds a run under other versions ({'; '.join(moves)}); "
                    "give this run another --name, or delete that folder"
                )
            if before["commit"].split(RESUMED)[-1] != content["commit"]:
                before["commit"] += RESUMED + content["commit"]
            newer = ("config", "command") if different else ()
            content = before | {name: content[name] for name in newer}
        self.write_text("config.json", json.dumps(content, indent=2))
        return content

    def write_text(self, name: str, text: str) -> Path:
        """One text file."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(target.name + ".partial")
        scratch.write_text(text)
        os.replace(scratch, target)
        return target

    def write_table(self, name: str, table: "pd.DataFrame") -> Path:
        """A table as `<name>.csv` and `<name>.parquet`; returns the path of the CSV."""
        self.path.mkdir(parents=True, exist_ok=True)
        scratch = self.path / f"{name}.parquet.partial"
        table.to_parquet(scratch)
        os.replace(scratch, self.path / f"{name}.parquet")
        return self.write_text(f"{name}.csv", table.to_csv(index=False))


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ, or that only one of the two has."""
    either = before.keys() | now.keys()
    return sorted(key for key in either if key not in before or key not in now or before[key] != now[key])


def _is_less(before: Any, now: Any) -> bool:
    """Whether something that a field of a config asked for is not asked for any more."""
    if isinstance(before, list):
        return any(entry not in now for entry in before)
    return bool(now < before)


def package_versions() -> dict[str, str]:
    """The versions that results depend on."""
    versions = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def commit() -> str:
    """The commit of the checkout, with a mark if files differ from it; `unknown` outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None else Path(sys.argv[0]).stem
