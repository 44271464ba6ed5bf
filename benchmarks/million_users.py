"""`Sessions` of many users in a fresh process: user-steps per second and peak memory."""

import json
import resource
import sys

import numpy as np

from benchmarks.bench_world import NUM_SLOTS, WORK, bench_world, median_rate
from recsim_lab.simulation.sessions import population_sessions


def main() -> None:
    num_users, num_items = int(sys.argv[1]), 10_000
    sessions = population_sessions(bench_world(num_users, num_items), seed=0)
    rows = np.arange(num_users)
    sessions.open(rows, np.zeros(num_users, np.int64))
    slate = np.random.default_rng(0).integers(num_items, size=(num_users, NUM_SLOTS)).astype(np.int32)
    rate = median_rate(lambda i: sessions.answer(rows, slate), num_users, 5 if num_users > 100_000 else 50)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        json.dumps(
            {
                "name": "million_users" if num_users == 10**6 else f"sessions_{num_users}_users",
                "value": round(rate),
                "unit": "user-steps/s",
                "work": "Sessions.answer in a fresh process, " + WORK.format(users=num_users, items=num_items),
                "peak_memory_gib": round(peak, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
