"""How the feedback loop grows with users, items and days; and one arm of any size in a process of its own.

python -m benchmarks.feedback 100000 20000 60          users, items and days of one arm: seconds and peak memory
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bounds import bounded
from recsim_lab.evaluation.feedback.plan import Arm, FeedbackPlan
from recsim_lab.evaluation.feedback.study import run_feedback
from scenarios.factories import FACTORIES

MODEL = "mf:dim=16,epochs=3,warm_epochs=1,batch_size=4096"
LOG_DAYS, WINDOW_DAYS = 5, 7
SIZES = ((500, 1_000, 10), (2_000, 1_000, 10), (500, 4_000, 10), (500, 1_000, 40))


def growth() -> Iterator[dict[str, Any]]:
    """The first size, and each of users, items and days four times as many."""
    first = None
    for size in SIZES:
        told = one_arm(*size)
        first = first or told["value"]
        yield told | ({} if size == SIZES[0] else {"ratio_to": {"the smallest": round(told["value"] / first, 2)}})


def one_arm(num_users: int, num_items: int, days: int) -> dict[str, Any]:
    """Seconds of the loop of one arm, the log before it included; the bubble is measured every 10 days."""
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
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run_feedback(plan, FACTORIES, Path(folder))
    return {
        "name": f"feedback_loop_{num_users}_users_{num_items}_items_{days}_days",
        "value": round(time.perf_counter() - started, 2),
        "unit": "s",
        "work": f"{num_users:,} users, {num_items:,} items, {LOG_DAYS} days of random slates and {days} of {MODEL}, "
        f"which learns every day from the last {WINDOW_DAYS}",
    }


if __name__ == "__main__":
    told = one_arm(*(int(word) for word in sys.argv[1:4]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(bounded(told | {"peak_memory_gib": round(peak, 2)})), flush=True)
