"""`make bench`: how fast the lab is, one JSON line per measurement.

Keys: `name`, `value`, `unit`, `work` (in words), and `ratio_to` for rates whose limit was measured in the same run; of
the feedback loop also the seconds of its `parts`; `limit` and `within` where the figure was asked to keep to something
(see `bounds`), `within` null where the machine lacks what it is compared with. Each rate is the median over
repetitions.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import (
    acting,
    bounds,
    combinators,
    environment,
    feedback,
    limit,
    losses,
    off_policy,
    protocols,
    ranking,
    sequence_training,
    training,
    two_stage,
)


def main() -> None:
    for measurement in measurements():
        print(json.dumps(bounds.bounded(measurement)), flush=True)


def measurements() -> Iterator[dict[str, Any]]:
    fused = limit.fused_limit()
    yield fused
    vector = environment.vector_env_step()
    yield vector | {"ratio_to": {"fused_limit": round(vector["value"] / fused["value"], 3)}}
    yield environment.single_env_step()
    for num_users, num_items in ((1_000, 10_000), (100_000, 10_000), (10_000, 1_000), (10_000, 100_000)):
        yield environment.vector_env_step(num_users, num_items)
    few, many = (sessions_in_fresh_process(num_users) for num_users in (10_000, 1_000_000))
    yield few
    yield many | {"ratio_to": {few["name"]: round(many["value"] / few["value"], 3)}}
    yield ranking.full_ranking()
    yield ranking.top_100()
    yield protocols.offline_scoring()
    yield from off_policy.estimators()
    yield from off_policy.pseudo_inverse()
    yield losses.ranknet_speedup()
    yield training.matrix_factorization_epoch()
    yield training.hard_negatives_epoch()
    yield training.two_tower_epoch()
    yield training.dcn_epoch()
    yield sequence_training.sasrec_epoch()
    yield from combinators.overheads()
    yield from feedback.growth()
    yield from acting.loops()
    yield two_stage.factor_top_10()
    yield two_stage.large_catalogue_in_fresh_process()


def sessions_in_fresh_process(num_users: int) -> dict[str, Any]:
    """`benchmarks.million_users` on its own, so that peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.million_users", str(num_users)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
