"""Tables of numbers: the bulk reader agrees with a literal one, on sound files and on the first fault of others."""

import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsim_lab.datasets import DataFileError
from recsim_lab.datasets.files import DataFile
from recsim_lab.datasets.tables import NumberTable

COLUMNS = {"user": int, "rating": float}
SOUND = "12{0}3.5\n-7{0}.25\n\n0{0}1e2\r\n 4 {0}5"


def literal(content: str, separator: str):
    """Rows, or the number of the first line that is at fault; slow and plain."""
    rows = []
    for number, line in enumerate(re.split("\r\n|\r|\n", content), start=1):
        if line == "":
            continue
        fields = [field.strip(" \t") for field in line.split(separator)]
        if len(fields) != 2 or not re.fullmatch("-?[0-9]{1,19}", fields[0]):
            return number
        if not -(2**63) <= int(fields[0]) < 2**63:
            return number
        if not re.fullmatch(r"(?i)[-+]?(nan|inf|([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?)", fields[1]):
            return number
        rows.append((int(fields[0]), float(fields[1])))
    return rows


def assert_reads_as_literal(content: str, separator: str) -> None:
    table = NumberTable(separator, has_header=False, columns=COLUMNS)
    expected = literal(content, separator)
    try:
        numbers = table.read(DataFile("file", content.encode("latin-1")))
    except DataFileError as error:
        assert error.line == expected if isinstance(expected, int) else expected == []
    else:
        found = list(zip(numbers.columns["user"].tolist(), numbers.columns["rating"].tolist(), strict=True))
        np.testing.assert_array_equal(np.array(found), np.array(expected))


@pytest.mark.parametrize("separator", [",", "\t", "|", "::"])
def test_a_sound_file(separator):
    content = SOUND.format(separator)
    if separator != "\t":
        assert len(literal(content, separator)) == 4
    assert_reads_as_literal(content, separator)


@settings(max_examples=400, deadline=None)
@given(
    separator=st.sampled_from([",", "|", "::"]),
    edits=st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from("0123456789 \t\x1f.,:|-+e\n\r\"'#_xnaif\x00\x0b\xa0\xff"),
            st.booleans(),
        ),
        max_size=4,
    ),
)
@example(separator="::", edits=[(2, ":", False)])
@example(separator=",", edits=[(0, "x", True), (0, "0", True)])
@example(separator=",", edits=[(0, "\xff", True)])
@example(separator=",", edits=[(0, "1234567890123456789", True)])
@example(separator=",", edits=[(0, "12345678901234567", True), (21, "", False)])
@example(separator=",", edits=[(6, "1e999", False)])
@example(separator=",", edits=[(3, "infinity", False)])
@example(separator=",", edits=[(3, "nan(1)", False)])
def test_edited_files_read_as_the_literal_reader_reads_them(separator, edits):
    characters = list(SOUND.format(separator))
    for place, character, inserted in edits:
        place = min(place, len(characters) - 1)
        characters[place : place if inserted else place + 1] = [character]
    assert_reads_as_literal("".join(characters), separator)


def test_not_a_number_and_infinity_are_left_to_the_caller():
    numbers = NumberTable(",", has_header=False, columns=COLUMNS).read(DataFile("file", b"1,nan\n2,-inf\n"))
    assert math.isnan(numbers.columns["rating"][0]) and numbers.columns["rating"][1] == -math.inf


@pytest.mark.parametrize("has_header", [False, True])
def test_a_row_knows_its_line(has_header):
    header = "user,rating" if has_header else ""
    content = f"{header}\n\n1,2\r\n\r\n3,4\n".encode()
    numbers = NumberTable(",", has_header=has_header, columns=COLUMNS).read(DataFile("file", content))
    assert [numbers.line_number(row) for row in (0, 1)] == [3, 5]
    assert str(numbers.fault(1, "more", "4")) == "file, line 5: expected more, found 4"
