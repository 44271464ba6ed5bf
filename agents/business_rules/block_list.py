"""Nothing that is on the list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Int

from agents.business_rules.forbidding import Forbidding
from recsim_lab.policy import Observation

A = np.ndarray


@final
@dataclass(eq=False)
class BlockList(Forbidding):
    """Shows none of `items`, except to a request that has fewer others than slots: then all of them are allowed.

    The policy inside keeps its name.
    """

    items: Sequence[int] | Int[A, " listed"]

    def __post_init__(self) -> None:
        listed = np.asarray(self.items if len(self.items) else np.zeros(0, np.int32))
        if listed.ndim != 1 or listed.dtype.kind not in "iu" or listed.min(initial=0) < 0:
            raise ValueError(f"items must be whole numbers of at least 0, got {self.items}")
        self.items = listed.astype(np.int32)

    def forbidden(self, observation: Observation) -> Sequence[Int[A, "rows _"]]:
        """All of the list.

        Raises:
            ValueError: if it names an item that the catalogue does not have.
        """
        items, num_items = np.asarray(self.items), observation.features.num_items
        if (largest := items.max(initial=-1)) >= num_items:
            raise ValueError(f"items must be in [0, {num_items}), got {largest}")
        return (np.broadcast_to(items, (len(observation), len(items))),)
