"""A feedback loop as its report reads it: the plan, the tables, and which arms are shown where."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from recsim_lab.evaluation.feedback.narrowing import FROZEN, ORGANIC
from recsim_lab.evaluation.feedback.plan import NOBODY, FeedbackPlan
from recsim_lab.reporting.bubble_words import estimate
from recsim_lab.reporting.figures.arm_styles import ArmStyles
from recsim_lab.reporting.words import Estimate

TABLES = ("days", "welfare", "remedies", "controls", "differences", "narrowing", "frontier", "examples")
YARDSTICKS = (FROZEN, ORGANIC, "random", "oracle")
"""The controls that are drawn beside remedies; nobody served stands beside them where tastes are told."""
UNKNOWN = float("nan")


@dataclass(frozen=True)
class LoopRun:
    """`tables` are those of `recsim_lab.evaluation.feedback` by name; `remedies` the arms that are shown in every
    section, while further settings of dials have a section of their own."""

    plan: FeedbackPlan
    tables: Mapping[str, pd.DataFrame]
    remedies: tuple[str, ...]

    def __post_init__(self) -> None:
        if missing := [name for name in TABLES if name not in self.tables]:
            raise ValueError(f"tables must hold {', '.join(missing)}, got {', '.join(self.tables)}")
        arms = [arm.name for arm in self.plan.arms[1:] if arm.role == "remedy"]
        if unknown := [name for name in self.remedies if name not in arms]:
            raise ValueError(f"remedies must be among the plan's ({', '.join(arms)}), got {unknown[0]!r}")

    @property
    def baseline(self) -> str:
        return self.plan.baseline.name

    @cached_property
    def controls(self) -> tuple[str, ...]:
        return tuple(arm.name for arm in self.plan.arms if arm.role == "control")

    @cached_property
    def yardsticks(self) -> tuple[str, ...]:
        return tuple(name for name in YARDSTICKS if name in self.controls)

    @property
    def shown(self) -> tuple[str, ...]:
        """All arms but the baseline and the settings of dials that are not remedies by name."""
        return (*self.remedies, *self.controls)

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """Arms that are settings of a dial."""
        return tuple(arm.name for arm in self.plan.arms if arm.dial)

    @property
    def num_seeds(self) -> int:
        return len(self.plan.seeds)

    @property
    def control_seeds(self) -> int:
        return min(self.plan.control_seeds, self.num_seeds)

    def styles(self, *controls: str) -> ArmStyles:
        """How arms are drawn where these controls are shown beside remedies."""
        return ArmStyles(self.baseline, self.remedies, tuple(name for name in controls if self.ran(name)))

    def ran(self, arm: str) -> bool:
        return arm in self.controls or arm == NOBODY

    @cached_property
    def prices(self) -> dict[str, dict[str, Any]]:
        """The row of each arm but the baseline in the table of remedies."""
        return {str(row["arm"]): row for row in self.tables["remedies"].to_dict("records")}

    @cached_property
    def _differences(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        rows = self.tables["differences"].to_dict("records")
        return {(row["arm"], row["level"], row["metric"]): row for row in rows}

    def difference(self, arm: str, level: str, metric: str) -> Estimate:
        """What sets the arm apart from the baseline on the last day; unknown where it did not run."""
        row = self._differences.get((arm, level, metric))
        ends = (UNKNOWN,) * 3 if row is None else (row["difference"], row["low"], row["high"])
        return estimate(metric, *ends, difference=True)

    def narrowing(self, level: str, metric: str) -> tuple[Estimate, Estimate, Estimate]:
        """The loop's value on the last day, that of its frozen twin, and the first minus the second, in the seeds that
        both ran in."""
        row = self._differences.get((FROZEN, level, metric))
        if row is None:
            return (estimate(metric, UNKNOWN, UNKNOWN, UNKNOWN),) * 3
        loop, twin = (estimate(metric, row[name], UNKNOWN, UNKNOWN) for name in ("baseline", "value"))
        less = estimate(metric, -row["difference"], -row["high"], -row["low"], difference=True)
        return loop, twin, less

    def price(self, arm: str, name: str, form: str = "+.1f", sign: float = 1.0) -> Estimate:
        """A column of the table of remedies with its interval; `sign` turns costs into differences."""
        row = self.prices.get(arm)
        if row is None or name not in row:
            return Estimate(UNKNOWN, UNKNOWN, UNKNOWN, form)
        low, high = sorted(sign * row[f"{name}{end}"] for end in ("_low", "_high"))
        return Estimate(sign * row[name], low, high, form)

    def break_even(self, arm: str) -> str:
        return str(self.prices[arm]["break_even"]) if arm in self.prices else ""

    def metrics(self, level: str, direction: str | None = None) -> list[tuple[str, str, str]]:
        """Level, direction and name of what is told of the baseline, in order of appearance."""
        days = self.tables["days"]
        own = days[(days["arm"] == self.baseline) & (days["level"] == level)]
        keys = own[["level", "direction", "metric"]].drop_duplicates().itertuples(index=False, name=None)
        order = {metric: place for place, metric in enumerate(self._order)}
        known = sorted(keys, key=lambda key: order.get(key, len(order)))
        return [key for key in known if direction is None or key[1] == direction]

    @cached_property
    def _order(self) -> list[tuple[str, str, str]]:
        """Metrics as the table of controls lists them."""
        columns = self.tables["controls"][["level", "direction", "metric"]]
        return list(columns.itertuples(index=False, name=None))

    @property
    def reaches(self) -> float:
        """Half the width of the widest interval of a remedy's clicks over the whole loop, in %; NaN where there is
        none."""
        halves = [self.price(arm, "total_percent") for arm in self.remedies]
        widths = [(told.high - told.low) / 2 for told in halves if np.isfinite(told.low)]
        return max(widths, default=UNKNOWN)
