"""What a report is made of: sections of text, figures, tables and key numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real

import pandas

from recsim_lab.reporting.names import column_name

MISSING = "\N{EN DASH}"


@dataclass(frozen=True)
class Figure:
    """One figure: SVG panels that stand side by side where there is room, and one under another where not.

    `panels` are `<svg>` elements as `recsim_lab.reporting.svg.inline_svg` makes them and are trusted as
    they are. `alt` says in words what a reader who can't see the figure should know.
    """

    panels: tuple[str, ...]
    caption: str
    alt: str

    def __post_init__(self) -> None:
        if not self.panels:
            raise ValueError("panels must hold at least one SVG, got none")
        for panel in self.panels:
            if not panel.startswith("<svg"):
                raise ValueError(f"panels must be <svg> elements, got {panel[:40]!r}")
        if not self.alt.strip():
            raise ValueError(f"alt must say what the figure shows, got {self.alt!r}")


@dataclass(frozen=True)
class Table:
    """A data frame without its index; columns `online/...` and `offline/...` get names in words.

    `formats` gives format specifications by column, such as `{"auc": ".3f", "users": ",d"}`; other numbers
    have three decimals if they are fractional. Missing values show as a dash.
    """

    frame: pandas.DataFrame
    caption: str
    formats: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [column for column in self.formats if column not in self.frame.columns]
        if unknown:
            raise ValueError(f"formats must name columns of the frame ({list(self.frame.columns)}), got {unknown}")

    @property
    def headers(self) -> list[tuple[str, bool]]:
        """Each column's name and whether it holds numbers (and so is set flush right)."""
        columns = self.frame.columns
        numeric = [pandas.api.types.is_numeric_dtype(dtype) for dtype in self.frame.dtypes]
        return [(column_name(str(column)), is_number) for column, is_number in zip(columns, numeric, strict=True)]

    @property
    def cells(self) -> list[list[str]]:
        """Every value as it is written, row by row."""
        columns = [
            [format_cell(value, self.formats.get(name)) for value in self.frame.iloc[:, place]]
            for place, name in enumerate(self.frame.columns)
        ]
        return [list(row) for row in zip(*columns, strict=True)]


def format_cell(value: object, specification: str | None = None) -> str:
    """One value of a table as text; `specification` is Python's format specification for it."""
    if value is None or value is pandas.NA or value is pandas.NaT or (isinstance(value, Real) and value != value):
        return MISSING
    if specification is not None:
        return _minus(format(value, specification))
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    return _minus(f"{int(value):,d}" if isinstance(value, Integral) else f"{float(value):,.3f}")


def _minus(text: str) -> str:
    """A true minus sign, which is as wide as a plus and lines up in columns."""
    return text.replace("-", "\N{MINUS SIGN}") if text[:1] == "-" else text


@dataclass(frozen=True)
class KeyNumber:
    """A number to remember, as text with its unit, what it is, and one remark such as its interval."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class KeyNumbers:
    """A row of numbers to remember."""

    numbers: tuple[KeyNumber, ...]


Block = Figure | Table | KeyNumbers


@dataclass(frozen=True)
class Section:
    """A heading, some text, and what follows it.

    In `text` a blank line parts paragraphs and backticks set code; all else is shown as written.
    """

    title: str
    text: str = ""
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise ValueError(f"title must not be empty, got {self.title!r}")
        for block in self.blocks:
            if not isinstance(block, Block):
                raise ValueError(f"blocks must be Figure, Table or KeyNumbers, got {type(block).__name__}")
