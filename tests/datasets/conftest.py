"""Small MovieLens folders in each official layout, written by hand."""

from pathlib import Path

import pytest

CSV = {
    "ratings.csv": [
        "userId,movieId,rating,timestamp",
        "7,30,4.0,300",
        "7,10,0.5,100",
        "2,30,5.0,100",
        "2,20,3.5,200",
    ],
    "movies.csv": [
        "movieId,title,genres",
        '30,"Matter, A Grave (1994)",Drama|Comedy',
        "10,Misérables (Les) (1998),Drama",
        "20,Long Series (2007-),(no genres listed)",
        "40,Nameless,Action",
    ],
}
ITEM_TAIL = "|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0"
ML_100K = {
    "u.data": ["7\t30\t4\t300", "7\t10\t1\t100", "2\t30\t5\t100", "2\t20\t3\t200"],
    "u.item": [
        "10|Misérables (Les) (1995)|01-Jan-1998||http://x|0|0|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0",
        "20|For Video|14-Feb-1997||http://x|0|1|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0",
        "30|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0",
    ],
    "u.user": ["2|24|M|technician|85711", "7|7|F|other|T8H1N", "9|56|F|writer|05201"],
}
ML_1M = {
    "ratings.dat": ["7::30::4::300", "7::10::1::100", "2::30::5::100", "2::20::3::200"],
    "movies.dat": [
        "10::Misérables: Les (1998)::Drama",
        "20::Two, Three (1961)::Action|Children's",
        "30::2001 (1968)::Sci-Fi",
    ],
    "users.dat": ["2::M::25::15::55117", "7::F::1::10::48067", "9::F::56::20::70072"],
}
LAYOUTS = {"csv": CSV, "100k": ML_100K, "1m": ML_1M}


def write_layout(folder: Path, layout: str, **changed: str | None) -> Path:
    """Writes the layout's files; `changed` gives other bytes (latin-1 text) for a file, or None to leave it out.

    Names in `changed` have `_` for the dot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoding = "utf-8" if layout == "csv" else "latin-1"
    for name, lines in LAYOUTS[layout].items():
        content = ("\n".join(lines) + "\n").encode(encoding)
        key = name.replace(".", "_")
        if key in changed:
            text = changed[key]
            if text is None:
                continue
            content = text.encode(encoding)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def write(tmp_path: Path):
    """`write(layout, **changed)` puts a layout into a folder of its own and returns the folder."""
    return lambda layout, **changed: write_layout(tmp_path / layout, layout, **changed)


@pytest.fixture
def replace_line(tmp_path: Path):
    """`replace_line(layout, file, line, text)` writes a layout with one line of one file changed."""

    def replaced(layout: str, file: str, line: int, text: str) -> Path:
        lines = list(LAYOUTS[layout][file])
        lines[line - 1] = text
        return write_layout(tmp_path / layout, layout, **{file.replace(".", "_"): "\n".join(lines) + "\n"})

    return replaced
