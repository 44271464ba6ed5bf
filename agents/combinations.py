"""Policies of several parts by name: what stands in the brackets of a spec, and how it becomes a mix or two stages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from agents.base import parameter_types
from agents.baselines import Popularity
from agents.item_neighbours import ItemKNN
from agents.mixing import Bandit, BySlot, Quota, TeamDraft
from agents.neural import NetworkAgent
from agents.specs import Spec
from agents.two_stage import ByEmbeddings, ByScores, Fresh, Neighbours, Popular, Retriever, TwoStage
from recsim_lab.policy import Agent, Scorer

Make = Callable[[str], Agent]
"""Makes an agent of its spec."""


def _quota(parts: Sequence[str], make: Make, layout: Literal["spread", "in-order"] = "spread") -> Agent:
    quotas, specs = zip(*(_counted(part, "quota") for part in parts), strict=True)
    return Quota(tuple(make(spec) for spec in specs), quotas, layout)


def _by_slot(parts: Sequence[str], make: Make) -> Agent:
    specs, slots = zip(*(_placed(part) for part in parts[1:]), strict=True) if len(parts) > 1 else ((), ())
    return BySlot(tuple(make(spec) for spec in (parts[0], *specs)), slots)


def _team_draft(parts: Sequence[str], make: Make) -> Agent:
    return TeamDraft(tuple(make(spec) for spec in parts))


def _bandit(
    parts: Sequence[str],
    make: Make,
    by: Literal["thompson", "epsilon-greedy"] = "thompson",
    arm_epsilon: float = 0.1,
    arm_per: Literal["session", "slate"] = "session",
    prior_successes: float = 1.0,
    prior_failures: float = 1.0,
) -> Agent:
    return Bandit(tuple(make(spec) for spec in parts), by, arm_per, arm_epsilon, prior_successes, prior_failures)


def _two_stage(parts: Sequence[str], make: Make, told: bool = True, ranked_share: float = 0.5) -> Agent:
    *first, last = parts
    quotas, specs = zip(*(_counted(part, "two-stage") for part in first), strict=True) if first else ((), ())
    heavy = None if last.partition(" ")[0].isdecimal() else make(last)
    if not isinstance(heavy, Scorer):
        raise ValueError(f"last part of two-stage must be an agent with scores, which orders candidates, got {last!r}")
    retrievers = tuple(zip((_retriever(spec, make) for spec in specs), quotas, strict=True))
    return TwoStage(retrievers, heavy, told=told, ranked_share=ranked_share)


COMBINATIONS: Mapping[str, Callable[..., Agent]] = {
    "quota": _quota,
    "by-slot": _by_slot,
    "team-draft": _team_draft,
    "bandit": _bandit,
    "two-stage": _two_stage,
}
"""What makes a policy of its parts and parameters, by its name."""

HOW = {
    "quota": "quota(7 mf; 3 popularity)",
    "by-slot": "by-slot(mf; random at -2 -1)",
    "team-draft": "team-draft(mf; ease)",
    "bandit": "bandit(mf; ease)",
    "two-stage": "two-stage(200 mf; 50 popularity; dlrm)",
}
"""How each is written."""


def main_part(name: str, parts: Sequence[str]) -> str:
    """The spec of the part by whose order the combination goes: of a mix the first, of two stages the ranker."""
    if name == "two-stage":
        return parts[-1]
    return _counted(parts[0], name)[1] if name == "quota" else parts[0]


def _counted(part: str, name: str) -> tuple[int, str]:
    count, _, spec = part.partition(" ")
    if not count.isdecimal() or not spec.strip():
        before = "all parts of two-stage but the last" if name == "two-stage" else f"parts of {name}"
        raise ValueError(f"{before} must be a number and an agent, as in {HOW[name]}, got {part!r}")
    return int(count), spec.strip()


def _placed(part: str) -> tuple[str, tuple[int, ...]]:
    spec, at, slots = part.rpartition(" at ")
    try:
        places = tuple(int(slot) for slot in slots.split())
    except ValueError:
        places = ()
    if not at or not places:
        raise ValueError(
            f"all parts of by-slot but the first must be an agent and its slots, as in {HOW['by-slot']}, got {part!r}"
        )
    return spec.strip(), places


def _retriever(text: str, make: Make) -> Retriever:
    """`fresh`, `neighbours`, or whatever suits the agent that is described."""
    spec = Spec.parse(text)
    if spec.name == "fresh" and spec.parts is None:
        return Fresh(**spec.values({"days": float | None}))
    if spec.name == "neighbours" and spec.parts is None:
        values = spec.values(parameter_types(ItemKNN) | {"newest": int})
        newest = {"newest": values.pop("newest")} if "newest" in values else {}
        return Neighbours(ItemKNN(**values), **newest)
    agent = make(text)
    if isinstance(agent, Popularity):
        return Popular(agent)
    if isinstance(agent, NetworkAgent) and agent.compares_all:
        return ByEmbeddings(agent)
    if isinstance(agent, Scorer):
        return ByScores(agent)
    raise ValueError(f"retriever must be fresh, neighbours or an agent with scores, got {text!r}")
