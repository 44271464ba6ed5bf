"""The plan of a feedback loop: who serves the same users, for how long, and when the bubble is measured."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from recsim_lab.evaluation.oracle import REFERENCES
from recsim_lab.evaluation.units import safe_name

Role = Literal["remedy", "control"]

NULL_TWIN = "null twin"
"""The arm that is the first one again, under other luck: no metric may tell the two apart."""
ALL_DATA = "learns from all data"
"""The first arm again, which forgets nothing: no lost data sets it apart from the frozen twin."""
NOBODY = "nobody served"
"""The run in which nothing is shown: only preferences are known of it, which drift by themselves."""
START = "start"
"""The moment when the loop begins, told as if it were a run: tastes before anything has moved them."""


@dataclass(frozen=True)
class Arm:
    """A way to serve from the loop's first day on.

    `policy` is an agent's spec or one of `REFERENCES`, which read the hidden truth. An agent learns from the log before
    the loop, and goes on learning while it serves if it `learns`: from the plan's window, or, where it never `forgets`,
    from all that it has shown and the log before. `luck`, a name, gives other luck than the twins'. `dial` names what
    `setting` is a setting of, for arms that differ in it alone.
    """

    name: str
    policy: str
    learns: bool = True
    forgets: bool = True
    luck: str = ""
    role: Role = "remedy"
    dial: str = ""
    setting: float | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name must not be empty")
        if bool(self.dial) != (self.setting is not None):
            raise ValueError(f"dial must go with a setting, got dial {self.dial!r} with setting {self.setting}")

    @property
    def is_reference(self) -> bool:
        return self.policy in REFERENCES

    @property
    def turned_to(self) -> float:
        """The setting, NaN where it is one of no dial."""
        return math.nan if self.setting is None else self.setting


@dataclass(frozen=True)
class FeedbackPlan:
    """What to run.

    In each seed `logging` serves for `log_days`. Then each arm serves twins of the same users with the same luck for
    `loop_days`; agents learn every `retrain_every` days from the last `window_days` of what they showed, and of the log
    before. The first arm is the baseline, the loop without a remedy. Controls run in the first `control_seeds` seeds.
    Every `measure_every` days the bubble is measured over the last `recent_days`. Costs and gains are those of the
    first and the last `price_days`; the learning dividend is measured in `dividend_days` after the loop. A `student`
    learns from each arm's last `window_days`, which tells what its log is worth, as does how well a `target`, which has
    learned from the log before the loop, can be valued from what the arm shows in the days after it. Regret is known of
    a `probe_share` of the requests; at most `sample` users are compared in pairs.
    """

    world: str
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    control_seeds: int = 3
    logging: str = "random"
    log_days: int = 45
    loop_days: int = 60
    retrain_every: int = 1
    window_days: int = 30
    measure_every: int = 5
    recent_days: int = 10
    price_days: int = 10
    dividend_days: int = 3
    student: str = "ease"
    target: str = "mf:epsilon=0.2"
    probe_share: float = 0.05
    sample: int = 1000
    history: int = 128

    def __post_init__(self) -> None:
        for name in ("seeds", "arms"):
            if not getattr(self, name):
                raise ValueError(f"{name} must hold at least one, got none")
        for name, values in (("seeds", self.seeds), ("arms", tuple(arm.name for arm in self.arms))):
            if twice := [value for i, value in enumerate(values) if value in values[:i]]:
                raise ValueError(f"{name} must be distinct, got {twice[0]!r} more than once")
        if self.baseline.role != "remedy" or self.baseline.is_reference or not self.baseline.learns:
            raise ValueError(f"the first arm must be an agent that learns and no control, got {self.baseline}")
        for name in ("log_days", "window_days", "recent_days", "dividend_days", "control_seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("retrain_every", "measure_every", "price_days"):
            if not 1 <= getattr(self, name) <= self.loop_days:
                raise ValueError(f"{name} must be in [1, loop_days], got {getattr(self, name)} of {self.loop_days}")
        if self.sample < 2:
            raise ValueError(f"sample must be at least 2, got {self.sample}")

    @property
    def baseline(self) -> Arm:
        return self.arms[0]

    @property
    def end_day(self) -> int:
        return self.log_days + self.loop_days

    @property
    def measured_days(self) -> tuple[int, ...]:
        """Days of the loop, counted from 1, at whose end the bubble is measured; the last one always."""
        days = range(self.measure_every, self.loop_days, self.measure_every)
        return (*days, self.loop_days)

    def window_of(self, arm: Arm) -> int | None:
        """Newest days that the arm learns from; None: all of them."""
        return self.window_days if arm.forgets else None

    def memory_of(self, arm: Arm) -> int | None:
        """Newest days of the arm's log that are needed while it serves; None: all of them."""
        return max(self.window_days, self.recent_days) if arm.forgets else None

    @cached_property
    def by_name(self) -> dict[str, Arm]:
        return {arm.name: arm for arm in self.arms}

    def units(self) -> "list[LoopUnit]":
        """Every arm of every seed, the baseline first: others are compared with its model."""
        return [
            LoopUnit(seed, arm.name)
            for arm in self.arms
            for number, seed in enumerate(self.seeds)
            if arm.role != "control" or number < self.control_seeds
        ]


@dataclass(frozen=True)
class LoopUnit:
    """A piece of work: an arm in a seed."""

    seed: int
    arm: str
    folder: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", f"seed={self.seed}/{safe_name(self.arm)}")
