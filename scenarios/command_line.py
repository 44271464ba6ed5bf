"""A scenario's command line: a profile, whose values its options replace, and a display of progress."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

Config = TypeVar("Config")
console = Console()


def parse(profiles: Mapping[str, Config], description: str) -> Config:
    """The config of `python -m scenarios.<name> [profile] [--option value ...]`; the first profile is the default."""
    arguments = sys.argv[1:]
    default = next(iter(profiles))
    if not arguments or (arguments[0] not in profiles and arguments[0] not in ("-h", "--help")):
        arguments = [default, *arguments]
    kinds = tyro.extras.subcommand_type_from_defaults(dict(profiles))
    return tyro.cli(kinds, args=arguments, description=description)


class Counter:
    """Says how many pieces of work are done, and which was the last."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, last="starting")

    def __call__(self, last: str, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total, last=last)


@contextmanager
def counting(title: str) -> Iterator[Counter]:
    """A live line with a bar, the count, the time passed and the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}", style="dim"),
    )
    with Progress(*columns, console=console) as progress:
        yield Counter(progress, title)


def show_table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    table = RichTable(title=title, title_justify="left")
    for place, name in enumerate(header):
        # Where the terminal is narrow, names give way and numbers do not.
        width = max((Text.from_markup(row[place]).cell_len for row in rows), default=0)
        if place == 0:
            table.add_column(name, min_width=12)
        else:
            table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for row in rows:
        table.add_row(*row)
    console.print(table)
