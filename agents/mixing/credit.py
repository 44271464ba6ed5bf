"""Who is credited with the clicks on interleaved slates, and whether that is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Int
from scipy.stats import binomtest

from agents.mixing.sources import owners
from recsim_lab.interaction_log import InteractionLog

A = np.ndarray


@final
@dataclass(frozen=True)
class Credit:
    """Clicks on each policy's own slots, a row for each request (or whatever they were added up by).

    Clicks on slots that belong to none of the policies are nobody's.
    """

    policies: tuple[str, ...]
    clicks: Int[A, "rows policies"]

    def by(self, unit: Int[A, " rows"]) -> "Credit":
        """Added up over rows of the same unit, units ascending. A user's requests are no independent witnesses: add
        them up by user before a test."""
        if len(unit) != len(self.clicks):
            raise ValueError(f"unit must have a value for each of {len(self.clicks)} rows, got {len(unit)}")
        units, number = np.unique(unit, return_inverse=True)
        total = np.zeros((len(units), len(self.policies)), np.int64)
        np.add.at(total, number, self.clicks)
        return replace(self, clicks=total)

    def difference(self, policy: str, other: str) -> Int[A, " rows"]:
        """How many clicks more than `other` `policy` is credited with: above 0 it wins the row, at 0 it ties."""
        one, two = (self._place(name) for name in (policy, other))
        return self.clicks[:, one] - self.clicks[:, two]

    def compare(self, policy: str, other: str) -> "Comparison":
        """In how many rows each of the two has more clicks."""
        difference = self.difference(policy, other)
        return Comparison(int((difference > 0).sum()), int((difference < 0).sum()), int((difference == 0).sum()))

    def _place(self, name: str) -> int:
        if name not in self.policies:
            raise ValueError(f"policy must be one of {', '.join(self.policies)}, got {name!r}")
        return self.policies.index(name)


@final
@dataclass(frozen=True)
class Comparison:
    """Rows won, lost and tied."""

    wins: int
    losses: int
    ties: int

    @property
    def preference(self) -> float:
        """How far the share of wins, ties counted half, is above one half (Chapelle, Joachims, Radlinski & Yue, TOIS
        2012): from -1/2 to 1/2, 0 without rows."""
        rows = self.wins + self.losses + self.ties
        return (self.wins - self.losses) / (2 * rows) if rows else 0.0

    @property
    def p_value(self) -> float:
        """Of the two-sided sign test, in which ties do not count: how likely wins and losses would be at least as
        unequal if both were equally likely."""
        rows = self.wins + self.losses
        return float(binomtest(self.wins, rows).pvalue) if rows else 1.0


def credit(log: InteractionLog, policies: Sequence[str]) -> Credit:
    """The clicks of each request on slots that the named policies supplied, as sources say."""
    clicks = np.zeros((len(log), len(policies)), np.int64)
    owner = owners(log.sources, policies)[log.source] if log.sources else np.full(log.source.shape, -1)
    for place in range(len(policies)):
        clicks[:, place] = (log.clicks & (owner == place)).sum(axis=1)
    return Credit(tuple(policies), clicks)
