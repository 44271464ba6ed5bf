"""All benchmarks by name: each file of this package registers its own."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import filter as matching_names
from types import MappingProxyType
from typing import final

import benchmarks.real_data as package
from benchmarks.real_data.gates import Gate, Row
from recsim_lab.datasets import dataset_path

Report = Callable[[str], None]
"""Says in a line how far a benchmark has come."""


@final
@dataclass(frozen=True)
class Benchmark:
    """A function that measures some rows, the data set it needs and the minutes it takes on two cores.

    `files` are those of the data set, below the folder that RECSIM_DATA names. `gates` are what rows have to pass (see
    `Gate`), by name and metric.
    """

    name: str
    dataset: str
    files: tuple[str, ...]
    minutes: float
    run: Callable[[Report], list[Row]]
    gates: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for gate in self.gates.values():
            Gate(gate)

    @property
    def missing_files(self) -> list[str]:
        return [file for file in self.files if dataset_path(file) is None]


_REGISTERED: dict[str, Benchmark] = {}


def benchmark(
    name: str,
    dataset: str,
    files: tuple[str, ...],
    minutes: float,
    gates: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> Callable[[Callable[[Report], list[Row]]], Callable[[Report], list[Row]]]:
    """Registers the function below it; raises ValueError for a name that is taken."""

    def register(run: Callable[[Report], list[Row]]) -> Callable[[Report], list[Row]]:
        if name in _REGISTERED:
            raise ValueError(f"name must not be taken, got {name!r}")
        _REGISTERED[name] = Benchmark(name, dataset, files, minutes, run, gates)
        return run

    return register


def benchmarks() -> dict[str, Benchmark]:
    """Every benchmark, the quickest first."""
    for module in pkgutil.iter_modules(package.__path__):
        if module.name != "__main__":
            importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_REGISTERED.items(), key=lambda entry: (entry[1].minutes, entry[0])))


def chosen(patterns: tuple[str, ...], kept: Iterable[Row] = ()) -> list[Benchmark]:
    """Those whose name, or that of a kept row of theirs, is or matches (`popularity-*`) one of the patterns; all where
    there are none.

    Raises ValueError for a pattern without a match.
    """
    known = benchmarks()
    names = {name: {name} for name in known}
    for row in kept:
        if (measured_by := row.command.rpartition(" ")[2]) in names:
            names[measured_by].add(row.name)
    asked: set[str] = set()
    for pattern in patterns:
        found = {name for name, of_it in names.items() if matching_names(of_it, pattern)}
        if not found:
            raise ValueError(f"only must name benchmarks ({', '.join(known)}) or their kept rows, got {pattern!r}")
        asked |= found
    return [entry for name, entry in known.items() if not patterns or name in asked]
