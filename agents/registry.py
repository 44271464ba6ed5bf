"""Agents by name: `mf:dim=32,target=impressions` is the family `mf` with two parameters changed.

Several agents become one in brackets, the main one first; parts are separated by semicolons, and each may be anything
that has a name, combinations too:

    quota(7 mf; 3 popularity)               `Quota`: so many slots of a slate for each; layout
    by-slot(mf; random at -2 -1)            `BySlot`: named slots, from the end below 0; the rest is the first one's
    team-draft(mf; ease)                    `TeamDraft`
    bandit(mf; ease)                        `Bandit`; by, arm_epsilon, arm_per, prior_successes, prior_failures
    two-stage(200 mf; 50 popularity; dlrm)  `TwoStage`: so many candidates of each retriever, the ranker last; told,
                                            ranked_share. Retrievers are agents with scores, `neighbours` (parameters of
                                            item-knn, newest) or `fresh` (days).

Further parameters put policies around the agent or combination: `mf:dim=32,epsilon=0.1` is `EpsilonGreedy` around
`mf:dim=32`, as `team-draft(mf; ease):epsilon=0.1` is around the draft. Each such policy has one parameter that asks for
it, and others that may go with it. From the inside out:

    thompson=1, prior             `NeuralLinear`: Thompson sampling on the last layer
    boltzmann=0.3, standardised   `PlackettLuce` of that temperature
    ensemble=5, share             `BootstrappedEnsemble` of so many copies
    data=own                      `TrainedOn`: learns from its own slots only, or from random ones
    epsilon=0.1, half_life_days, floor, per=slot or slate, rarity_power
                                  `EpsilonGreedy`, `EpsilonGreedySlate`, or (with `rarity_power`) `NewItemExploration`
    mmr=0.3                       `MaximalMarginalRelevance` of that weight
    dpp=0.3                       `GreedyDPP` of that weight
    calibrated=0.5                `Calibrated` of that weight
    topic_cap=3, creator_cap      `Caps`
    fresh=1, fresh_days           `FreshnessQuota`
    skip_ignored=true             `SkipIgnored`

A policy's `name` is the spec that makes it again, unless it is nested otherwise than from the inside out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Literal

import numpy as np

from agents.acting.base import ActingAgent
from agents.acting.proto_action import Wolpertinger
from agents.acting.reinforce import Reinforce
from agents.acting.slate_q import SlateQ
from agents.base import NamedAgent, parameter_types
from agents.baselines import Popularity, Random
from agents.bert4rec import BERT4Rec
from agents.business_rules import Calibrated, Caps, FreshnessQuota, GreedyDPP, MaximalMarginalRelevance, SkipIgnored
from agents.combinations import COMBINATIONS, HOW, main_part
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
from agents.mixing import TrainedOn
from agents.multilayer import Multilayer
from agents.sasrec import SASRec
from agents.specs import Spec, parameters_taken
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
    "reinforce": _Entry(Reinforce),
    "slate-q": _Entry(SlateQ),
    "wolpertinger": _Entry(Wolpertinger),
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


def _trained_on(make: _Make, seed: int, data: Literal["all", "own", "random"]) -> Agent:
    return TrainedOn(make(seed), data)


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


def _skipping(make: _Make, seed: int, skip_ignored: bool) -> Agent:
    return SkipIgnored(make(seed)) if skip_ignored else make(seed)


_WRAPPERS: Mapping[str, Callable[..., Agent]] = {
    "thompson": _neural_linear,
    "boltzmann": _plackett_luce,
    "ensemble": _ensemble,
    "data": _trained_on,
    "epsilon": _epsilon_greedy,
    "mmr": _diverse,
    "dpp": _determinantal,
    "calibrated": _calibrated,
    "topic_cap": _capped,
    "fresh": _fresh,
    "skip_ignored": _skipping,
}
"""What goes around an agent, from the inside out, by the parameter that asks for it; the others of the function may go
with it."""


def agent_names() -> tuple[str, ...]:
    """The names of single agents that `make_agent` knows."""
    return tuple(_AGENTS)


def family_of(spec: str) -> str:
    """The family that an agent belongs to, whatever its parameters: `recent-popularity` is of `popularity`.

    A mix is of its first policy's family, two stages of their ranker's: these choose most of what is shown, so they are
    no evidence of their own beside the models alone.
    """
    parsed, _ = _read(spec)
    return (
        _AGENTS[parsed.name].agent.family if parsed.parts is None else family_of(main_part(parsed.name, parsed.parts))
    )


def target_of(spec: str) -> str:
    """What an agent is trained on: `catalogue`, clicked items alone or against sampled ones; `impressions`, clicked
    items against others that were shown; `none`. Of a combination, what its main part is trained on."""
    parsed, given = _read(spec)
    if parsed.parts is not None:
        return target_of(main_part(parsed.name, parsed.parts))
    entry = _AGENTS[parsed.name]
    parameters = {f.name: f.default for f in fields(entry.agent)} | dict(entry.changed) | given
    if entry.agent is Random:
        return "none"
    if issubclass(entry.agent, (LinUCB, LinearThompson, ActingAgent)) or parameters.get("by") == "rate":
        return "impressions"
    return str(parameters.get("target", "catalogue"))


def make_agent(spec: str, seed: int = 0, device: str = "cpu") -> Agent:
    """The agent that `spec` describes as `name`, `name:parameter=value,...` or `name(part; part):parameter=value,...`.

    `seed` is for its training, and that of all parts, each of which learns as it would alone; `device` is where
    networks learn and serve (agents without one stay on the CPU).

    Raises:
        ValueError: if there is no such agent or parameter, a value is not of the parameter's type or range, or parts
            are not written or can't be combined as the name asks for.
    """
    parsed, given = _read(spec)
    own = {name: given.pop(name) for name in tuple(given) if name not in _WRAPPED_BY}
    make: _Make = partial(_inside, parsed, own, device)
    for key, wrap in _WRAPPERS.items():
        chosen = {name: value for name, value in given.items() if _WRAPPED_BY[name] == key}
        if chosen and key not in chosen:
            raise ValueError(f"{', '.join(chosen)} must go with {key}, got {spec!r}")
        if chosen:
            make = partial(wrap, make, **chosen)
    return make(seed)


def _inside(spec: Spec, own: Mapping[str, Any], device: str, seed: int) -> Agent:
    """What the policies that parameters ask for go around."""
    if spec.parts is not None:
        return COMBINATIONS[spec.name](spec.parts, partial(make_agent, seed=seed, device=device), **own)
    entry = _AGENTS[spec.name]
    of_the_run = {"seed": seed, "device": device}
    run = {f.name: of_the_run[f.name] for f in fields(entry.agent) if f.name in of_the_run}
    return entry.agent(**{**entry.changed, **own, **run})


_WRAPPED_BY = {name: key for key, wrap in _WRAPPERS.items() for name in parameters_taken(wrap)}
"""The parameter that each parameter of a wrapper must go with."""


def _read(text: str) -> tuple[Spec, dict[str, Any]]:
    """The spec taken apart, and the values of all its parameters."""
    spec = Spec.parse(text)
    if spec.parts is None and spec.name in COMBINATIONS:
        raise ValueError(f"{spec.name} must have its parts in brackets, as in {HOW[spec.name]}, got {text!r}")
    if spec.name not in (_AGENTS if spec.parts is None else COMBINATIONS):
        if spec.name in _AGENTS:
            raise ValueError(f"brackets must follow one of {', '.join(COMBINATIONS)}, got {text!r}")
        raise ValueError(
            f"agent must be one of {', '.join(_AGENTS)}, or a combination as in {', '.join(HOW.values())}, "
            f"got {spec.name!r}"
        )
    if spec.parts is not None and not all(spec.parts):
        raise ValueError(f"parts must not be empty, as in {HOW[spec.name]}, got {text!r}")
    known = (
        parameter_types(_AGENTS[spec.name].agent) if spec.parts is None else parameters_taken(COMBINATIONS[spec.name])
    )
    for wrap in _WRAPPERS.values():
        known |= parameters_taken(wrap)
    return spec, spec.values(known)
