"""Finds the files of a data set in a folder or a zip archive, and says exactly what is wrong with them."""

import io
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

_LONGEST_QUOTE = 120  # characters of a faulty line that are worth showing

# What the standard library raises on an archive that is damaged, encrypted or packed in an unknown way.
_ARCHIVE_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)


@final
class DataFileError(ValueError):
    """A data file isn't what its layout promises.

    `line` counts from 1 and is None where the whole file is meant.
    """

    def __init__(self, file: str, line: int | None, expected: str, found: str) -> None:
        super().__init__(file, line, expected, found)
        self.file = file
        self.line = line
        self.expected = expected
        self.found = found if len(found) <= _LONGEST_QUOTE else f"{found[:_LONGEST_QUOTE]}..."

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{place}: expected {self.expected}, found {self.found}"


@final
@dataclass(frozen=True)
class DataFile:
    """The bytes of one file, with the name that messages give it."""

    name: str
    content: bytes

    def text(self, encoding: str) -> str:
        """The whole file decoded; raises `DataFileError` at the line of the first byte that can't be."""
        try:
            return self.content.decode(encoding)
        except UnicodeDecodeError as error:
            line = self.content.count(b"\n", 0, error.start) + 1
            byte = self.content[error.start]
            raise self.fault(line, f"text in {encoding}", f"the byte 0x{byte:02x}") from None

    def lines(self, encoding: str) -> Iterator[tuple[int, str]]:
        """Number (from 1) and text of every line that isn't empty; ends of line may be those of any system."""
        for number, line in enumerate(io.StringIO(self.text(encoding), newline=None), start=1):
            if line != "\n":
                yield number, line.removesuffix("\n")

    def fault(self, line: int | None, expected: str, found: str) -> DataFileError:
        return DataFileError(self.name, line, expected, found)


class Source(ABC):
    """A place that holds files, among them those of a data set."""

    @abstractmethod
    def names(self) -> list[str]:
        """Files at the top and one folder deep, as `file` or `folder/file`, sorted."""

    @abstractmethod
    def read(self, name: str) -> DataFile: ...


@final
@dataclass(frozen=True)
class Folder(Source):
    path: Path

    def names(self) -> list[str]:
        top = list(self.path.iterdir())
        files = [entry for entry in top if entry.is_file()]
        files += [entry for folder in top if folder.is_dir() for entry in folder.iterdir() if entry.is_file()]
        return sorted(entry.relative_to(self.path).as_posix() for entry in files)

    def read(self, name: str) -> DataFile:
        return DataFile(str(self.path / name), (self.path / name).read_bytes())


@final
@dataclass(frozen=True)
class Archive(Source):
    path: Path

    def names(self) -> list[str]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = archive.namelist()
        except _ARCHIVE_FAULTS as error:
            raise self._damaged(error) from error
        return sorted(name for name in members if name.count("/") <= 1 and not name.endswith("/"))

    def read(self, name: str) -> DataFile:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return DataFile(f"{self.path}:{name}", archive.read(name))
        except _ARCHIVE_FAULTS as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DataFileError:
        return DataFileError(str(self.path), None, "an intact zip archive", f"a damaged one ({error})")


def open_source(path: str | os.PathLike[str]) -> Source:
    """The folder or zip archive at `path`; raises `FileNotFoundError` or `DataFileError` where it is neither."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    if path.is_dir():
        return Folder(path)
    if zipfile.is_zipfile(path):
        return Archive(path)
    if path.suffix.lower() == ".zip":
        raise DataFileError(str(path), None, "an intact zip archive", "a damaged or unfinished one")
    raise DataFileError(str(path), None, "a folder or a zip archive", "a file that is neither")


def read_layout(
    path: str | os.PathLike[str], layouts: Mapping[str, tuple[str, ...]], origin: str
) -> tuple[str, dict[str, DataFile]]:
    """Name and files of the one layout that is whole at `path`: at its top or, failing that, in a folder of it.

    `layouts` maps a layout's name to the names of its files; `origin` says where the data set can be had.
    Raises `FileNotFoundError` where no layout is whole, `DataFileError` where more than one is.
    """
    source = open_source(path)
    folders: dict[str, dict[str, str]] = {"": {}}
    for name in source.names():
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, {})[file] = name
    whole = [
        (layout, folder)
        for folder, files in folders.items()
        for layout, wanted in layouts.items()
        if set(wanted) <= files.keys()
    ]
    whole = [found for found in whole if not found[1]] or whole
    if not whole:
        wanted = "; ".join(f"{layout} ({', '.join(files)})" for layout, files in layouts.items())
        nearest = _nearest(folders, layouts)
        raise FileNotFoundError(
            f"no whole data set in {path}, nor one folder deep; looked for {wanted}{nearest}; {origin}"
        )
    if len(whole) > 1:
        found = ", ".join(f"{layout} in {folder or 'the top folder'}" for layout, folder in whole)
        raise DataFileError(str(path), None, "one data set", f"{len(whole)}: {found}")
    layout, folder = whole[0]
    return layout, {file: source.read(folders[folder][file]) for file in layouts[layout]}


def _nearest(folders: dict[str, dict[str, str]], layouts: Mapping[str, tuple[str, ...]]) -> str:
    """What the most nearly whole layout lacks, as the end of a message; empty where no file of any is there."""
    lacks = [
        (len(missing) / len(wanted), layout, missing)
        for files in folders.values()
        for layout, wanted in layouts.items()
        if (missing := [file for file in wanted if file not in files]) != list(wanted)
    ]
    if not lacks:
        return ""
    _, layout, missing = min(lacks)
    return f"; of {layout}, {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"


def dataset_path(name: str) -> Path | None:
    """`name` inside the folder that the environment variable RECSIM_DATA names; None where either isn't there."""
    root = os.environ.get("RECSIM_DATA")
    if not root:
        return None
    path = Path(root) / name
    return path if path.exists() else None
