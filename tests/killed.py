"""Runs that stop where they are told to: killed on a chosen day of a platform, or interrupted at a chosen file.

A process kills itself, so that it never dies too late to show anything.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


@contextmanager
def interrupted_at(move_number: int) -> Iterator[None]:
    """Within, KeyboardInterrupt is raised in place of this move of a file to its place, counted from 0."""
    move, moves = os.replace, 0

    def replace(source: Any, target: Any) -> None:
        nonlocal moves
        if moves == move_number:
            raise KeyboardInterrupt
        moves += 1
        move(source, target)

    with mock.patch.object(os, "replace", replace):
        yield


def die_on_day(day: int, seconds: float) -> None:
    """From now on: die `seconds` after the checkpoint of this many days is there, or just before the next one is.

    What would have been written after that moment is lost, as with any `kill -9`.
    """
    move = os.replace

    def replace(source: Any, target: Any) -> None:
        days_done = int(Path(source).read_text().removeprefix("day=")) if Path(target).name == "latest" else -1
        if days_done > day:
            die()
        move(source, target)
        if days_done == day:
            timer = threading.Timer(seconds, die)
            timer.daemon = True
            timer.start()

    os.replace = replace  # type: ignore[assignment]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
