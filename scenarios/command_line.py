"""A scenario's command line: a profile, whose values its options replace, and a display of progress."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from recsim_lab.evaluation.run_folder import RunFolder

Config = TypeVar("Config")
console = Console(width=None if sys.stdout.isatty() else 120)  # a file has no width of its own

_SECONDS_OF_SPEED = 600.0
"""The time left is told from as many seconds past: pieces of work differ."""
_WIDEST_NUMBERS = 24
"""Characters, of an estimate with its interval."""
_SECONDS_BETWEEN_LINES = 60.0
"""Where the output is no terminal, so that a live line cannot be seen."""


def parse(profiles: Mapping[str, Config], description: str) -> Config:
    """The config of `python -m scenarios.<name> [profile] [--option value ...]`; the first profile is the default."""
    arguments = sys.argv[1:]
    default = next(iter(profiles))
    if arguments and not arguments[0].startswith("-") and arguments[0] not in profiles:
        with plain_errors():
            raise ValueError(f"unknown profile {arguments[0]!r}; there are {', '.join(profiles)}")
    profile = arguments.pop(0) if arguments and arguments[0] in profiles else default
    others = ", ".join(f"`{name}`" for name in profiles if name != profile)
    description += f" Options replace the values of the profile `{profile}`"
    description += f"; name another first to start from its values: {others}." if others else "."
    program = f"python -m {getattr(sys.modules['__main__'].__spec__, 'name', 'scenarios')}"
    config = profiles[profile]
    return tyro.cli(type(config), default=config, prog=program, args=arguments, description=description)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Say what is wrong with the input in one line, and stop."""
    try:
        yield
    except (ValueError, OSError) as error:
        console.print(f"[bold red]error:[/bold red] {escape(str(error))}", soft_wrap=True)
        raise SystemExit(2) from None


def run_folder(scenario: str, name: str) -> RunFolder:
    """The folder of a run.

    Raises:
        ValueError: if the name is not one of a folder.
    """
    if not name or Path(name).name != name:
        raise ValueError(f"name must be a folder's name without separators, got {name!r}")
    return RunFolder(Path("runs") / scenario / name)


class Counter:
    """Says how many pieces of work are done, and which was the last."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, last="starting")
        self._told = time.monotonic()

    def __call__(self, last: str, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total, last=last)
        if not console.is_terminal and time.monotonic() - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            task = self._progress.tasks[self._task]
            passed, left = (
                "unknown" if seconds is None else timedelta(seconds=round(seconds))
                for seconds in (task.elapsed, task.time_remaining)
            )
            line = f"{task.description}: {done} of {total}, time {passed}, left {left}; {last}"
            console.print(line, soft_wrap=True, markup=False, highlight=False)


@contextmanager
def counting(title: str) -> Iterator[Counter]:
    """A live line with a bar, the count, the time passed and the time left, or a line a minute where the output is no
    terminal; an interrupt ends the program."""
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        # Of all columns this one gives way in a narrow terminal.
        TextColumn("{task.fields[last]}", style="dim", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    try:
        with Progress(*columns, console=console, expand=True, speed_estimate_period=_SECONDS_OF_SPEED) as progress:
            yield Counter(progress, title)
    except KeyboardInterrupt:
        console.print("stopped")
        raise SystemExit(130) from None


def show_table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table; the first column is text, and so is one that is too wide for numbers."""
    table = RichTable(title=title, title_justify="left")
    for place, name in enumerate(header):
        # Where the terminal is narrow, text gives way and numbers do not.
        lines = [line for row in rows for line in row[place].split("\n")]
        width = max((Text.from_markup(line).cell_len for line in lines), default=0)
        if place == 0 or width > _WIDEST_NUMBERS:
            table.add_column(name, min_width=12, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for row in rows:
        table.add_row(*row)
    console.print(table)
