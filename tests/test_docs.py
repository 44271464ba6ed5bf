"""docs/model.md tells the truth about `everyday`: every value it names, and no parameter left out."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from recsim_lab.simulation.presets.everyday import everyday

DOCUMENT = Path(__file__).parents[1] / "docs" / "model.md"
FITTED = {"MultinomialLogit.no_click": "by bisection"}
"""What has no default because the world computes it."""


def documented() -> list[tuple[str, str]]:
    """Pairs of name in code and default, from the second and fifth columns of the tables."""
    pairs = []
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 6 and "`" in cells[1]:
            pairs += [(name, cells[4]) for name in re.findall(r"`([\w.]+)`", cells[1])]
    return pairs


def in_code() -> dict[str, Any]:
    """The numbers of the world that `everyday()` builds, and of its signature."""
    world = everyday(num_users=20, num_items=30, days=2)
    choice: Any = world.choice
    parts: list[Any] = [world, world.utility, choice, choice.examination, world.feedback, *world.dynamics]
    values = {
        f"{type(part).__name__}.{name}": value
        for part in parts
        for name, value in _numbers(part)
        if f"{type(part).__name__}.{name}" not in FITTED
    }
    signature = inspect.signature(everyday).parameters
    return values | {f"everyday.{name}": parameter.default for name, parameter in signature.items()} | FITTED


def _numbers(part: Any) -> Iterator[tuple[str, float]]:
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, (int, float)):
            yield field.name, value


CODE = in_code()


@pytest.mark.parametrize(("name", "default"), documented())
def test_defaults_are_those_of_the_code(name: str, default: str) -> None:
    assert name in CODE, f"{name} is no parameter of everyday() or of a part of its world"
    value = CODE[name]
    assert default == value if isinstance(value, str) else float(default) == value


def test_no_parameter_is_left_out() -> None:
    names = [name for name, _ in documented()]
    assert sorted(names) == sorted(CODE)
