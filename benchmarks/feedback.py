"""How the feedback loop grows with users, items and days; and one arm of any size in a process of its own.

python -m benchmarks.feedback 100000 20000 60          users, items and days of one arm: seconds and peak memory
python -m benchmarks.feedback 100000 20000 60 runs/arm the same, kept in a folder: a killed run goes on from there
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.bounds import bounded
from recsim_lab.evaluation.feedback.plan import Arm, FeedbackPlan, LoopUnit
from recsim_lab.evaluation.feedback.study import run_feedback
from scenarios.factories import FACTORIES

MODEL = "mf:dim=16,epochs=3,warm_epochs=1,batch_size=4096"
LOG_DAYS, WINDOW_DAYS = 5, 7
SIZES = ((500, 1_000, 10), (2_000, 1_000, 10), (500, 4_000, 10), (500, 1_000, 40))


@dataclass
class Pace:
    """When each day of the loop was done in this process; tells it on standard error if it is `aloud`."""

    aloud: bool = False
    started: float = field(default_factory=time.perf_counter)
    ticked: list[float] = field(default_factory=list)
    """When the loop began or went on, and when each day was done."""
    num_before: int = 0
    """Days that were served before, by another process."""

    def __call__(self, unit: LoopUnit, done: int, total: int) -> None:
        self.ticked.append(time.perf_counter())
        if len(self.ticked) == 1:
            self.num_before = done
            self._say(f"day {done} of {total}: the loop begins after {self.ticked[0] - self.started:.0f} s")
        else:
            of_day = (self.ticked[-1] - self.ticked[0]) / (done - self.num_before)
            left = timedelta(seconds=round(of_day * (total - done)))
            self._say(f"day {done} of {total}: {of_day:.1f} s a day, {left} left")

    def parts(self) -> dict[str, float]:
        """Seconds of the log before the loop, of the loop's days, and of what comes after; none of a loop that was
        over before."""
        times = [self.started, self.ticked[0], self.ticked[-1], time.perf_counter()] if self.ticked else []
        names = ("before_the_loop", "days", "after_the_loop")
        return {name: round(end - start, 2) for name, start, end in zip(names, times, times[1:], strict=False)}

    def _say(self, line: str) -> None:
        if self.aloud:
            print(line, file=sys.stderr, flush=True)


def growth() -> Iterator[dict[str, Any]]:
    """The first size, and each of users, items and days four times as many; once before, so that what is compiled or
    read but once is in none of them."""
    one_arm(*SIZES[0])
    first = None
    for size in SIZES:
        told = one_arm(*size)
        first = first or told["value"]
        yield told | ({} if size == SIZES[0] else {"ratio_to": {"the smallest": round(told["value"] / first, 2)}})


def one_arm(
    num_users: int, num_items: int, days: int, folder: Path | None = None, aloud: bool = False
) -> dict[str, Any]:
    """Seconds of the loop of one arm, the log before it included; the bubble is measured every 10 days.

    In a `folder` all is kept, and what a stopped run has left there is gone on with.
    """
    plan = FeedbackPlan(
        world=f"everyday:num_users={num_users},num_items={num_items}",
        seeds=(0,),
        arms=(Arm("no remedy", MODEL),),
        log_days=LOG_DAYS,
        loop_days=days,
        window_days=WINDOW_DAYS,
        recent_days=WINDOW_DAYS,
        measure_every=min(10, days),
        price_days=min(10, days),
        student="popularity",
        target=f"{MODEL},epsilon=0.2",
        probe_share=0.01,
    )
    goes_on = folder is not None and (folder / "plan.json").exists()
    pace = Pace(aloud)
    with tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as place:
        run_feedback(plan, FACTORIES, Path(place), each_day=pace)
        seconds, parts = time.perf_counter() - pace.started, pace.parts()
    work = (
        f"{num_users:,} users, {num_items:,} items, {LOG_DAYS} days of random slates and {days} of {MODEL}, "
        f"which learns every day from the last {WINDOW_DAYS}"
    )
    if goes_on:
        num_before = pace.num_before if pace.ticked else days
        work += f"; goes on after {num_before} of these days: seconds are of this process alone"
    return {
        "name": f"feedback_loop_{num_users}_users_{num_items}_items_{days}_days",
        "value": round(seconds, 2),
        "unit": "s",
        "work": work,
        "parts": parts,
    }


def main() -> None:
    num_users, num_items, days = (int(word) for word in sys.argv[1:4])
    told = one_arm(num_users, num_items, days, Path(sys.argv[4]) if len(sys.argv) > 4 else None, aloud=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(bounded(told | {"peak_memory_gib": round(peak, 2)})), flush=True)


if __name__ == "__main__":
    main()
