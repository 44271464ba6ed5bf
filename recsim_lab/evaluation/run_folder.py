"""A run's folder: configuration and provenance beside the results; every file appears whole or not at all."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("recsim_lab", "numpy", "scipy", "pandas", "numba", "torch", "gymnasium", "simpy", "pyarrow", "seaborn")

WITHOUT_EFFECT = ("num_workers",)
"""Fields of a config that change the time of a run and not its results."""


@dataclass(frozen=True)
class RunFolder:
    """`runs/<scenario>/<name>/`: `config.json`, tables as Parquet and CSV, `figures/`, `report.html`."""

    path: Path

    def begin(self, config: Any) -> dict[str, Any]:
        """Write `config.json`: the config, the command, versions and commit; returns its content.

        Raises:
            ValueError: if the folder holds a run of another config, which would mix two runs' results.
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
            changed = sorted(
                key
                for key, value in content["config"].items()
                if value != before["config"].get(key) and key not in WITHOUT_EFFECT
            )
            if changed:
                raise ValueError(
                    f"{self.path} holds a run of another config (different: {', '.join(changed)}); "
                    "give this run another --name, or delete that folder"
                )
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
