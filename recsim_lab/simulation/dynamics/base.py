"""One reason why users change: the hooks through which it acts on a world."""

from abc import ABC
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from recsim_lab.streams import Draws

if TYPE_CHECKING:
    from recsim_lab.simulation.world import World

A = np.ndarray
State = dict[str, A]
"""Named arrays with a leading axis of rows: everything that changes about the users in view."""


@dataclass
class Response:
    """What followed a batch of slates.

    Public: `clicks`, `dwell` (minutes), `likes`, `reward`, `left` (the session ended); `num_void` counts the slots
    that nobody could click. Hidden, for evaluation and dynamics only: `utility` and its personal part `match`,
    `habit` (with the choice model's curve it gives the examination), and `value` (what a click gives the user:
    match + quality - harm of clickbait). The `clicked_` fields and `value` list the clicks in row-major order.
    """

    slate: Int[A, "rows slots"]
    void: Bool[A, "rows slots"]
    num_void: Int[A, " rows"]
    utility: Float32[A, "rows slots"]
    match: Float32[A, "rows slots"]
    habit: Int[A, " rows"]
    clicks: Bool[A, "rows slots"]
    clicked_row: Int[A, " clicks"]
    clicked_slot: Int[A, " clicks"]
    clicked_item: Int[A, " clicks"]
    value: Float32[A, " clicks"]
    dwell: Float32[A, "rows slots"]
    likes: Bool[A, "rows slots"]
    reward: Float32[A, " rows"]
    left: Bool[A, " rows"]


class Dynamics(ABC):
    """Owns the state arrays it declares, writes only those, and may read any.

    Every hook does nothing here; a member gives those it needs. `rows` are distinct rows of the state; the other
    arguments have one row for each of them. `draws` carry the rows' user, session and step. Purposes of draws
    must differ between the members of one world: each member takes its own from `Purpose`.
    """

    @property
    def reads(self) -> tuple[str, ...]:
        """The arrays of other dynamics that this one cannot do without."""
        return ()

    def initial(self, world: "World", profile: Int[A, " rows"], draws: Draws) -> State:
        """The arrays at the start of the lives of users with these profiles."""
        return {}

    def utility(
        self, world: "World", state: State, rows: Int[A, " rows"], items: Int[A, "rows slots"]
    ) -> Float32[A, "rows slots"] | None:
        """A term added to the utility of showing `items` now."""
        return None

    def arrive(self, world: "World", state: State, rows: Int[A, " rows"], days: Int[A, " rows"], draws: Draws) -> None:
        """`days` have passed since the last visit (0 at the first); apply what absence does."""

    def respond(self, world: "World", state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        """The slates were answered; apply what consumption does. `response.left` is not yet known."""

    def leave_probability(
        self, world: "World", state: State, rows: Int[A, " rows"], response: Response
    ) -> Float64[A, " rows"] | None:
        """The chance that the session ends after this answer, independently of other dynamics."""
        return None

    def gap_days(self, world: "World", state: State, rows: Int[A, " rows"], draws: Draws) -> Int[A, " rows"] | None:
        """Days until the next visit, -1 for never. The longest answer of a world's dynamics counts."""
        return None
