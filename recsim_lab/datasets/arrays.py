"""Finds the file of a data set, and reads NumPy archives (.npz) whose arrays have announced names, kinds and axes."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Shaped

from recsim_lab.datasets.files import DataFileError, dataset_path

A = np.ndarray

_KINDS = {"integers": "iu", "floats": "f", "numbers": "iuf", "text": "U", "truth values": "b"}
# What NumPy raises on an archive or array that is damaged; ValueError also where it holds pickled objects.
_ARCHIVE_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError)


def find_file(path: str | os.PathLike[str] | None, name: str) -> Path:
    """`path` where one is given, else `name` in the folder that the environment variable RECSIM_DATA names.

    Raises `FileNotFoundError` where there is no such file.
    """
    if path is not None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}")
        return Path(path)
    found = dataset_path(name)
    if found is None:
        root = os.environ.get("RECSIM_DATA")
        state = f"RECSIM_DATA is {root}" if root else "RECSIM_DATA is not set"
        raise FileNotFoundError(f"there is no {name} in the folder that RECSIM_DATA names ({state})")
    return found


@final
@dataclass(frozen=True)
class ArrayLayout:
    """What an array of an archive must be: the kind of its entries, and the length of each axis (None: any)."""

    kind: str
    shape: tuple[int | None, ...]

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {self.kind!r}")

    def admits(self, array: Shaped[A, "..."]) -> bool:
        return (
            array.dtype.kind in _KINDS[self.kind]
            and array.ndim == len(self.shape)
            and all(wanted in (None, length) for wanted, length in zip(self.shape, array.shape, strict=True))
        )

    def __str__(self) -> str:
        return f"{self.kind} of shape [{', '.join('any' if length is None else str(length) for length in self.shape)}]"


def read_arrays(path: Path, layouts: Mapping[str, ArrayLayout]) -> dict[str, Shaped[A, "..."]]:
    """The named arrays of an .npz archive; raises `DataFileError` for one that is missing, damaged or of another kind.

    Floats are checked to be finite. Other arrays of the archive are not read.
    """
    try:
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            names = archive.files if isinstance(archive, np.lib.npyio.NpzFile) else []
            arrays = {name: archive[name] for name in layouts if name in names}
    except _ARCHIVE_FAULTS as error:
        raise DataFileError(str(path), None, "an .npz archive of arrays", f"a damaged one ({error})") from error
    if missing := [name for name in layouts if name not in arrays]:
        raise DataFileError(str(path), None, f"arrays named {', '.join(layouts)}", f"none named {', '.join(missing)}")
    for name, layout in layouts.items():
        array = arrays[name]
        if not layout.admits(array):
            found = f"{array.dtype} of shape {list(array.shape)}"
            raise DataFileError(str(path), None, f"{layout} as {name}", found)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataFileError(str(path), None, f"finite numbers as {name}", str(array[~np.isfinite(array)][0]))
    return arrays


def check_range(path: Path, name: str, values: Shaped[A, "..."], low: int | float, high: int | float) -> None:
    """Raises `DataFileError` at the first value outside [low, high], naming its place."""
    wrong = np.argwhere((values < low) | (values > high))
    if wrong.size:
        place = tuple(int(axis) for axis in wrong[0])
        where = f"{name}[{', '.join(map(str, place))}]"
        raise DataFileError(str(path), None, f"{where} in [{low:g}, {high:g}]", str(values[place]))


def check_counts(path: Path, expected: Mapping[str, int], found: Mapping[str, int]) -> None:
    """Raises `DataFileError` where a count isn't the published one, so that no set is taken for another of its name."""
    if any(found[name] != count for name, count in expected.items()):
        raise DataFileError(str(path), None, _listed(expected), _listed({name: found[name] for name in expected}))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
