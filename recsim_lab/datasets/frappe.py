"""Frappe: which mobile app was used in which context, as click-through rows of ten categorical fields.

Baltrunas et al. 2015 (arXiv 1505.03014); split and negatives (two a positive) as in the benchmark suite of Zhu et al.
(SIGIR 2022, "BARS"), data set `Frappe_x1`. The training negatives are drawn again by the published scheme.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Bool, Int, Shaped

from recsim_lab.datasets.arrays import ArrayLayout, check_counts, check_range, find_file, read_arrays
from recsim_lab.datasets.files import DataFileError

A = np.ndarray

FRAPPE_FILE = "frappe/frappe_x1.npz"

_PARTS = {"train": "train_resampled_neg", "validation": "valid", "test": "test"}
_COUNTS = {
    "rows to train on": 202_027,
    "rows to validate on": 57_722,
    "rows to test on": 28_860,
    "fields": 10,
    "features": 5_382,
}


@final
@dataclass(frozen=True, eq=False)
class ClickRows:
    """A row per impression: the category of each field, from 0 within the field, and whether there was a click."""

    codes: Int[A, "rows fields"]
    clicked: Bool[A, " rows"]

    def __post_init__(self) -> None:
        if len(self.codes) != len(self.clicked):
            raise ValueError(f"clicked must have an entry for each of {len(self.codes)} rows, got {len(self.clicked)}")


@final
@dataclass(frozen=True, eq=False)
class Frappe:
    """Three parts of click-through rows over the same fields; `cardinalities[j]` categories in `fields[j]`."""

    fields: tuple[str, ...]
    cardinalities: tuple[int, ...]
    train: ClickRows
    validation: ClickRows
    test: ClickRows

    @property
    def offsets(self) -> Int[A, " fields"]:
        """Added to a field's codes, they number the categories of all fields through, as one table needs."""
        return np.concatenate([[0], np.cumsum(self.cardinalities)[:-1]])


def load_frappe(path: str | os.PathLike[str] | None = None) -> Frappe:
    """202,027 / 57,722 / 28,860 rows of 10 fields with 5,382 categories, from RECSIM_DATA or at `path`.

    Raises `FileNotFoundError` where the file isn't there, and `DataFileError` where its content isn't as said or isn't
    counted as published.
    """
    file = find_file(path, FRAPPE_FILE)
    frappe = read_frappe(file)
    rows = (len(part.clicked) for part in (frappe.train, frappe.validation, frappe.test))
    counts = (*rows, len(frappe.fields), sum(frappe.cardinalities))
    check_counts(file, _COUNTS, dict(zip(_COUNTS, counts, strict=True)))
    return frappe


def read_frappe(path: Path) -> Frappe:
    """An archive of `fields`, and for each part `*_X` and `*_y`.

    `X` numbers the categories through all fields, those of a field together and in the order of the fields.
    """
    layouts = {"fields": ArrayLayout("text", (None,))}
    for part in _PARTS.values():
        layouts |= {f"{part}_X": ArrayLayout("integers", (None, None)), f"{part}_y": ArrayLayout("numbers", (None,))}
    arrays = read_arrays(path, layouts)
    fields = tuple(str(field) for field in arrays["fields"])
    for part in _PARTS.values():
        rows, clicks = arrays[f"{part}_X"], arrays[f"{part}_y"]
        if rows.shape != (len(clicks), len(fields)) or not len(clicks):
            expected = f"a row of {len(fields)} fields for each of {len(clicks)} labels as {part}_X, and at least one"
            raise DataFileError(str(path), None, expected, f"shape {list(rows.shape)}")
        check_range(path, f"{part}_X", rows, 0, np.inf)
        check_range(path, f"{part}_y", clicks, 0, 1)
    start, end = _spans(path, fields, [arrays[f"{part}_X"] for part in _PARTS.values()])
    parts = {
        name: ClickRows((arrays[f"{part}_X"] - start).astype(np.int32), arrays[f"{part}_y"] > 0.5)
        for name, part in _PARTS.items()
    }
    return Frappe(fields, tuple(int(size) for size in end - start), **parts)


def _spans(
    path: Path, fields: tuple[str, ...], parts: list[Shaped[A, "..."]]
) -> tuple[Int[A, " fields"], Int[A, " fields"]]:
    """First category of each field and one past its last; a field begins where the one before it ends."""
    first = np.min([part.min(axis=0) for part in parts], axis=0).astype(np.int64)
    last = np.max([part.max(axis=0) for part in parts], axis=0).astype(np.int64)
    overlapping = np.flatnonzero(first[1:] <= last[:-1])
    if overlapping.size:
        field = int(overlapping[0])
        expected = f"the categories of {fields[field + 1]} after those of {fields[field]}"
        raise DataFileError(str(path), None, expected, f"{first[field + 1]} after {last[field]}")
    start = np.concatenate([[0], last[:-1] + 1])
    return start, last + 1
