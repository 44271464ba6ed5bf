"""The hidden truth: items, users, how they choose and why they change, behind three laws.

`arrive` (time has passed), `respond` (a slate was shown), `depart` (the next visit, or never). The laws edit the
given rows of the state in place and touch no others; all randomness comes in as `draws`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from recsim_lab.policy import NEVER, TICKS_PER_DAY, FeatureTable
from recsim_lab.simulation.catalogue import Catalogue
from recsim_lab.simulation.choice import ChoiceModel
from recsim_lab.simulation.dynamics import Dynamics, Response, State
from recsim_lab.simulation.feedback import ClicksOnly, Feedback
from recsim_lab.simulation.kernels import mark_void
from recsim_lab.simulation.population import Population
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.utility import NUM_DEVICES, PARTS_OF_DAY, Utility
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(frozen=True, repr=False)
class World:
    """A catalogue, a population, a choice model and a tuple of dynamics, applied in their order.

    `num_slots` is the usual length of a slate, `session_steps` the most slates of a visit. `clickbait_harm` is
    what a unit of clickbait takes from the value of a click. `habit_of_time` and `habit_of_device` are the
    chances that a visit comes at the user's favourite part of the day and from their favourite device; otherwise
    any is as likely.
    """

    name: str
    catalogue: Catalogue
    population: Population
    choice: ChoiceModel
    utility: Utility = Utility()
    feedback: Feedback = ClicksOnly()
    dynamics: tuple[Dynamics, ...] = ()
    num_slots: int = 10
    session_steps: int = 15
    clickbait_harm: float = 0.6
    habit_of_time: float = 0.6
    habit_of_device: float = 0.8

    def __post_init__(self) -> None:
        if self.num_slots < 1:
            raise ValueError(f"num_slots must be at least 1, got {self.num_slots}")
        if not 1 <= self.session_steps <= 2**16 - 1:
            raise ValueError(f"session_steps must be in [1, 65535], got {self.session_steps}")
        for dynamics in self.dynamics:
            for name, value in vars(dynamics).items():
                if isinstance(value, float) and not value < np.inf:
                    raise ValueError(f"{name} of {type(dynamics).__name__} must be a finite number, got {value}")
        if self.catalogue.latent.shape[1] != self.population.latent.shape[1]:
            raise ValueError(
                "items and users must have latent vectors of one dimension, "
                f"got {self.catalogue.latent.shape[1]} and {self.population.latent.shape[1]}"
            )
        for name in ("habit_of_time", "habit_of_device"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name, limit in (("part_of_day", PARTS_OF_DAY), ("device", NUM_DEVICES)):
            if (largest := getattr(self.population, name).max()) >= limit:
                raise ValueError(f"{name} must be below {limit}, got {largest}")
        if self.utility.crosses is not None:
            self.utility.crosses.check_codes(self.catalogue, self.population)

    def __repr__(self) -> str:
        sizes = f"{self.population.num_users} users, {self.catalogue.num_items} items"
        return f"<World {self.name!r}: {sizes}, {self.num_slots} slots>"

    @cached_property
    def features(self) -> FeatureTable:
        """What is public about users and items."""
        user_fields, users = self.population.public_fields()
        item_fields, items = self.catalogue.public_fields()
        release, withdrawal = self.catalogue.release_ticks()
        return FeatureTable(user_fields, item_fields, users, items, release, withdrawal, self.catalogue.titles)

    @cached_property
    def cumulative_taste(self) -> Float32[A, "users topics"]:
        return np.cumsum(self.population.topic_taste, axis=1, dtype=np.float32)

    @cached_property
    def _item_part(self) -> Float32[A, " items"]:
        return self.utility.item_part(self)

    @cached_property
    def _release(self) -> Int[A, " items"]:
        # What is on offer from the start is so before the first visit too.
        return np.where(self.catalogue.release_day > 0, self.catalogue.release_ticks()[0], -TICKS_PER_DAY)

    # ---- state -----------------------------------------------------------------------------------------------

    def initial(self, profile: Int[A, " rows"], draws: Draws) -> State:
        """The state of users with these profiles before their first visit.

        Raises:
            ValueError: if two parts of the world own one array, or a dynamics reads one that nobody owns.
        """
        num_rows = len(profile)
        state: State = {
            "profile": profile.astype(np.int32),
            "habit": self.population.habit[profile],
            "tick": np.full(num_rows, -TICKS_PER_DAY, np.int64),
            "device": np.zeros(num_rows, np.int8),
        }
        for dynamics in self.dynamics:
            own = dynamics.initial(self, profile, draws)
            if twice := sorted(set(own) & set(state)):
                raise ValueError(f"an array must have one owner, but {twice[0]!r} has {dynamics} and another")
            state |= own
        state.setdefault("preference", self.population.latent[profile])
        for dynamics in self.dynamics:
            if absent := sorted(set(dynamics.reads) - set(state)):
                raise ValueError(f"{dynamics} reads {absent[0]!r}, which no dynamics of this world has; add one")
        return state

    # ---- utility ---------------------------------------------------------------------------------------------

    def true_utility(
        self, state: State, rows: Int[A, " rows"], items: Int[A, "rows slots"]
    ) -> tuple[Float32[A, "rows slots"], Float32[A, "rows slots"]]:
        """What showing each item now would be worth to each user: utility, and its personal part."""
        match = self.utility.match(self, state, rows, items)
        utility = match + self._item_part.take(items)
        if self.utility.freshness:
            utility += self.utility.fresh_part(self, state["tick"][rows], items)
        for dynamics in self.dynamics:
            term = dynamics.utility(self, state, rows, items)
            if term is not None:
                utility += term
        return utility, match

    def value(self, match: Float32[A, " pairs"], items: Int[A, " pairs"]) -> Float32[A, " pairs"]:
        """What consuming an item gives a user whose personal part of the utility is `match`."""
        harm = np.float32(self.clickbait_harm) * self.catalogue.clickbait.take(items)
        return match + self.catalogue.quality.take(items) - harm

    def click_probability(
        self, state: State, rows: Int[A, " rows"], slate: Int[A, "rows slots"]
    ) -> Float64[A, "rows slots"]:
        """The exact chance of each click, if the slates were shown now."""
        utility, _ = self.true_utility(state, rows, slate)
        utility[self.void_slots(state, rows, slate)[0]] = -np.inf
        return self.choice.click_probability(utility, state["habit"][rows])

    def void_slots(
        self, state: State, rows: Int[A, " rows"], slate: Int[A, "rows slots"]
    ) -> tuple[Bool[A, "rows slots"], Int[A, " rows"]]:
        """Slots that nobody can click, since the item is repeated or not on offer; and how many each slate has."""
        void, num_void = np.empty(slate.shape, bool), np.empty(len(slate), np.int64)
        mark_void(slate, rows, state["tick"], self._release, void, num_void)
        return void, num_void

    # ---- the three laws --------------------------------------------------------------------------------------

    def arrive(self, state: State, rows: Int[A, " rows"], tick: Int[A, " rows"], draws: Draws) -> None:
        """The users come at `tick`: set the context of the visit and apply what the time away has done."""
        last = state["tick"][rows]
        # At a user's first visit nothing has happened yet that absence could undo.
        days = np.where(last < 0, 0, tick // TICKS_PER_DAY - last // TICKS_PER_DAY)
        state["tick"][rows] = tick
        luck = draws.uniform(Purpose.DEVICE, 2)
        own = self.population.device[state["profile"][rows]]
        other = (luck[:, 1] * np.float32(NUM_DEVICES)).astype(np.int8)
        state["device"][rows] = np.where(luck[:, 0] < self.habit_of_device, own, other)
        for dynamics in self.dynamics:
            dynamics.arrive(self, state, rows, days, draws)

    def respond(
        self, state: State, rows: Int[A, " rows"], slate: Int[A, "rows slots"], step: Int[A, " rows"], draws: Draws
    ) -> Response:
        """The users see the slates: clicks, what they leave behind, the change they make, and who leaves."""
        void, num_void = self.void_slots(state, rows, slate)
        utility, match = self.true_utility(state, rows, slate)
        if num_void.any():
            utility[void] = -np.inf
        habit = state["habit"].take(rows)
        clicks = self.choice.sample_clicks(utility, habit, draws)
        # On a flat array: finding what is true is several times faster than in two dimensions.
        clicked = clicks.ravel().nonzero()[0]
        row = clicked // slate.shape[1]
        item = slate.take(clicked)
        response = Response(
            slate=slate,
            void=void,
            num_void=num_void,
            utility=utility,
            match=match,
            habit=habit,
            clicks=clicks,
            clicked_row=row,
            clicked_slot=clicked - row * slate.shape[1],
            clicked_item=item,
            value=self.value(match.take(clicked), item),
            dwell=np.zeros(slate.shape, np.float32),
            likes=np.zeros(slate.shape, bool),
            reward=np.zeros(len(slate), np.float32),
            left=step + 1 >= self.session_steps,
        )
        self.feedback.emit(self, state, rows, response, draws)
        for dynamics in self.dynamics:
            dynamics.respond(self, state, rows, response, draws)
        self._leave(state, rows, response, draws)
        return response

    def _leave(self, state: State, rows: Int[A, " rows"], response: Response, draws: Draws) -> None:
        chances = [
            chance
            for dynamics in self.dynamics
            if (chance := dynamics.leave_probability(self, state, rows, response)) is not None
        ]
        if chances:
            luck = draws.uniform(Purpose.LEAVE, len(chances))
            for lane, chance in enumerate(chances):
                response.left[luck[:, lane] < chance] = True

    def depart(self, state: State, rows: Int[A, " rows"], draws: Draws) -> Int[A, " rows"]:
        """The tick of each user's next visit, `NEVER` for those who do not come back."""
        draws = draws.at_step(0)
        gap = self._gap_days(state, rows, draws)
        return np.where(gap < 0, NEVER, self._visit_tick(state, rows, gap, draws))

    def first_visit(self, state: State, rows: Int[A, " rows"], draws: Draws) -> Int[A, " rows"]:
        """The tick at which users come for the first time: a return from the day before day 0, by all of them."""
        gap = np.abs(self._gap_days(state, rows, draws))
        return self._visit_tick(state, rows, gap, draws)

    def _gap_days(self, state: State, rows: Int[A, " rows"], draws: Draws) -> Int[A, " rows"]:
        gap = np.ones(len(rows), np.int64)
        for dynamics in self.dynamics:
            days = dynamics.gap_days(self, state, rows, draws)
            if days is not None:
                gap = np.where((gap < 0) | (days < 0), -1, np.maximum(gap, days))
        return gap

    def _visit_tick(self, state: State, rows: Int[A, " rows"], gap: Int[A, " rows"], draws: Draws) -> Int[A, " rows"]:
        luck = draws.uniform(Purpose.PART_OF_DAY, 2)
        own = self.population.part_of_day[state["profile"][rows]]
        other = (luck[:, 1] * np.float32(PARTS_OF_DAY)).astype(np.int64)
        part = np.where(luck[:, 0] < self.habit_of_time, own, other)
        day = state["tick"][rows] // TICKS_PER_DAY + gap
        return day * TICKS_PER_DAY + part * (TICKS_PER_DAY // PARTS_OF_DAY)
