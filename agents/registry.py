"""Agents by name: `mf:dim=32,target=impressions` is the family `mf` with two parameters changed.

Every agent also takes `epsilon`, which wraps it: `mf:dim=32,epsilon=0.1` is `EpsilonGreedy` around `mf:dim=32`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from agents.base import NamedAgent, parameters_of
from agents.baselines import Popularity, Random
from agents.bert4rec import BERT4Rec
from agents.dcn import DCN
from agents.dlrm import DLRM
from agents.ease import EASE
from agents.exploration import EpsilonGreedy
from agents.implicit_als import ImplicitALS
from agents.item_neighbours import ItemKNN
from agents.matrix_factorization import MatrixFactorization
from agents.multilayer import Multilayer
from agents.sasrec import SASRec
from agents.two_tower import TwoTower
from recsim_lab.policy import Agent


@dataclass(frozen=True)
class _Entry:
    """A class of agents, and what differs from its defaults under this name."""

    agent: type[NamedAgent]
    changed: Mapping[str, Any] = field(default_factory=dict)


_AGENTS = {
    "random": _Entry(Random),
    "popularity": _Entry(Popularity),
    "recent-popularity": _Entry(Popularity, {"window_days": 7.0}),
    "item-knn": _Entry(ItemKNN),
    "ease": _Entry(EASE),
    "ials": _Entry(ImplicitALS),
    "mf": _Entry(MatrixFactorization),
    "mlp": _Entry(Multilayer),
    "two-tower": _Entry(TwoTower),
    "dlrm": _Entry(DLRM),
    "dcn": _Entry(DCN),
    "sasrec": _Entry(SASRec),
    "bert4rec": _Entry(BERT4Rec),
}


def agent_names() -> tuple[str, ...]:
    """The names that `make_agent` knows."""
    return tuple(_AGENTS)


def family_of(spec: str) -> str:
    """The family that an agent belongs to, whatever its parameters: `recent-popularity` is of `popularity`."""
    return _parse(spec)[0].agent.family


def make_agent(spec: str, seed: int = 0, device: str = "cpu") -> Agent:
    """The agent that `spec` describes as `name` or `name:parameter=value,...`.

    `seed` is for its training; `device` is where networks learn and serve (agents without one stay on the CPU).

    Raises:
        ValueError: if there is no such agent or parameter, or a value is not of the parameter's type or range.
    """
    entry, given = _parse(spec)
    epsilon = given.pop("epsilon", None)
    of_the_run = {"seed": seed, "device": device}
    given |= {f.name: of_the_run[f.name] for f in fields(entry.agent) if f.name in of_the_run}
    agent = entry.agent(**{**entry.changed, **given})
    return agent if epsilon is None else EpsilonGreedy(agent, epsilon)


def _parse(spec: str) -> tuple[_Entry, dict[str, Any]]:
    name, _, text = spec.partition(":")
    if name not in _AGENTS:
        raise ValueError(f"agent must be one of {', '.join(_AGENTS)}, got {name!r}")
    entry = _AGENTS[name]
    known = _parameters(entry)
    there_are = "parameters of " + name + ": " + ", ".join(f"{key}: {_words(hint)}" for key, hint in known.items())
    given: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in known:
            raise ValueError(f"parameter must be one that {name} has, as in key=value, got {part!r}; {there_are}")
        if key in given:
            raise ValueError(f"{key} must be given once, got it twice in {spec!r}")
        try:
            given[key] = _value(value, known[key])
        except ValueError:
            raise ValueError(f"{key} must be {_words(known[key])}, got {value!r}; {there_are}") from None
    return entry, given


def _parameters(entry: _Entry) -> dict[str, Any]:
    """The types of all that a spec may set."""
    hints = get_type_hints(entry.agent)
    own = {f.name: hints[f.name] for f in parameters_of(entry.agent)}
    return own | {"epsilon": float}


def _value(text: str, hint: Any) -> Any:
    """Read a value of the given type; ValueError if it is none."""
    if get_origin(hint) is Literal:
        if text in get_args(hint):
            return text
        raise ValueError
    if NoneType in get_args(hint):
        return None if text.lower() == "none" else _value(text, get_args(hint)[0])
    if hint is bool:
        return {"true": True, "false": False}[text.lower()]
    return hint(text)


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(get_args(hint))
    if NoneType in get_args(hint):
        return f"{_words(get_args(hint)[0])} or none"
    return hint.__name__
