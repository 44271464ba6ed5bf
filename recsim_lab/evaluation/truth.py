"""The hidden state of users at each request of a log, so that what they wanted can be asked long after."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Probe
from recsim_lab.policy import Observation
from recsim_lab.simulation.dynamics import State
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World

A = np.ndarray

PUBLIC = ("clicked", "clicked_tick", "shown")
"""Arrays of `Sessions` that the log tells too, and that no law of a world reads."""


@dataclass
class Recorder(Probe):
    """A probe of a `Platform` that remembers the state of every request, in the order of the log."""

    parts: list[State] = field(default_factory=list)

    def __call__(
        self, sessions: Sessions, rows: Int[A, " rows"], observation: Observation, slates: Int[A, "rows slots"]
    ) -> None:
        self.parts.append({name: values[rows] for name, values in sessions.state.items() if name not in PUBLIC})

    def moments(self, world: World, rows: Int[A, " some"] | None = None) -> "Moments":
        """All that was recorded, or the moments of some rows of the log alone."""
        if not self.parts:
            return Moments(world, {})
        order = np.lexsort((self._all("step"), self._all("tick")))
        order = order if rows is None else order[rows]
        return Moments(world, {name: self._all(name)[order] for name in self.parts[0]})

    def _all(self, name: str) -> A:
        return np.concatenate([part[name] for part in self.parts])


@dataclass(frozen=True)
class Moments:
    """The state of the users at each row of a log; `world` says what follows from it."""

    world: World
    state: State

    def __len__(self) -> int:
        return len(next(iter(self.state.values()))) if self.state else 0

    def check(self, log: InteractionLog) -> None:
        """Raise ValueError unless these are the moments of this log."""
        same = len(self) == len(log) and all(
            np.array_equal(self.state[name], getattr(log, name)) for name in ("session", "step", "tick")
        )
        if len(log) and not same:
            raise ValueError(f"moments must be those of the log's {len(log)} requests, got {len(self)} or others")

    def utility(self, rows: Int[A, " requests"]) -> Float32[A, "requests items"]:
        """The true utility of every item at these rows of the log."""
        every = np.arange(self.world.catalogue.num_items, dtype=np.int32)
        return self.world.true_utility(self.state, rows, np.tile(every, (len(rows), 1)))[0]

    def choice(self, rows: Int[A, " requests"], eligible: Bool[A, "requests items"], seed: int) -> Int[A, " requests"]:
        """The item that each user would take with all eligible items in sight: a draw of the multinomial logit of
        true utility, by the largest utility with Gumbel noise; a row's luck follows from the seed and the rows asked.
        """
        luck = np.random.default_rng(seed).gumbel(size=eligible.shape)
        return np.where(eligible, self.utility(rows) + luck, -np.inf).argmax(axis=1)

    def expected_clicks(self, rows: Int[A, " requests"], slates: Int[A, "requests slots"]) -> Float[A, " requests"]:
        """The expected clicks of slates, had they been shown at these rows of the log."""
        return self.world.click_probability(self.state, rows, slates).sum(axis=1)

    def save(self, path: Path) -> None:
        """One file, which appears whole."""
        scratch = path.with_name(path.name + ".partial")
        with scratch.open("wb") as file:
            np.savez(file, **self.state)  # type: ignore[arg-type]
        os.replace(scratch, path)

    @staticmethod
    def load(path: Path, world: World) -> "Moments":
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return Moments(world, {name: arrays[name] for name in arrays.files})
