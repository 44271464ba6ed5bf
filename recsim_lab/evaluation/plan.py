"""The plan of a study, what it is given to make worlds and policies, and its pieces of work."""

from collections.abc import Callable
from dataclasses import dataclass

from recsim_lab.evaluation.oracle import REFERENCES
from recsim_lab.evaluation.protocols import Protocol, simple_protocols
from recsim_lab.evaluation.units import safe_name
from recsim_lab.policy import Agent, Observation, Policy
from recsim_lab.simulation.world import World

ORACLE = "oracle"
"""The family of all reference policies."""
NO_TARGET = "none"
"""The training target of what was not trained."""
REPLICATE = "replicate"
"""The name of the second luck, under which every deployment is repeated, and where its metrics stand in the scores."""
EXPECTED = "truth/frozen-users/expected_clicks"
"""Column of what the slates of a visit earn in expectation, had nobody answered and no user changed."""


@dataclass(frozen=True)
class Factories:
    """How the study makes worlds and policies, given from outside: functions that can be pickled by name.

    `rules` wraps a policy in the business rules that bind all of them, the oracle included (an agent stays an
    agent); `restrict` applies the same rules to rebuilt requests offline. `family` and `target` (what it
    was trained on: "catalogue", "impressions" or "none") tell of an agent's name.
    """

    world: Callable[[str, int], World]
    agent: Callable[[str, int], Agent]
    family: Callable[[str], str]
    target: Callable[[str], str]
    rules: Callable[[Policy], Policy]
    restrict: Callable[[Observation, int], Observation]


@dataclass(frozen=True)
class Plan:
    """What to run.

    Each world, logging policy and seed gets one log of `log_days` days, collected by a policy that learns every night
    from its own log: on its first day it knows nothing. Each agent learns from all but the last `test_days` days, is
    scored under `protocols` (none given: the simple ones), and exactly these weights then serve twins of the same
    users for `online_days` days after the log's end (`frozen`). Protocols of other splits train and score copies of
    their own. What they are compared with is a model that learns from the whole log before it is deployed (`refit`),
    as teams do; it is there where a protocol asks for it. With `retrain_every` that model (or the frozen one, without
    it) is deployed once more and learns every so many days from the log and from what it shows itself (`retrained`).
    With `learn_days` agents learn from the last so many days of the log alone and are tested on these (their last
    `test_days`, where the split goes by time), whatever the log's length; requests still know the user's whole past.
    With `replicate` the `frozen` and `refit` deployments are repeated under other luck. `rules` says whether the
    business rules bind, in the log, offline and online. `retriever` finds the candidates of protocols that ask for
    it. Off-policy estimators read at most `estimated_slates` of the last days (0: none are asked). `history` is how
    many clicks an observation shows: enough for a week, so that a rule against repeats can keep what it says.
    """

    worlds: tuple[str, ...]
    agents: tuple[str, ...]
    seeds: tuple[int, ...]
    logging_policies: tuple[str, ...] = ("random",)
    log_days: int = 40
    test_days: int = 8
    learn_days: int | None = None
    online_days: int = 8
    retrain_every: int = 0
    replicate: bool = False
    rules: bool = True
    protocols: tuple[Protocol, ...] = ()
    cutoffs: tuple[int, ...] = (5, 10, 20)
    max_requests: int = 1000
    estimated_slates: int = 0
    retriever: str = "item-knn"
    probe_share: float = 0.1
    references: tuple[str, ...] = ("oracle",)
    history: int = 128

    def __post_init__(self) -> None:
        for name in ("worlds", "agents", "seeds", "logging_policies"):
            values = getattr(self, name)
            if not values:
                raise ValueError(f"{name} must hold at least one, got none")
            if twice := [value for i, value in enumerate(values) if value in values[:i]]:
                raise ValueError(f"{name} must be distinct, got {twice[0]!r} more than once")
        if not 0 < self.test_days < self.log_days:
            raise ValueError(
                f"test_days must be at least 1 and less than log_days, got {self.test_days} of {self.log_days}"
            )
        if self.learn_days is not None and not self.test_days < self.learn_days <= self.log_days:
            raise ValueError(
                f"learn_days must be more than test_days ({self.test_days}) and at most log_days ({self.log_days}) or "
                f"None, got {self.learn_days}"
            )
        if unknown := set(self.references) - set(REFERENCES):
            raise ValueError(f"references must be among {', '.join(REFERENCES)}, got {', '.join(sorted(unknown))}")
        if twice := [value for i, value in enumerate(self.references) if value in self.references[:i]]:
            raise ValueError(f"references must be distinct, got {twice[0]!r} more than once")
        if self.online_days < 1:
            raise ValueError(f"online_days must be at least 1, got {self.online_days}")
        names = [protocol.name for protocol in self.scoring]
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            raise ValueError(f"protocols must have different names, got {twice[0]!r} more than once")
        wrong = [p for p in self.scoring if getattr(p.split, "test_days", self.test_days) != self.test_days]
        if wrong:
            raise ValueError(f"protocols must test on the plan's {self.test_days} days, got {wrong[0]}")
        unknown_yet = [p.name for p in self.scoring if getattr(p.target, "days", 0) >= self.test_days]
        if unknown_yet:
            raise ValueError(
                f"test_days must be more than the days within which users return, got {self.test_days} with "
                f"{unknown_yet[0]}, of which the log would tell nothing"
            )

    @property
    def scoring(self) -> tuple[Protocol, ...]:
        """The protocols that agents are scored under."""
        return self.protocols or simple_protocols(self.test_days)


@dataclass(frozen=True)
class Unit:
    """One piece of work: an agent or a reference in a world, after a log, under a seed; None: the log itself."""

    world: str
    seed: int
    agent: str | None
    logging_policy: str = "random"

    @property
    def folder(self) -> str:
        return f"{safe_name(self.world)}/{safe_name(self.logging_policy)}/seed={self.seed}"

    @property
    def file_name(self) -> str:
        return f"{self.folder}/{'log' if self.agent is None else safe_name(self.agent)}.json"
