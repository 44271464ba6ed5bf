"""Some users like everything better than others do."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.simulation.dynamics import Dynamics, State
from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True, eq=False)
class Leniency(Dynamics):
    """Adds a constant of each user's own to the utility of every item; it never changes.

    It sets how often a user clicks at all, not which item of a slate. A latent axis on which all items are alike
    would do the same, but drift would move users along it.
    """

    level: Float32[A, " users"]

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        return {"leniency": self.level[profile]}

    def utility(
        self, world: "World", state: State, rows: Int[A, " rows"], items: Int[A, "rows slots"]
    ) -> Float32[A, "rows slots"] | None:
        return np.repeat(state["leniency"][rows][:, None], items.shape[1], axis=1)
