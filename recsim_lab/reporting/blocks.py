"""What a report is made of: sections of text, figures, tables and key numbers, and what is folded away."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real

import pandas

from recsim_lab.reporting.names import column_name
from recsim_lab.reporting.palette import Colour
from recsim_lab.reporting.words import MISSING, Estimate


@dataclass(frozen=True)
class Key:
    """An entry of a legend: what is drawn in this colour, with these dashes (lengths on and off; none: solid)."""

    name: str
    colour: Colour
    dashes: tuple[float, ...] = ()
    width: float = 1.5


@dataclass(frozen=True)
class Figure:
    """One figure: SVG panels that stand side by side where there is room, and one under another where not.

    `panels` are `<svg>` elements as `recsim_lab.reporting.svg.inline_svg` makes them and are trusted as
    they are. `alt` says in words what a reader who can't see the figure should know. `small` panels stand three in
    a row; `notes`, if any, has a sentence for each panel; `legend` is said once for all.
    """

    panels: tuple[str, ...]
    caption: str
    alt: str
    notes: tuple[str, ...] = ()
    legend: tuple[Key, ...] = ()
    small: bool = False

    def __post_init__(self) -> None:
        if self.notes and len(self.notes) != len(self.panels):
            raise ValueError(f"notes must be one for each of {len(self.panels)} panels, got {len(self.notes)}")
        if not self.panels:
            raise ValueError("panels must hold at least one SVG, got none")
        for panel in self.panels:
            if not panel.startswith("<svg"):
                raise ValueError(f"panels must be <svg> elements, got {panel[:40]!r}")
        if not self.alt.strip():
            raise ValueError(f"alt must say what the figure shows, got {self.alt!r}")


@dataclass(frozen=True)
class Cell:
    """A value of a table as it is written, the ends of its interval, and whether it is a difference that could be
    chance."""

    text: str
    ends: str = ""
    unsure: bool = False


@dataclass(frozen=True)
class Table:
    """A data frame without its index; columns `online/...` and `offline/...` get names in words.

    `formats` gives format specifications by column, such as `{"auc": ".3f", "users": ",d"}`; other numbers
    have three decimals if they are fractional. Missing values show as a dash. Values that are `Estimate`s show their
    interval below. `numbers` names columns of words that are sorted by the number they begin with.
    """

    frame: pandas.DataFrame
    caption: str
    formats: Mapping[str, str] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("formats", "numbers"):
            unknown = [column for column in getattr(self, name) if column not in self.frame.columns]
            if unknown:
                raise ValueError(f"{name} must name columns of the frame ({list(self.frame.columns)}), got {unknown}")

    @property
    def headers(self) -> list[tuple[str, bool]]:
        """Each column's name and whether it holds numbers (and so is set flush right)."""
        columns = self.frame.columns
        numeric = [
            name in self.numbers
            or pandas.api.types.is_numeric_dtype(self.frame.dtypes.iloc[place])
            or (len(self.frame) > 0 and all(isinstance(value, Estimate) for value in self.frame.iloc[:, place]))
            for place, name in enumerate(columns)
        ]
        return [(column_name(str(column)), is_number) for column, is_number in zip(columns, numeric, strict=True)]

    @property
    def rows(self) -> list[list[Cell]]:
        """Every value as it is written, row by row, with what stands below it."""
        told = zip(self.cells, self.frame.itertuples(index=False, name=None), strict=True)
        return [[_cell(text, value) for text, value in zip(texts, row, strict=True)] for texts, row in told]

    @property
    def cells(self) -> list[list[str]]:
        """Every value as it is written, row by row."""
        columns = [
            [format_cell(value, self.formats.get(name)) for value in self.frame.iloc[:, place]]
            for place, name in enumerate(self.frame.columns)
        ]
        return [list(row) for row in zip(*columns, strict=True)]


def _cell(text: str, value: object) -> Cell:
    if not isinstance(value, Estimate):
        return Cell(text)
    return Cell(text, value.ends, value.is_difference and not value.sure)


def format_cell(value: object, specification: str | None = None) -> str:
    """One value of a table as text; `specification` is Python's format specification for it."""
    if value is None or value is pandas.NA or value is pandas.NaT or (isinstance(value, Real) and value != value):
        return MISSING
    if isinstance(value, Estimate):
        return value.text
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


@dataclass(frozen=True)
class Details:
    """Blocks under a line that says what they are, folded away unless `unfolded`."""

    title: str
    blocks: "tuple[Block, ...]"
    unfolded: bool = False

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise ValueError(f"title must not be empty, got {self.title!r}")


Block = Figure | Table | KeyNumbers | Details


@dataclass(frozen=True)
class Section:
    """A heading, some text, and what follows it.

    In `text` a blank line parts paragraphs and backticks set code; all else is shown as written. The contents leave it
    out unless `listed`.
    """

    title: str
    text: str = ""
    blocks: tuple[Block, ...] = ()
    listed: bool = True

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise ValueError(f"title must not be empty, got {self.title!r}")
        for block in self.blocks:
            if not isinstance(block, Block):
                raise ValueError(f"blocks must be Figure, Table, KeyNumbers or Details, got {type(block).__name__}")
