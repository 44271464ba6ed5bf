"""The kept results: the table, and the machine that each of its names was last measured on."""

import csv
import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from benchmarks.real_data.gates import COLUMNS, Row, merged
from recsim_lab.evaluation.run_folder import RunFolder, commit, package_versions

RESULTS = Path(__file__).resolve().parents[1] / "results"
TABLE, MACHINE = "real_data.csv", "real_data_machine.json"
WITH_CHANGES = " with changes"
MATTERS = ("agents", "benchmarks", "recsim_lab", "scenarios", "constraints.txt", "pyproject.toml")
"""What a measurement hangs on, but for the results that runs themselves write."""


@final
@dataclass(frozen=True)
class Results:
    """`real_data.csv` and `real_data_machine.json` in a folder; rows that no run replaces stay."""

    folder: Path = RESULTS

    def rows(self) -> list[Row]:
        """The rows of the table, none where there is no table; raises ValueError, naming the line, if one is wrong."""
        file = self.folder / TABLE
        if not file.exists():
            return []
        reader = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline=""))
        rows = []
        for cells in reader:
            try:
                rows.append(Row.from_cells(cells))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{file}, line {reader.line_num}: {error}") from None
        return rows

    def keep(self, new: Sequence[Row], machine: dict[str, Any]) -> list[Row]:
        """Put new rows into the table and the machine beside their names; returns the new rows with `passed`.

        Raises ValueError for rows measured by code that no commit holds, since nobody could measure them again.
        """
        for row in new:
            if row.commit.endswith(WITH_CHANGES):
                raise ValueError(f"rows to keep must be of a commit, got {row.name} of {row.commit!r}")
        rows = merged(self.rows(), new)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row.cells() for row in rows)
        folder = RunFolder(self.folder)
        folder.write_text(TABLE, text.getvalue())
        folder.write_text(MACHINE, json.dumps(self.machines() | {row.name: machine for row in new}, indent=2) + "\n")
        names = {(row.name, row.metric) for row in new}
        return [row for row in rows if (row.name, row.metric) in names]

    def machines(self) -> dict[str, Any]:
        """By name of a row, what it was measured on."""
        file = self.folder / MACHINE
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def measured_commit() -> str:
    """The commit of the checkout, marked if any of `MATTERS` differs from it."""
    clean = commit().removesuffix(WITH_CHANGES)
    return clean + WITH_CHANGES if uncommitted() else clean


def uncommitted(checkout: Path = RESULTS.parents[1]) -> list[str]:
    """The files among `MATTERS` that differ from the commit or are not in it; none outside a checkout."""
    paths = [f":(top){path}" for path in MATTERS] + [f":(top,exclude)benchmarks/{RESULTS.name}"]
    command = ["git", "status", "--porcelain", "--untracked-files=all", "--", *paths]
    try:
        said = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [line[3:] for line in said.splitlines()]


def this_machine() -> dict[str, Any]:
    """CPU model, cores, threads, the GPU if this process has used one, and the versions that count."""
    versions = package_versions()
    return {
        "cpu": _cpu_model(),
        "num_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "num_threads": _num_threads(),
        "gpu": _gpu_used(),
        "versions": {name: versions[name] for name in ("python", "numpy", "scipy", "numba", "torch")},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _num_threads() -> int | None:
    """Of torch where it is loaded, else what OMP_NUM_THREADS says; None where nothing does."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() else None


def _gpu_used() -> str | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.max_memory_allocated():
        return None
    return str(torch.cuda.get_device_name())
