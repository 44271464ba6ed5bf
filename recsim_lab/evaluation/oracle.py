"""The oracle: greedy on true utility. It reads the hidden truth, so it is a reference and never a competitor."""

from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.policy import Observation, Scorer
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World

A = np.ndarray


@final
@dataclass(eq=False)
class Oracle(Scorer):
    """Shows the items of highest true utility at this request, in order.

    It is the best answer to a single request under choice models that reward utility from the top, not a bound on
    a user's life: what it shows now bores and satisfies later, so regret against it may be negative.

    `known` is the world whose utility it goes by. Given the same world with some components switched off, it is
    an oracle that knows the others only. It must `watch` the sessions that it serves.
    """

    known: World
    label: str = "oracle"
    sessions: Sessions | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.label

    def watch(self, sessions: Sessions) -> "Oracle":
        """Read the truth from these sessions from now on; their rows must be the users of the requests."""
        self.sessions = sessions
        return self

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float32[A, "rows candidates"]:
        if self.sessions is None:
            raise ValueError("the oracle must watch the sessions it serves: call watch(sessions) first")
        if items is None:
            every = np.arange(self.known.catalogue.num_items, dtype=np.int32)
            items = np.tile(every, (len(observation), 1))
        utility, _ = self.known.true_utility(self.sessions.state, observation.user.astype(np.int64), items)
        return utility


@final
@dataclass(eq=False)
class FixedScores(Scorer):
    """Scores that are written down beforehand, `table[user, item]`: such as the best low-rank fit to the truth."""

    table: Float32[A, "users items"]
    label: str

    @property
    def name(self) -> str:
        return self.label

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float32[A, "rows candidates"]:
        if items is None:
            return self.table[observation.user]
        return self.table[observation.user[:, None], items]


def low_rank_fit(utility: Float32[A, "users items"], rank: int) -> Float32[A, "users items"]:
    """The best fit of item means plus a matrix of this rank, in the least-squares sense (Eckart and Young 1936)."""
    mean = utility.mean(axis=0)
    left, size, right = np.linalg.svd(utility - mean, full_matrices=False)
    return (mean + (left[:, :rank] * size[:rank]) @ right[:rank]).astype(np.float32)
