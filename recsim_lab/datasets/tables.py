"""Reads delimited text: numbers in bulk, other records one by one, faults by line.

A million rows of numbers go through Arrow's reader. It doesn't name the line that it refuses, so a refused file
is read again, line by line, for its first fault.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import final

import numpy as np
import pyarrow
import pyarrow.csv
from jaxtyping import Shaped

from recsim_lab.datasets.files import DataFile, DataFileError

A = np.ndarray

_PATTERNS = {
    int: re.compile(r"[ \t]*-?[0-9]{1,19}[ \t]*"),
    float: re.compile(r"[ \t]*[-+]?(nan|inf|([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?)[ \t]*", re.IGNORECASE),
}
# Arrow also takes such things as 0x1F and nan(1), so a file with any other character is checked line by line.
_PLAIN = b"0123456789+-.eE \t\r\n"
_KINDS = {int: "an integer", float: "a number"}


@final
@dataclass(frozen=True)
class Numbers:
    """The rows of a file of numbers, as int64 and float64 columns by name, and where each row came from."""

    file: DataFile
    columns: dict[str, Shaped[A, " rows"]]
    num_headers: int

    def line_number(self, row: int) -> int:
        """The line of the file that holds the row; reads the file again, so it is meant for faults."""
        numbers = (number for number, _ in self.file.lines("latin-1"))
        return next(islice(numbers, row + self.num_headers, None))

    def fault(self, row: int, expected: str, found: str) -> DataFileError:
        return self.file.fault(self.line_number(row), expected, found)


@final
@dataclass(frozen=True)
class NumberTable:
    """Layout of a file of numbers: one record a line, a header line or none, and the columns as name to type."""

    separator: str
    has_header: bool
    columns: Mapping[str, type[int] | type[float]]

    def read(self, file: DataFile) -> "Numbers":
        """All rows, empty lines skipped; raises `DataFileError` at the first fault.

        A float may be NaN or infinite where the file says so: ranges are the caller's to check.
        """
        file = DataFile(file.name, file.content.removeprefix(codecs.BOM_UTF8))
        if not file.content.strip():
            raise file.fault(None, f"lines of {self.separator.join(self.columns)}", "an empty file")
        self._check_header(file)
        _, _, body = file.content.partition(b"\n") if self.has_header else (b"", b"", file.content)
        if not body.strip():
            raise file.fault(None, f"lines of {self.separator.join(self.columns)}", "a header alone")
        if body.translate(None, _PLAIN + self.separator.encode()):
            self._check_lines(file)
        try:
            columns = self._read_in_bulk(body)
        except pyarrow.ArrowInvalid as error:
            self._check_lines(file)
            expected = f"lines of {self.separator.join(self.columns)}"
            raise file.fault(None, expected, f"what Arrow refuses ({error})") from None
        return Numbers(file, columns, num_headers=int(self.has_header))

    def _check_header(self, file: DataFile) -> None:
        if not self.has_header:
            return
        expected = self.separator.join(self.columns)
        first, _, _ = file.content.partition(b"\n")
        if first.rstrip(b"\r") != expected.encode():
            raise file.fault(1, f"the header {expected!r}", repr(first.decode("latin-1")))

    def _read_in_bulk(self, content: bytes) -> dict[str, Shaped[A, " rows"]]:
        delimiter = self.separator
        if len(delimiter) > 1:  # Arrow knows delimiters of one character only; no checked file holds this one
            delimiter = "\x1f"
            content = content.replace(self.separator.encode(), delimiter.encode())
        types = {int: pyarrow.int64(), float: pyarrow.float64()}
        table = pyarrow.csv.read_csv(
            pyarrow.BufferReader(content),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=list(self.columns)),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: types[kind] for name, kind in self.columns.items()}, null_values=[]
            ),
        )
        return {name: table[name].to_numpy() for name in self.columns}

    def _check_lines(self, file: DataFile) -> None:
        names = list(self.columns)
        for line, text in islice(file.lines("latin-1"), int(self.has_header), None):
            fields = text.split(self.separator)
            if len(fields) != len(names):
                raise wrong_fields(file, line, fields, names, self.separator)
            for field, (name, kind) in zip(fields, self.columns.items(), strict=True):
                if not _is_number(field, kind):
                    raise file.fault(line, f"{_KINDS[kind]} as {name}", repr(field))


def separated_records(
    file: DataFile, separator: str, columns: tuple[str, ...], encoding: str
) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every record of a file without a header, as many fields as there are columns."""
    for line, text in file.lines(encoding):
        fields = text.split(separator)
        if len(fields) != len(columns):
            raise wrong_fields(file, line, fields, columns, separator)
        yield line, fields


def csv_records(file: DataFile, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """First line number and fields of every record below the header; UTF-8, fields with commas in double quotes."""
    reader = csv.reader(io.StringIO(file.text("utf-8-sig"), newline=""), strict=True)
    line, header_seen = 1, False
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise file.fault(line, "comma-separated values", f"a record that isn't ({error})") from None
        if not header_seen:
            header_seen = True
            if fields != list(columns):
                raise file.fault(line, f"the header {','.join(columns)!r}", repr(",".join(fields)))
        elif fields:
            if len(fields) != len(columns):
                raise wrong_fields(file, line, fields, columns, ",")
            yield line, fields
        line = reader.line_num + 1


def parse_integer(file: DataFile, line: int, name: str, field: str) -> int:
    """The field as an integer; raises `DataFileError` where it is none."""
    if not _is_number(field, int):
        raise file.fault(line, f"{_KINDS[int]} as {name}", repr(field))
    return int(field)


def _is_number(field: str, kind: type[int] | type[float]) -> bool:
    if not _PATTERNS[kind].fullmatch(field):
        return False
    return kind is float or -(2**63) <= int(field) < 2**63


def wrong_fields(
    file: DataFile, line: int, fields: list[str], columns: tuple[str, ...] | list[str], separator: str
) -> DataFileError:
    """The error for a line with too few or too many fields."""
    expected = f"{len(columns)} fields ({separator.join(columns)})"
    return file.fault(line, expected, f"{len(fields)}: {separator.join(fields)!r}")
