"""An agent here is a dataclass: its parameters are what it is made with, its other fields what it has learned."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.policy import Agent, Observation

A = np.ndarray

LOWEST = np.float32(-1e9)
"""The score of items that an agent has no ground to judge: finite, and below all others."""


@dataclass(eq=False)
class ArrayAgent(Agent):
    """Names, saves and loads an agent by its fields.

    Fields that `__init__` takes are parameters. All others are what was learned, each made by `learned()`.
    `seed` is a parameter of the run, not of the agent, and stays out of its name.
    """

    family: ClassVar[str]

    @property
    def parameters(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    @property
    def name(self) -> str:
        """The family and the parameters that differ from their defaults, as `agents.registry` reads them."""
        changed = [
            f"{f.name}={_text(getattr(self, f.name))}"
            for f in fields(self)
            if f.init and f.name != "seed" and getattr(self, f.name) != f.default
        ]
        return self.family + (":" + ",".join(changed) if changed else "")

    def save(self, path: Path) -> None:
        """Write parameters and learned arrays as one .npz file, whatever the ending of `path`."""
        state = {name: getattr(self, name) for name in self._learned()}
        write_arrays(path, {"_agent": np.array(self._description())} | state)

    def load(self, path: Path) -> None:
        """Take over what `save` wrote.

        Raises:
            ValueError: if the file holds an agent of another family or with other parameters.
        """
        with np.load(path, allow_pickle=False) as arrays:
            saved = str(arrays["_agent"]) if "_agent" in arrays else "no agent"
            if saved != self._description():
                raise ValueError(f"{path} must hold the agent {self._description()}, got {saved}")
            for name in self._learned():
                setattr(self, name, arrays[name])

    def _learned(self) -> list[str]:
        return [f.name for f in fields(self) if not f.init]

    def _description(self) -> str:
        return json.dumps({"family": self.family} | self.parameters)


def learned(num_axes: int, dtype: type[np.generic] = np.float32) -> Any:
    """A field that `learn` fills: an array that is empty as long as nothing was learned."""
    return field(init=False, repr=False, default_factory=lambda: np.zeros((0,) * num_axes, dtype))


def write_arrays(path: Path, arrays: Mapping[str, A]) -> None:
    """Write an .npz file that appears whole or not at all."""
    scratch = path.with_name(path.name + ".partial")
    with open(scratch, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(scratch, path)


def indifferent(observation: Observation, items: Int[A, "rows candidates"] | None) -> Float32[A, "rows candidates"]:
    """The scores of an agent that has learned nothing: all equal, so that items come in order of their id."""
    num_candidates = observation.features.num_items if items is None else items.shape[1]
    return np.zeros((len(observation), num_candidates), np.float32)


def check_catalogue(num_known: int, observation: Observation) -> None:
    """Raise ValueError where requests are about another catalogue than the log that was learned from."""
    if num_known != observation.features.num_items:
        raise ValueError(
            f"observations must be of the catalogue of {num_known} items that was learned from, "
            f"got one of {observation.features.num_items}"
        )


def _text(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value).lower()
