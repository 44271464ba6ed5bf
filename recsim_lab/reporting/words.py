"""Numbers in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MISSING = "\N{EN DASH}"


def interval_words(low: float, high: float, form: str = ".2f") -> str:
    """The ends in words that no line break parts."""
    words = f"{low:{form}} to {high:{form}}".replace("-", "\N{MINUS SIGN}").replace(" ", "\N{NO-BREAK SPACE}")
    return MISSING if np.isnan(low) else words


def listed(words: Sequence[str], most: int | None = None) -> str:
    """`a`, `a and b`, `a, b and c`; beyond `most` of them, `a, b and 3 more`."""
    if most is not None and len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1] if words else "none"


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval, NaN where there is none, written by Python's format specification.

    One whose specification has a plus is a difference, and `sure` if zero lies outside its interval.
    """

    value: float
    low: float
    high: float
    form: str = ".3f"

    @property
    def text(self) -> str:
        return MISSING if np.isnan(self.value) else f"{self.value:{self.form}}".replace("-", "\N{MINUS SIGN}")

    @property
    def ends(self) -> str:
        """The interval alone; empty where nothing is known at all."""
        if np.isnan(self.value):
            return ""
        return "no interval" if np.isnan(self.low) else interval_words(self.low, self.high, self.form)

    @property
    def is_difference(self) -> bool:
        return "+" in self.form

    @property
    def sure(self) -> bool:
        return self.is_difference and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        told = "no interval from one seed" if np.isnan(self.low) else f"95% interval {self.ends}"
        return MISSING if np.isnan(self.value) else f"{self.text} ({told})"
