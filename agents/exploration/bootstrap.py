"""An ensemble of one agent's copies, each of which has learned from half of the users: what they disagree on is
explored.

Osband & Van Roy (2015), "Bootstrapped Thompson sampling and deep exploration".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int

from agents.base import named_with
from agents.eligible import eligible_items
from agents.exploration.base import Ranking, rule_out
from agents.wrapper import Combination
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Agent, Observation, Policy, Recommendation, Scorer, answered
from recsim_lab.probabilities import Probabilities, certain, is_certain, mixture
from recsim_lab.streams import Draws, draws_of

A = np.ndarray

_MEMBER, _LEARNS = 0, 1


@final
@dataclass(eq=False)
class BootstrappedEnsemble(Combination):
    """One of several copies of an agent, chosen by chance for each session, answers it.

    Copies should have seeds of their own. Each learns from every user with probability `share`, by a coin that falls
    once for each user and copy, so that a log that grows changes nothing for the users it had. With half of the users
    this is the *double-or-nothing* bootstrap, whose weights are 0 or 2 and have the mean and variance of resampling
    with replacement (Owen & Eckles, Annals of Applied Statistics 2012): weights that are all equal are those of a
    plain log, in which no user stands twice, as none could. A larger share makes copies more alike, and each of them
    better where it has to know its users.

    Whatever copy a session has, its slates are as likely as the mixture of all copies', with equal weights: exact
    where the copies' probabilities are. These are probabilities of a single answer; what a session was shown before,
    from which one could guess its copy, counts for nothing. The propensities of `recommend` are NaN where a copy is not
    certain of its slate.
    """

    members: tuple[Agent, ...]
    share: float | int = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("members must be at least one agent, got none")
        if len({id(member) for member in self.members}) < len(self.members):
            raise ValueError("members must be agents of their own, got one of them twice")
        self.check_parts()
        if len(names := {member.name for member in self.members}) > 1:
            raise ValueError(f"members must be copies of one agent, got {', '.join(sorted(names))}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1], got {self.share}")

    @property
    def name(self) -> str:
        parameters: dict[str, float | int | str] = {"ensemble": len(self.members)}
        return named_with(self.members[0].name, parameters if self.share == 0.5 else parameters | {"share": self.share})

    @property
    def parts(self) -> Mapping[str, Policy]:
        return {str(number): member for number, member in enumerate(self.members)}

    @property
    def ranker(self) -> Scorer | None:
        """The mean of the copies' scores."""
        rankers = [member.ranker for member in self.members]
        known = [ranker for ranker in rankers if ranker is not None]
        if len(known) < len(rankers):
            return None
        return Ranking(self.name, lambda observation, items: _mean([r.scores(observation, items) for r in known]))

    def learn(self, log: InteractionLog) -> None:
        for number, member in enumerate(self.members):
            own = log.take(self.learns_from(number, log.user))
            if len(own):
                member.learn(own)

    def learns_from(self, number: int, user: Int[A, " rows"]) -> Bool[A, " rows"]:
        """Whether a copy learns from each user."""
        coin = draws_of(self.seed, user).fork(f"member {number}").uniform(_LEARNS)[:, 0]
        return coin < self.share

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        answers = [
            member.recommend(observation, num_slots, draws.fork(f"member {number}"))
            for number, member in enumerate(self.members)
        ]
        # In steps of 2^-23: far finer than anything that counts how often each copy is chosen.
        number = (draws.at_step(0).uniform(_MEMBER)[:, 0].astype(np.float64) * len(answers)).astype(np.int64)
        rows = np.arange(len(observation))
        items = np.stack([answer.items for answer in answers])[number, rows]
        sources = tuple(dict.fromkeys(name for answer in answers for name in answer.sources))
        source = np.stack([np.array([sources.index(s) for s in a.sources])[a.source] for a in answers])[number, rows]
        told = self._mixed([certain(answer.items, items) for answer in answers])
        return answered(items, told, source, sources, np.logical_and.reduce([is_certain(a) for a in answers]))

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        told = self._mixed([member.probabilities(observation, slates) for member in self.members])
        return rule_out(told, eligible_items(observation, slates.shape[1]).number(slates))

    def _mixed(self, parts: list[Probabilities]) -> Probabilities:
        # Divided at the end: the sum of ten tenths is not 1, which would make what is certain look uncertain.
        total = mixture(parts, np.ones((len(parts[0].marginal), len(parts))))
        return Probabilities(*(value / value.dtype.type(len(parts)) for value in vars(total).values()))


def _mean(scores: list[Float[A, "rows candidates"]]) -> Float[A, "rows candidates"]:
    return sum(scores[1:], start=scores[0]) / np.float32(len(scores))
