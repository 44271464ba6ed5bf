"""Each answer to an item confirms itself: what is clicked is liked better from then on, what is passed over less."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class ItemInterest(Dynamics):
    """Utility has an interest mu in each item, which a click raises by delta and a showing without one lowers by delta.

    Jiang et al. 2019 (Degenerate feedback loops in recommender systems). Interests start uniform in [`lowest`,
    `highest`] and have no bounds later. Delta is uniform in [0, `largest_change`], drawn anew for each slot that is
    shown, or with `change_kept` once for each user and item. Void slots are not seen and change nothing. Draws belong
    to user and item, so that users start with the same interests in the items that two catalogues share.
    """

    lowest: float = -1.0
    highest: float = 1.0
    largest_change: float = 0.01
    change_kept: bool = False

    def __post_init__(self) -> None:
        if not -np.inf < self.lowest <= self.highest < np.inf:
            raise ValueError(f"lowest must be at most highest and both finite, got {self.lowest} and {self.highest}")
        if not 0 <= self.largest_change < np.inf:
            raise ValueError(f"largest_change must be at least 0 and finite, got {self.largest_change}")

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        num_items = world.catalogue.num_items
        luck = draws.uniform(Purpose.INTEREST_START, num_items)
        state = {"interest": np.float32(self.lowest) + np.float32(self.highest - self.lowest) * luck}
        if self.change_kept:
            state["interest_change"] = self._change(draws, num_items)
        return state

    def utility(
        self, world: "World", state: State, rows: Int[A, " rows"], items: Int[A, "rows slots"]
    ) -> Float32[A, "rows slots"] | None:
        return state["interest"][rows[:, None], items]

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        # Repeated items are void, so that no pair of user and item is there twice.
        row, slot = np.nonzero(~response.void)
        pair = rows[row], response.slate[row, slot]
        if self.change_kept:
            change = state["interest_change"][pair]
        else:
            change = self._change(draws, response.slate.shape[1])[row, slot]
        state["interest"][pair] += np.where(response.clicks[row, slot], change, -change)

    def _change(self, draws: Draws, num_lanes: int) -> Float32[A, "rows lanes"]:
        return np.float32(self.largest_change) * draws.uniform(Purpose.INTEREST_CHANGE, num_lanes)
