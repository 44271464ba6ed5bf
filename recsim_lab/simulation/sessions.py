"""The users who are being served now, as rows: open, observe, answer, close.

The one core under the vector environment (fixed seats) and the platform (whoever is due).
"""

import copy

import numpy as np
from jaxtyping import Int, UInt64

from recsim_lab.policy import Observation
from recsim_lab.simulation.dynamics import Response, State
from recsim_lab.simulation.kernels import remember
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws, draws_of

A = np.ndarray

HISTORY = 32
"""How many clicked items an observation shows."""
SHOWN_SLATES = 15
"""How many slates of a session an observation shows."""


class Sessions:
    """The state of the users in view.

    Args:
        world: the laws.
        seed: key of each row's randomness.
        user: counter of each row's randomness; a row under (seed, user) always lives the same life.
        profile: row of the population that each row copies.
        num_slots: length of the slates.
        history: width of `Observation.clicked`.
    """

    def __init__(
        self,
        world: World,
        seed: UInt64[A, " rows"],
        user: Int[A, " rows"],
        profile: Int[A, " rows"],
        num_slots: int | None = None,
        history: int = HISTORY,
    ) -> None:
        self.world = world
        self.num_slots = world.num_slots if num_slots is None else num_slots
        if self.num_slots < 1:
            raise ValueError(f"num_slots must be at least 1, got {self.num_slots}")
        if len(profile) and not 0 <= profile.min() <= profile.max() < world.population.num_users:
            raise ValueError(
                f"profile must be in [0, {world.population.num_users}), got {profile.min()} to {profile.max()}"
            )
        if self.num_slots > world.catalogue.num_items:
            raise ValueError(
                f"num_slots must be at most the number of items, got {self.num_slots} of {world.catalogue.num_items}"
            )
        if history < 1:
            raise ValueError(f"history must be at least 1, got {history}")
        self.history = history
        self.shown_width = min(world.session_steps, SHOWN_SLATES) * self.num_slots
        num_rows = len(seed)
        self.state: State = {
            "seed": seed.astype(np.uint64),
            "user": user.astype(np.int32),
            "session": np.full(num_rows, -1, np.int32),
            "step": np.zeros(num_rows, np.int32),
            "clicked": np.full((num_rows, history), -1, np.int32),
            "clicked_tick": np.full((num_rows, history), -1, np.int32),
            "shown": np.full((num_rows, self.shown_width), -1, np.int32),
        }
        self.state |= world.initial(profile, self.draws(np.arange(num_rows)))

    def __len__(self) -> int:
        return len(self.state["user"])

    def copy(self) -> "Sessions":
        """The same users at this moment, who go on by themselves."""
        twin = copy.copy(self)
        twin.state = {name: values.copy() for name, values in self.state.items()}
        return twin

    def draws(self, rows: Int[A, " rows"]) -> Draws:
        """The randomness of the rows, as of now."""
        state = self.state
        return Draws(
            state["seed"].take(rows),
            state["user"].take(rows),
            state["session"].take(rows),
            state["step"].take(rows),
        )

    def first_visit(self, rows: Int[A, " rows"]) -> Int[A, " rows"]:
        """The tick at which users who have not been here yet come for the first time."""
        return self.world.first_visit(self.state, rows, self.draws(rows))

    def reseat(self, rows: Int[A, " rows"], user: Int[A, " rows"], profile: Int[A, " rows"]) -> None:
        """Put new users on the rows, who have not visited yet; the seeds stay."""
        state = self.state
        state["user"][rows] = user
        state["session"][rows] = -1
        state["step"][rows] = 0
        state["clicked"][rows] = -1
        state["clicked_tick"][rows] = -1
        for name, values in self.world.initial(profile, self.draws(rows)).items():
            state[name][rows] = values

    def open(self, rows: Int[A, " rows"], tick: Int[A, " rows"]) -> None:
        """Begin the visits of these users."""
        state = self.state
        state["session"][rows] += 1
        state["step"][rows] = 0
        state["shown"][rows] = -1
        self.world.arrive(state, rows, tick, self.draws(rows))

    def visible(self, rows: Int[A, " rows"]) -> dict[str, A]:
        """The fields of these users' `Observation` that change, as copies, one row each."""
        state = self.state
        return {
            "user": state["profile"].take(rows),
            "session": state["session"].take(rows),
            "step": state["step"].take(rows),
            "tick": state["tick"].take(rows),
            "device": state["device"].take(rows),
            "clicked": state["clicked"].take(rows, axis=0),
            "clicked_tick": state["clicked_tick"].take(rows, axis=0),
            "shown": state["shown"].take(rows, axis=0),
        }

    def observe(self, rows: Int[A, " rows"]) -> Observation:
        """What a recommender may see of these users' requests."""
        return Observation(
            **self.visible(rows), features=self.world.features, blocked=np.zeros((len(rows), 0), np.int32)
        )

    def answer(self, rows: Int[A, " rows"], slate: Int[A, "rows slots"]) -> Response:
        """Show the slates and remember what happened; repeated or unavailable items are void slots.

        Raises:
            ValueError: if a slate has another length, or an item does not exist.
        """
        if slate.shape[1] != self.num_slots:
            raise ValueError(f"a slate must have {self.num_slots} slots, got {slate.shape[1]}")
        num_items = self.world.catalogue.num_items
        # Read as unsigned, a negative number is above any bound: one pass tells both.
        if slate.size and slate.view(f"u{slate.itemsize}").max() >= num_items:
            raise ValueError(f"items must be in [0, {num_items}), got {slate.min()} to {slate.max()}")
        slate = np.ascontiguousarray(slate, np.int32)
        state = self.state
        step = state["step"].take(rows)
        response = self.world.respond(state, rows, slate, step, self.draws(rows))
        remember(
            rows,
            response.clicks,
            slate,
            state["tick"],
            state["step"],
            state["clicked"],
            state["clicked_tick"],
            state["shown"],
        )
        return response

    def close(self, rows: Int[A, " rows"]) -> Int[A, " rows"]:
        """End the visits; returns the tick of each user's next one, `NEVER` for those who do not come back."""
        return self.world.depart(self.state, rows, self.draws(rows))


def population_sessions(world: World, seed: int, num_slots: int | None = None, history: int = HISTORY) -> Sessions:
    """Every user of the population, once; row, user and profile are the same number.

    Raises:
        ValueError: if the seed is outside [0, 2^64).
    """
    users = np.arange(world.population.num_users, dtype=np.int32)
    return Sessions(world, draws_of(seed, users).seed, users, users, num_slots, history)


def seat_sessions(
    world: World, seed: UInt64[A, " rows"], num_slots: int | None = None, history: int = HISTORY
) -> Sessions:
    """A seat for each seed, holding the first user of its life."""
    first = np.zeros(len(seed), np.int32)
    return Sessions(world, seed, first, draw_profiles(world, seed, first), num_slots, history)


def draw_profiles(world: World, seed: UInt64[A, " rows"], user: Int[A, " rows"]) -> Int[A, " rows"]:
    """A profile of the population for each new user of a seat, with replacement."""
    zeros = np.zeros(len(seed), np.int32)
    luck = Draws(seed, user.astype(np.int32), zeros, zeros).uniform(Purpose.PROFILE)[:, 0].astype(np.float64)
    num_users = world.population.num_users
    return np.minimum((luck * num_users).astype(np.int32), num_users - 1)
