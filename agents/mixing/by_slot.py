"""By slot: named slots belong to named policies, as random items do to the last positions; the rest to the main one."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Int

from agents.mixing.fixed_slots import FixedSlots

A = np.ndarray


@final
@dataclass(eq=False)
class BySlot(FixedSlots):
    """`slots[i]` are those of policy i + 1, counted from 0, or from the end below 0 (-1 is the last); what nobody is
    named for is the main policy's.

    BySlot((mf, Random()), slots=((-2, -1),)) shows random items in the last two positions only.
    """

    slots: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.slots) != len(self.policies) - 1:
            raise ValueError(
                f"slots must be given for each policy but the main one, {list(self.names[1:])}, got {self.slots}"
            )
        if not all(self.slots):
            raise ValueError(f"slots must name at least one for each policy, got {self.slots}")

    @property
    def name(self) -> str:
        others = (
            f"{name} at {' '.join(map(str, slots))}" for name, slots in zip(self.names[1:], self.slots, strict=True)
        )
        return f"by-slot({'; '.join((self.names[0], *others))})"

    def owners(self, num_slots: int) -> Int[A, " slots"]:
        named = np.concatenate(self.slots)
        if named.min() < -num_slots or named.max() >= num_slots:
            raise ValueError(f"slots must be in [{-num_slots}, {num_slots}), got {self.slots}")
        named %= num_slots
        if len(np.unique(named)) < len(named):
            raise ValueError(f"slots must be named once, got {self.slots} of {num_slots} slots")
        owner = np.zeros(num_slots, np.int64)
        owner[named] = np.repeat(np.arange(1, len(self.policies)), [len(slots) for slots in self.slots])
        return owner
