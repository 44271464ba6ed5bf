"""A fingerprint tells apart what was made differently, and nothing else."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from recsim_lab.platform.fingerprint import fingerprint


@dataclass
class Part:
    """One of each kind of value."""

    rate: float = 0.5
    label: str | None = "a"
    table: Any = field(default_factory=lambda: np.arange(6, dtype=np.float32).reshape(2, 3))
    inner: tuple[Any, ...] = ()
    names: dict[str, int] = field(default_factory=dict)
    learned: list[int] = field(default_factory=list, init=False)


class Opaque:
    """Not a dataclass; its representation holds an address."""


def test_equal_things_have_one_fingerprint() -> None:
    first, second = (Part(inner=(Part(), Opaque(), np.float64(1.5))) for _ in range(2))
    second.learned.append(1)
    second.inner[0].learned.append(2)
    assert fingerprint(first) == fingerprint(second)
    # As an array lies in memory makes no difference.
    assert fingerprint(np.asfortranarray(first.table)) == fingerprint(first.table)
    assert fingerprint(np.float64(0.25)) == fingerprint(0.25) == "0.25"


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 0.25},
        {"label": None},
        {"label": "None"},
        {"table": np.arange(6, dtype=np.float32).reshape(3, 2)},
        {"table": np.arange(6, dtype=np.int32).reshape(2, 3)},
        {"table": np.nextafter(np.arange(6, dtype=np.float32).reshape(2, 3), np.float32(9))},
        {"inner": (0,)},
        {"inner": (Part(inner=(Part(rate=0.1),)),)},
        {"inner": (Opaque(),)},
        {"inner": (Opaque,), "rate": 0.25},
        {"inner": tuple(range(1000))},
        {"inner": (*range(999), 0)},
        {"names": {"a": 1}},
        {"table": np.array([1, "a"], object)},
    ],
)
def test_any_difference_shows(change: dict[str, Any]) -> None:
    text = fingerprint(replace(Part(), **change))
    assert text != fingerprint(Part())
    assert len(text) < 300
    for other in ({"inner": (1,)}, {"inner": (*range(998), 0, 999)}, {"names": {"a": 2}}, {"rate": 0.26}):
        assert text != fingerprint(replace(Part(), **other))


def test_it_can_be_read() -> None:
    assert fingerprint((1, "a", [True, None])) == "tuple(1, 'a', list(True, None))"
    assert fingerprint(Part(inner=(Opaque(), np.sum))).endswith("inner=tuple(Opaque, sum), names=dict())")
    assert fingerprint(list(range(33))).startswith("list of 33 ")
