"""docs/model.md tells the truth about `everyday` and `lts`: every value it names, and no parameter left out."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from recsim_lab.simulation.presets.everyday import everyday
from recsim_lab.simulation.presets.long_term_satisfaction import long_term_satisfaction
from recsim_lab.simulation.world import World

DOCUMENT = (Path(__file__).parents[1] / "docs" / "model.md").read_text()
LTS_HEADING = "## Long-term satisfaction"
FITTED = {"MultinomialLogit.no_click": "by bisection"}
"""What has no default because the world computes it."""


def documented(text: str) -> list[tuple[str, str]]:
    """Pairs of name in code and default, from the second and fifth columns of the tables."""
    pairs = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 6 and "`" in cells[1]:
            pairs += [(name, cells[4]) for name in re.findall(r"`([\w.]+)`", cells[1])]
    return pairs


def in_code(preset: Callable[..., World], world: World, *parts: Any) -> dict[str, Any]:
    """The numbers of these parts of the world, of its feedback and dynamics, and of the preset's signature."""
    values = {
        f"{type(part).__name__}.{name}": value
        for part in [*parts, world.feedback, *world.dynamics]
        for name, value in _numbers(part)
    }
    signature = inspect.signature(preset).parameters
    return values | {f"{preset.__name__}.{name}": parameter.default for name, parameter in signature.items()}


def _numbers(part: Any) -> Iterator[tuple[str, float]]:
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, (int, float)):
            yield field.name, value


def everyday_in_code() -> dict[str, Any]:
    world = everyday(num_users=20, num_items=30, days=2)
    choice: Any = world.choice
    return in_code(everyday, world, world, world.utility, choice, choice.examination) | FITTED


def lts_in_code() -> dict[str, Any]:
    world = long_term_satisfaction(num_users=20, num_items=30)
    own = {name: getattr(world, name) for name in ("num_slots", "session_steps", "clickbait_harm")}
    return in_code(long_term_satisfaction, world) | {f"World.{name}": value for name, value in own.items()}


EVERYDAY_TEXT, LTS_TEXT = DOCUMENT.split(LTS_HEADING)
PAGES = [
    ("everyday", documented(EVERYDAY_TEXT), everyday_in_code()),
    ("lts", documented(LTS_TEXT), lts_in_code()),
]


@pytest.mark.parametrize(
    ("name", "default", "code"),
    [pytest.param(*pair, code, id=f"{world}-{pair[0]}") for world, pairs, code in PAGES for pair in pairs],
)
def test_defaults_are_those_of_the_code(name: str, default: str, code: dict[str, Any]) -> None:
    assert name in code, f"{name} is no parameter of the world or of one of its parts"
    value = code[name]
    assert default == value if isinstance(value, str) else float(default) == value


@pytest.mark.parametrize(("pairs", "code"), [page[1:] for page in PAGES], ids=[page[0] for page in PAGES])
def test_no_parameter_is_left_out(pairs: list[tuple[str, str]], code: dict[str, Any]) -> None:
    assert sorted(name for name, _ in pairs) == sorted(code)
