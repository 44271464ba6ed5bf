"""By user: each user is served by one policy for good, which makes an A/B test of a mix."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Int

from agents.mixing.base import Mix
from agents.mixing.sources import joined
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Agent, Observation, Recommendation
from recsim_lab.probabilities import NUM_REDRAWS, PairProbabilities, Probabilities
from recsim_lab.streams import Draws, check_shares, groups_of

A = np.ndarray


@final
@dataclass(eq=False)
class ByUser(Mix):
    """A user's policy follows from a hash of the user under `salt`; `shares[i]` of the users have policy i (None: all
    policies have as many). Under another salt users are divided anew, whatever they had before.

    Who serves a user was decided before any request came. So probabilities are those of the policy that does, and the
    chance of having been given this policy is not in them: a log of this mix tells nothing of what other policies
    would have shown to the same user. Luck reaches the policies as it is, so a user meets what the policy would have
    shown, with the same luck, had it served everybody.

    Policies learn from the log of all users (pooled), or from tick `diverted_from` on from that of their own users
    alone (diverted), and from what came before as ever.
    """

    salt: str = "experiment"
    shares: tuple[float | int, ...] | None = None
    diverted_from: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shares is not None and len(self.shares) != len(self.policies):
            raise ValueError(f"shares must be one for each of {len(self.policies)} policies, got {self.shares}")
        check_shares(self._shares)
        if self.diverted_from is not None and self.diverted_from < 0:
            raise ValueError(f"diverted_from must be a tick of at least 0 or None, got {self.diverted_from}")

    @property
    def name(self) -> str:
        changed = {"salt": self.salt} if self.salt != "experiment" else {}
        changed |= {} if self.shares is None else {"shares": "/".join(f"{share:g}" for share in self.shares)}
        changed |= {} if self.diverted_from is None else {"diverted_from": str(self.diverted_from)}
        parameters = ",".join(f"{key}={value}" for key, value in changed.items())
        return f"by-user({'; '.join(self.names)})" + (f":{parameters}" if changed else "")

    def arms(self, users: Int[A, " users"]) -> Int[A, " users"]:
        """The place of the policy that serves each user."""
        return groups_of(users, self.salt, self._shares)

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        arm = self.arms(observation.user)
        rows = [np.flatnonzero(arm == place) for place in range(len(self.policies))]
        answers = [
            policy.recommend(observation.take(mine), num_slots, draws.take(mine))
            for policy, mine in zip(self.policies, rows, strict=True)
        ]
        sources, renumbered = joined(self.names, answers)
        columns = ("items", "propensity", "prefix_propensity", "propensity_error")
        told = {name: _scattered(rows, [getattr(answer, name) for answer in answers]) for name in columns}
        return Recommendation(**told, source=_scattered(rows, renumbered), sources=sources)

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        arm = self.arms(observation.user)
        rows = [np.flatnonzero(arm == place) for place in range(len(self.policies))]
        told = [
            policy.probabilities(observation.take(mine), slates[mine])
            for policy, mine in zip(self.policies, rows, strict=True)
        ]
        return Probabilities(**{name: _scattered(rows, [vars(one)[name] for one in told]) for name in vars(told[0])})

    def pair_probabilities(
        self,
        observation: Observation,
        candidates: Int[A, "rows candidates"],
        num_slots: int,
        num_redraws: int = NUM_REDRAWS,
    ) -> PairProbabilities:
        arm = self.arms(observation.user)
        rows = [np.flatnonzero(arm == place) for place in range(len(self.policies))]
        told = [
            policy.pair_probabilities(observation.take(mine), candidates[mine], num_slots, num_redraws)
            for policy, mine in zip(self.policies, rows, strict=True)
        ]
        value, error = (_scattered(rows, [getattr(one, name) for one in told]) for name in ("value", "error"))
        return PairProbabilities(candidates, value, error)

    def learn(self, log: InteractionLog) -> None:
        if self.diverted_from is None:
            super().learn(log)
            return
        arm, shared = self.arms(log.user), log.tick < self.diverted_from
        for place, policy in enumerate(self.policies):
            if isinstance(policy, Agent):
                policy.learn(log.take(shared | (arm == place)))

    @property
    def _shares(self) -> tuple[float | int, ...]:
        return (1 / len(self.policies),) * len(self.policies) if self.shares is None else self.shares


def _scattered(rows: list[A], parts: list[A]) -> A:
    """Rows of all parts in one array, each where it belongs."""
    whole = np.empty((sum(map(len, rows)), *parts[0].shape[1:]), np.result_type(*parts))
    for mine, part in zip(rows, parts, strict=True):
        whole[mine] = part
    return whole
