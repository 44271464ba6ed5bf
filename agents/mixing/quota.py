"""A quota: each policy supplies a fixed number of a slate's items."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Int

from agents.base import named_with
from agents.mixing.fixed_slots import FixedSlots

A = np.ndarray


@final
@dataclass(eq=False)
class Quota(FixedSlots):
    """Of every slots that the quotas add up to, `quotas[i]` for policy i: longer slates, as re-ranking asks for, repeat
    the layout.

    `layout="spread"` spreads each policy's slots evenly: its j-th of q stands as near as can be to (j + 1/2)/q of them.
    `"in-order"` gives the main policy the first slots, the second one those after, and so on.
    """

    quotas: tuple[int, ...]
    layout: Literal["spread", "in-order"] = "spread"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.quotas) != len(self.policies):
            raise ValueError(f"quotas must be one for each of {len(self.policies)} policies, got {self.quotas}")
        if min(self.quotas) < 1:
            raise ValueError(f"quotas must be at least 1, got {self.quotas}")
        if self.layout not in ("spread", "in-order"):
            raise ValueError(f"layout must be 'spread' or 'in-order', got {self.layout!r}")

    @property
    def name(self) -> str:
        shares = "; ".join(f"{quota} {name}" for quota, name in zip(self.quotas, self.names, strict=True))
        return named_with(f"quota({shares})", {"layout": self.layout} if self.layout != "spread" else {})

    def owners(self, num_slots: int) -> Int[A, " slots"]:
        if sum(self.quotas) > num_slots:
            raise ValueError(
                f"quotas must add up to the number of slots at most, got {' + '.join(map(str, self.quotas))} = "
                f"{sum(self.quotas)} for {num_slots} slots"
            )
        owner = np.repeat(np.arange(len(self.quotas)), self.quotas)
        if self.layout == "spread":
            wanted = np.concatenate([(np.arange(quota) + 0.5) / quota for quota in self.quotas])
            owner = owner[np.argsort(wanted, kind="stable")]
        return np.resize(owner, num_slots)
