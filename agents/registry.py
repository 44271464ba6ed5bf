"""Agents by name: `mf:dim=32,target=impressions` is the family `mf` with two parameters changed.

Further parameters put policies around the agent: `mf:dim=32,epsilon=0.1` is `EpsilonGreedy` around `mf:dim=32`. Each
such policy has one parameter that asks for it, and others that may go with it. From the inside out:

    thompson=1, prior             `NeuralLinear`: Thompson sampling on the last layer
    boltzmann=0.3, standardised   `PlackettLuce` of that temperature
    ensemble=5, share             `BootstrappedEnsemble` of so many copies
    epsilon=0.1, half_life_days, floor, per=slot or slate, rarity_power
                                  `EpsilonGreedy`, `EpsilonGreedySlate`, or (with `rarity_power`) `NewItemExploration`
    mmr=0.3                       `MaximalMarginalRelevance` of that weight
    dpp=0.3                       `GreedyDPP` of that weight
    calibrated=0.5                `Calibrated` of that weight
    topic_cap=3, creator_cap      `Caps`
    fresh=1, fresh_days           `FreshnessQuota`
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from agents.base import NamedAgent, parameters_of
from agents.baselines import Popularity, Random
from agents.bert4rec import BERT4Rec
from agents.business_rules import Calibrated, Caps, FreshnessQuota, GreedyDPP, MaximalMarginalRelevance
from agents.dcn import DCN
from agents.dlrm import DLRM
from agents.ease import EASE
from agents.exploration import (
    BootstrappedEnsemble,
    EpsilonGreedy,
    EpsilonGreedySlate,
    LinearThompson,
    LinUCB,
    NeuralLinear,
    NewItemExploration,
    PlackettLuce,
)
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
    "linucb": _Entry(LinUCB),
    "linear-thompson": _Entry(LinearThompson),
}

_Make = Callable[[int], Agent]
"""Makes an agent of a seed."""


def _neural_linear(make: _Make, seed: int, thompson: float, prior: float = 1.0) -> Agent:
    return NeuralLinear(make(seed), thompson, prior)


def _plackett_luce(make: _Make, seed: int, boltzmann: float, standardised: bool = True) -> Agent:
    return PlackettLuce(make(seed), boltzmann, standardised)


def _ensemble(make: _Make, seed: int, ensemble: int, share: float = 0.5) -> Agent:
    seeds = np.random.SeedSequence(seed).generate_state(max(ensemble, 0))
    return BootstrappedEnsemble(tuple(make(int(own)) for own in seeds), share, seed)


def _epsilon_greedy(
    make: _Make,
    seed: int,
    epsilon: float,
    half_life_days: float | None = None,
    floor: float = 0.0,
    per: Literal["slot", "slate"] = "slot",
    rarity_power: float | None = None,
) -> Agent:
    agent = make(seed)
    if rarity_power is None:
        return (EpsilonGreedy if per == "slot" else EpsilonGreedySlate)(agent, epsilon, half_life_days, floor)
    if per == "slate":
        raise ValueError("rarity_power must go with per=slot: slates that are random as a whole know no rarity")
    return NewItemExploration(agent, epsilon, half_life_days, floor, rarity_power=rarity_power)


def _diverse(make: _Make, seed: int, mmr: float) -> Agent:
    return MaximalMarginalRelevance(make(seed), mmr)


def _determinantal(make: _Make, seed: int, dpp: float) -> Agent:
    return GreedyDPP(make(seed), dpp)


def _calibrated(make: _Make, seed: int, calibrated: float) -> Agent:
    return Calibrated(make(seed), calibrated)


def _capped(make: _Make, seed: int, topic_cap: int, creator_cap: int | None = None) -> Agent:
    return Caps(make(seed), topic_cap, creator_cap)


def _fresh(make: _Make, seed: int, fresh: int, fresh_days: float = 7.0) -> Agent:
    return FreshnessQuota(make(seed), fresh, fresh_days)


_WRAPPERS: Mapping[str, Callable[..., Agent]] = {
    "thompson": _neural_linear,
    "boltzmann": _plackett_luce,
    "ensemble": _ensemble,
    "epsilon": _epsilon_greedy,
    "mmr": _diverse,
    "dpp": _determinantal,
    "calibrated": _calibrated,
    "topic_cap": _capped,
    "fresh": _fresh,
}
"""What goes around an agent, from the inside out, by the parameter that asks for it; the others of the function may go
with it."""


def agent_names() -> tuple[str, ...]:
    """The names that `make_agent` knows."""
    return tuple(_AGENTS)


def family_of(spec: str) -> str:
    """The family that an agent belongs to, whatever its parameters: `recent-popularity` is of `popularity`."""
    return _parse(spec)[0].agent.family


def target_of(spec: str) -> str:
    """What an agent is trained on: `catalogue`, clicked items alone or against sampled ones; `impressions`, clicked
    items against others that were shown; `none`."""
    entry, given = _parse(spec)
    parameters = {f.name: f.default for f in fields(entry.agent)} | dict(entry.changed) | given
    if entry.agent is Random:
        return "none"
    if entry.agent in (LinUCB, LinearThompson) or parameters.get("by") == "rate":
        return "impressions"
    return str(parameters.get("target", "catalogue"))


def make_agent(spec: str, seed: int = 0, device: str = "cpu") -> Agent:
    """The agent that `spec` describes as `name` or `name:parameter=value,...`.

    `seed` is for its training; `device` is where networks learn and serve (agents without one stay on the CPU).

    Raises:
        ValueError: if there is no such agent or parameter, or a value is not of the parameter's type or range.
    """
    entry, given = _parse(spec)
    own = {name: given.pop(name) for name in tuple(given) if name not in _WRAPPED_BY}
    make: _Make = partial(_bare, entry, own, device)
    for key, wrap in _WRAPPERS.items():
        chosen = {name: value for name, value in given.items() if _WRAPPED_BY[name] == key}
        if chosen and key not in chosen:
            raise ValueError(f"{', '.join(chosen)} must go with {key}, got {spec!r}")
        if chosen:
            make = partial(wrap, make, **chosen)
    return make(seed)


def _bare(entry: _Entry, own: Mapping[str, Any], device: str, seed: int) -> Agent:
    of_the_run = {"seed": seed, "device": device}
    run = {f.name: of_the_run[f.name] for f in fields(entry.agent) if f.name in of_the_run}
    return entry.agent(**{**entry.changed, **own, **run})


def _parameters_of_wrapper(wrap: Callable[..., Agent]) -> dict[str, Any]:
    """The types of the parameters of a function of `_WRAPPERS` by name."""
    hints = get_type_hints(wrap)
    return {name: hint for name, hint in hints.items() if name not in ("make", "seed", "return")}


_WRAPPED_BY = {name: key for key, wrap in _WRAPPERS.items() for name in _parameters_of_wrapper(wrap)}
"""The parameter that each parameter of a wrapper must go with."""


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
    for wrap in _WRAPPERS.values():
        own |= _parameters_of_wrapper(wrap)
    return own


def _value(text: str, hint: Any) -> Any:
    """Read a value of the given type; ValueError if it is none."""
    if get_origin(hint) is Literal:
        if text in get_args(hint):
            return text
        raise ValueError
    if NoneType in get_args(hint):
        return None if text.lower() == "none" else _value(text, get_args(hint)[0])
    if hint is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError
    return hint(text)


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(get_args(hint))
    if NoneType in get_args(hint):
        return f"{_words(get_args(hint)[0])} or none"
    return hint.__name__
