"""Named worlds: each is a short function that composes parts, imported when it is asked for."""

import importlib
import inspect
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from recsim_lab.simulation.world import World

PRESETS = {
    "everyday": ("everyday", "everyday"),
    "static": ("everyday", "static"),
    "movielens": ("movielens", "movielens"),
    "reclab-topics-static": ("reclab", "reclab_topics_static"),
    "reclab-topics-dynamic": ("reclab", "reclab_topics_dynamic"),
    "recsim-interest-evolution": ("recsim", "recsim_interest_evolution"),
    "lts": ("long_term_satisfaction", "long_term_satisfaction"),
    "lts-dilemma": ("long_term_satisfaction", "long_term_satisfaction_dilemma"),
    "sardine-topk-bored": ("sardine", "sardine_topk_bored"),
}
"""Name of each preset: the module beside this file and the function in it."""


def make_world(name: str, **parameters: Any) -> World:
    """The world of this name, with some of its function's parameters replaced.

    They may also stand in the name: `everyday:features=0,intent=0`.

    Raises:
        ValueError: for an unknown name or parameter, naming those there are.
    """
    name, _, text = name.partition(":")
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
    module, function_name = PRESETS[name]
    function = getattr(importlib.import_module(f"{__name__}.{module}"), function_name)
    accepted = inspect.signature(function).parameters
    parameters = _parse(name, text, accepted) | parameters
    if unknown := sorted(set(parameters) - set(accepted)):
        raise ValueError(f"preset {name!r} has no parameter {unknown[0]!r}; there are {', '.join(accepted)}")
    for parameter, value in parameters.items():
        if accepted[parameter].annotation is int and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise ValueError(f"{parameter} of preset {name!r} must be a whole number, got {value!r}")
    if parameters.get("seed", 0) < 0:
        raise ValueError(f"seed of preset {name!r} must be at least 0, got {parameters['seed']}")
    return function(**parameters)


def _parse(name: str, text: str, accepted: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """The parameters of `features=0,intent=0`, as numbers; unknown names are left to be refused by the caller."""
    given: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key in given:
            raise ValueError(f"parameters of preset {name!r} must be given once, as key=value, got {part!r}")
        whole = key in accepted and accepted[key].annotation is int
        try:
            given[key] = int(value) if whole else float(value)
        except ValueError:
            kind = "a whole number" if whole else "a number"
            raise ValueError(f"{key} of preset {name!r} must be {kind}, got {value!r}") from None
    return given
