"""A row of the table: what was measured, what others published, and the gate that the number has to pass."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import final

import numpy as np

_NUMBER = r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
_NAME = r"([a-z0-9][a-z0-9_.:=-]*)"
_BOUND = re.compile(rf"(>=|<=|>|<) {_NUMBER}")
_RANGE = re.compile(rf"{_NUMBER} to {_NUMBER}")
_RELATION = re.compile(rf"(above|below) {_NAME}")


@final
@dataclass(frozen=True)
class Gate:
    """A condition in words, which is also how the table shows it; "" asks for nothing.

    Clauses, joined by " and ": `>= .715` (also `>`, `<=`, `<`), `.055 to .066` (both ends belong to it),
    `above mf-mlp` and `below mf-naive` (strictly, in the same metric of the row of that name).
    """

    text: str = ""

    def __post_init__(self) -> None:
        for clause in self._clauses:
            if not any(form.fullmatch(clause) for form in (_BOUND, _RANGE, _RELATION)):
                raise ValueError(
                    f"gate must join '>= .7', '.5 to .6', 'above name' or 'below name' by ' and ', got {self.text!r}"
                )

    @property
    def _clauses(self) -> list[str]:
        return self.text.split(" and ") if self.text else []

    def passed(self, value: float, value_of: Callable[[str], float | None]) -> bool | None:
        """Whether `value` passes; None without a gate, or where that hangs on a row which isn't there.

        `value_of` answers a row's name with its value. NaN passes no gate.
        """
        verdicts = [_clause_passed(clause, float(value), value_of) for clause in self._clauses]
        if False in verdicts:
            return False
        return None if not verdicts or None in verdicts else True


def _clause_passed(clause: str, value: float, value_of: Callable[[str], float | None]) -> bool | None:
    if found := _BOUND.fullmatch(clause):
        sign, bound = found[1], float(found[2])
        return {">=": value >= bound, ">": value > bound, "<=": value <= bound, "<": value < bound}[sign]
    if found := _RANGE.fullmatch(clause):
        return float(found[1]) <= value <= float(found[2])
    relation, name = clause.split(" ")
    other = value_of(name)
    if other is None:
        return None
    return value > other if relation == "above" else value < other


@final
@dataclass(frozen=True)
class Row:
    """One number of the table; its fields are the columns, in this order.

    Fields beyond the obvious:
        name: of what was measured, unique with `metric`; in lower case, so that gates can name it.
        protocol: in words: candidates, what is removed, the split, which epoch.
        ours: the mean over seeds; `ours_sd` its standard deviation between seeds, None for one seed.
        published: only what was read in the source that `protocol` names; None where nothing was.
        gate: see `Gate`.
        passed, seconds, command, commit: filled in by the run; a benchmark of several models may time each itself.
    """

    name: str
    dataset: str
    protocol: str
    metric: str
    ours: float
    ours_sd: float | None = None
    num_seeds: int = 1
    published: float | None = None
    gate: str = ""
    passed: bool | None = None
    seconds: float | None = None
    command: str = ""
    commit: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(_NAME, self.name):
            raise ValueError(f"name must be of lower-case letters, digits and -_.:=, got {self.name!r}")
        if not self.metric:
            raise ValueError("metric must not be empty")
        if self.num_seeds < 1:
            raise ValueError(f"num_seeds must be at least 1, got {self.num_seeds}")
        Gate(self.gate)

    @classmethod
    def of_seeds(
        cls,
        name: str,
        dataset: str,
        protocol: str,
        metric: str,
        values: Sequence[float],
        published: float | None = None,
        gate: str = "",
        seconds: float | None = None,
    ) -> "Row":
        """Mean and standard deviation (with n - 1) of a value per seed."""
        if not len(values):
            raise ValueError("values must hold a value per seed, got none")
        numbers = np.asarray(values, dtype=np.float64)
        deviation = float(numbers.std(ddof=1)) if numbers.size > 1 else None
        mean = float(numbers.mean())
        return cls(name, dataset, protocol, metric, mean, deviation, numbers.size, published, gate, seconds=seconds)

    def cells(self) -> dict[str, str]:
        """The row as text; empty where there is nothing."""
        return {field.name: _cell(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_cells(cls, cells: dict[str, str]) -> "Row":
        """The inverse of `cells`; raises ValueError for columns or entries that are none of a row."""
        if list(cells) != COLUMNS:
            raise ValueError(f"columns must be {', '.join(COLUMNS)}, got {', '.join(map(str, cells))}")
        if cells["passed"] not in ("", "True", "False"):
            raise ValueError(f"passed must be True, False or empty, got {cells['passed']!r}")
        return cls(
            name=cells["name"],
            dataset=cells["dataset"],
            protocol=cells["protocol"],
            metric=cells["metric"],
            ours=float(cells["ours"]),
            ours_sd=_number(cells["ours_sd"]),
            num_seeds=int(cells["num_seeds"]),
            published=_number(cells["published"]),
            gate=cells["gate"],
            passed=cells["passed"] == "True" if cells["passed"] else None,
            seconds=_number(cells["seconds"]),
            command=cells["command"],
            commit=cells["commit"],
        )


COLUMNS = [field.name for field in fields(Row)]


def _cell(entry: str | float | bool | None) -> str:
    if entry is None:
        return ""
    if isinstance(entry, float):
        return f"{entry:.6g}"
    return str(entry)


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def judged(rows: Sequence[Row]) -> list[Row]:
    """The rows with `passed` as their gates and the other rows say."""
    values = {(row.name, row.metric): row.ours for row in rows}
    return [replace(row, passed=_passed(row, values)) for row in rows]


def _passed(row: Row, values: dict[tuple[str, str], float]) -> bool | None:
    return Gate(row.gate).passed(row.ours, lambda name: values.get((name, row.metric)))


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """New rows in the place of old ones of the same name and metric, then those that are new; gates judged again.

    Raises ValueError where two new rows have the same name and metric, or a value is infinite.
    """
    replacing = {(row.name, row.metric): row for row in new}
    if len(replacing) < len(new):
        twice = next(row for row in new if replacing[row.name, row.metric] is not row)
        raise ValueError(f"a row must be the only one of its name and metric, got two of {twice.name}, {twice.metric}")
    if any(math.isinf(row.ours) for row in new):
        raise ValueError("ours must not be infinite")
    rows = [replacing.pop((row.name, row.metric), row) for row in old]
    return judged([*rows, *replacing.values()])
