"""Some room for what is new."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Int

from agents.business_rules.re_ranking import ReRanking
from recsim_lab.policy import TICKS_PER_DAY, Observation

A = np.ndarray


@final
@dataclass(eq=False)
class FreshnessQuota(ReRanking):
    """Gives at least `num_fresh` slots to items that were released less than `days` days ago: the best placed ones of
    the candidates, or all if there are fewer (the slate is then counted as unmet).

    They take the place of the last others, and the slate keeps the order inside. What was on offer from the start is
    of unknown age, and not fresh.
    """

    num_fresh: int = 1
    days: float | int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_fresh < 1:
            raise ValueError(f"num_fresh must be at least 1, got {self.num_fresh}")
        if not self.days > 0:
            raise ValueError(f"days must be above 0, got {self.days}")

    @property
    def rule(self) -> str:
        return f"fresh={self.num_fresh},fresh_days={self.days:g}"

    def choose(
        self, observation: Observation, candidates: Int[A, "rows candidates"], num_slots: int
    ) -> tuple[Int[A, "rows slots"], Bool[A, " rows"]]:
        """Which candidates are kept.

        Raises:
            ValueError: if the quota is above the number of slots.
        """
        if self.num_fresh > num_slots:
            raise ValueError(f"num_fresh must be at most the number of slots, {num_slots}, got {self.num_fresh}")
        release = observation.features.release[candidates]
        fresh = (release > 0) & (observation.tick[:, None] - release < self.days * TICKS_PER_DAY)
        kept = fresh & (fresh.cumsum(axis=1) <= self.num_fresh)
        num_kept = kept.sum(axis=1)
        kept |= (~kept).cumsum(axis=1) <= (num_slots - num_kept)[:, None]
        return np.argsort(~kept, axis=1, kind="stable")[:, :num_slots], num_kept < self.num_fresh
