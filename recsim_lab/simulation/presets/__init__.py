"""Named worlds: each is a short function that composes parts, imported when it is asked for."""

import importlib
import inspect
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
    "sardine-topk-bored": ("sardine", "sardine_topk_bored"),
}
"""Name of each preset: the module beside this file and the function in it."""


def make_world(name: str, **parameters: Any) -> World:
    """The world of this name, with some of its function's parameters replaced.

    Raises:
        ValueError: for an unknown name or parameter, naming those there are.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
    module, function_name = PRESETS[name]
    function = getattr(importlib.import_module(f"{__name__}.{module}"), function_name)
    accepted = inspect.signature(function).parameters
    if unknown := sorted(set(parameters) - set(accepted)):
        raise ValueError(f"preset {name!r} has no parameter {unknown[0]!r}; there are {', '.join(accepted)}")
    for parameter, value in parameters.items():
        if accepted[parameter].annotation is int and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise ValueError(f"{parameter} of preset {name!r} must be a whole number, got {value!r}")
    if parameters.get("seed", 0) < 0:
        raise ValueError(f"seed of preset {name!r} must be at least 0, got {parameters['seed']}")
    return function(**parameters)
