"""What figures of speed were asked to keep to, on two idle cores: `limit` in words and `within` beside each of them."""

import re
from dataclasses import dataclass
from typing import Any, final

from benchmarks.real_data.gates import Gate


@final
@dataclass(frozen=True)
class Bound:
    """A gate on one figure of a measurement: `value`, another key, or a ratio of its `ratio_to`."""

    figure: str
    gate: str

    def __post_init__(self) -> None:
        Gate(self.gate)

    def __str__(self) -> str:
        return f"{self.figure} {self.gate}"

    def holds(self, measurement: dict[str, Any]) -> bool | None:
        """None where the measurement lacks the figure, as it lacks the ratio to a package that isn't installed."""
        found = measurement.get(self.figure, measurement.get("ratio_to", {}).get(self.figure))
        return None if found is None else Gate(self.gate).passed(float(found), lambda name: None)


@final
@dataclass(frozen=True)
class Limit:
    """Bounds that all have to hold, or with `either` one of them."""

    bounds: tuple[Bound, ...]
    either: bool = False

    def __str__(self) -> str:
        return (" or " if self.either else " and ").join(map(str, self.bounds))

    def within(self, measurement: dict[str, Any]) -> bool | None:
        """None where that hangs on a figure which isn't there."""
        held = [bound.holds(measurement) for bound in self.bounds]
        decided = self.either  # one that is met decides an "or", one that is missed an "and"
        return decided if decided in held else None if None in held else not decided


LIMITS = {
    "vector_env_step": Limit((Bound("value", ">= 3e6"), Bound("fused_limit", ">= .2")), either=True),
    "single_env_step": Limit((Bound("value", ">= 15000"),)),
    "million_users": Limit((Bound("peak_memory_gib", "<= 2"), Bound("sessions_10000_users", ">= .5"))),
    "full_ranking": Limit((Bound("value", "< 1"),)),
    "top_100": Limit((Bound("implicit", "<= 2"),)),
    "offline_scoring": Limit((Bound("value", "< 60"),)),
    r"off_policy\[pi, .*\]": Limit((Bound("value", "<= 10"),)),
    r"off_policy\[.*\]": Limit((Bound("value", "< 1"),)),
    "ranknet_speedup": Limit((Bound("value", "> 1"),)),
    "sasrec_epoch": Limit((Bound("value", "<= 25"),)),
    "feedback_loop_100000_users_20000_items_60_days": Limit((Bound("peak_memory_gib", "<= 8"),)),
    r"learn_by_acting\[reinforce\]": Limit((Bound("time in the environment", "< .25"),)),
    "factor_top_10": Limit((Bound("torch product and topk", ">= .7"),)),
    "two_stage_million_items": Limit((Bound("value", ">= 2000"), Bound("recall", ">= .95"))),
}
"""By the measurement's name, as a regular expression of which the first counts."""


def bounded(measurement: dict[str, Any]) -> dict[str, Any]:
    """The measurement with its limit and whether it is within, if there is one for its name."""
    for name, limit in LIMITS.items():
        if re.fullmatch(name, measurement["name"]):
            return measurement | {"limit": str(limit), "within": limit.within(measurement)}
    return measurement
