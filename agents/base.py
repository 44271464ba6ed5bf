"""An agent here is a dataclass: its parameters are what it is made with, its state what it has learned."""

import json
import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import numpy as np
from jaxtyping import Float32, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recsim_lab.policy import Agent, FeatureTable, Observation

A = np.ndarray

LOWEST = np.float32(-1e9)
"""The score of items that an agent has no ground to judge: finite, and below all others."""

_OF_THE_RUN = ("seed", "device")
"""Parameters of the run, not of the agent: they stay out of its name."""


@dataclass(eq=False)
class NamedAgent(Agent):
    """Names, saves and loads an agent by the fields that `__init__` takes, which are its parameters."""

    family: ClassVar[str]

    @abstractmethod
    def state(self) -> dict[str, A]:
        """All that was learned, as named arrays; empty as long as nothing was."""

    @abstractmethod
    def restore(self, state: Mapping[str, A]) -> None:
        """Take over what `state` gave."""

    @property
    def parameters(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    @property
    def name(self) -> str:
        """The family and the parameters that differ from their defaults, as `agents.registry` reads them.

        Those that the class itself declares come first.
        """
        changed = [
            f"{f.name}={as_text(getattr(self, f.name))}"
            for f in parameters_of(type(self))
            if getattr(self, f.name) != f.default
        ]
        return self.family + (":" + ",".join(changed) if changed else "")

    def save(self, path: Path | str) -> None:
        """Write parameters and state as one file in the safetensors format, whatever the ending of `path`."""
        write_arrays(path, self.state(), self._description())

    def load(self, path: Path | str) -> None:
        """Take over what `save` wrote, possibly on another device.

        Raises:
            ValueError: if the file holds an agent of another family or with other parameters, or no agent.
        """
        arrays, saved = read_arrays(path)
        if saved != self._description():
            raise ValueError(f"{path} must hold an agent like this one, got {_differences(saved, self._description())}")
        self.restore(arrays)

    def _description(self) -> str:
        described = {name: value for name, value in self.parameters.items() if name != "device"}
        return json.dumps({"family": self.family} | described)


def _differences(saved: str, this: str) -> str:
    """In words, what is different about the agent of a file; descriptions are JSON."""
    try:
        there, here = json.loads(saved), json.loads(this)
    except ValueError:
        return repr(saved) if saved else "no agent"
    if there.get("family") != here["family"]:  # whose parameters are others
        return f"family {there.get('family')} instead of {here['family']}"
    pairs = {name: (there.get(name), here.get(name)) for name in here | there}
    return ", ".join(f"{name} {one} instead of {other}" for name, (one, other) in pairs.items() if one != other)


@dataclass(eq=False)
class ArrayAgent(NamedAgent):
    """An agent whose fields that `__init__` does not take are what was learned, each made by `learned()`."""

    def state(self) -> dict[str, A]:
        return {name: getattr(self, name) for name in self._learned()}

    def restore(self, state: Mapping[str, A]) -> None:
        for name in self._learned():
            setattr(self, name, state[name])

    def _learned(self) -> list[str]:
        return [f.name for f in fields(self) if not f.init]


def parameters_of(agent: type[NamedAgent]) -> list[Field]:
    """The parameters that make up an agent's name; those that the class itself declares come first."""
    named = [f for f in fields(agent) if f.init and f.name not in _OF_THE_RUN]
    return sorted(named, key=lambda f: f.name not in agent.__annotations__)


def parameter_types(agent: type[NamedAgent]) -> dict[str, Any]:
    """The types of `parameters_of`, by name."""
    hints = get_type_hints(agent)
    return {f.name: hints[f.name] for f in parameters_of(agent)}


def learned(num_axes: int, dtype: type[np.generic] = np.float32) -> Any:
    """A field that `learn` fills: an array that is empty as long as nothing was learned."""
    return field(init=False, repr=False, default_factory=lambda: np.zeros((0,) * num_axes, dtype))


def write_arrays(path: Path | str, arrays: Mapping[str, A], description: str) -> None:
    """Write named arrays and a line that says what they are, as one safetensors file that appears whole.

    Raises:
        FileNotFoundError: if the file's folder is not there.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} must be there to save {path.name} into it")
    scratch = path.with_name(path.name + ".partial")
    save_file({k: np.asarray(v, order="C") for k, v in arrays.items()}, scratch, {"description": description})
    os.replace(scratch, path)


def read_arrays(path: Path | str) -> tuple[dict[str, A], str]:
    """What `write_arrays` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a safetensors file.
    """
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in list(file.keys())}
            return arrays, (file.metadata() or {}).get("description", "")
    except SafetensorError as error:
        raise ValueError(f"{path} must be a file in the safetensors format: {error}") from None


def indifferent(observation: Observation, items: Int[A, "rows candidates"] | None) -> Float32[A, "rows candidates"]:
    """The scores of an agent that has learned nothing: all equal, so that items come in order of their id."""
    num_candidates = observation.features.num_items if items is None else items.shape[1]
    return np.zeros((len(observation), num_candidates), np.float32)


def check_catalogue(num_known: int, features: FeatureTable) -> None:
    """Raise ValueError where requests are about another catalogue than the log that was learned from."""
    if num_known != features.num_items:
        raise ValueError(
            f"observations must be of the catalogue of {num_known} items that was learned from, "
            f"got one of {features.num_items}"
        )


def named_with(name: str, parameters: Mapping[str, Any]) -> str:
    """The name of a policy with more parameters, as `agents.registry` reads it."""
    if not parameters:
        return name
    joint = "," if ":" in name.rpartition(")")[2] else ":"  # what is in brackets are parts with names of their own
    return name + joint + ",".join(f"{key}={value}" for key, value in parameters.items())


def as_text(value: Any) -> str:
    """A parameter as it stands in a name: 1 rather than 1.0, true rather than True."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value).lower()
