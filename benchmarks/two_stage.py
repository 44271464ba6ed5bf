"""What two stages cost and save: exact recommendations of factors, and a very large catalogue in two stages.

python -m benchmarks.two_stage 1000000          the large catalogue alone, of any size
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, final

import numba
import numpy as np
import torch
from jaxtyping import Int

from agents.registry import make_agent
from agents.two_stage import ByEmbeddings, TwoStage
from benchmarks.bounds import bounded
from benchmarks.real_data.clicks import click_log
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform
from recsim_lab.policy import Observation, Policy, Recommendation, answered
from recsim_lab.probabilities import Probabilities, exactly
from recsim_lab.simulation.presets import make_world
from recsim_lab.streams import Draws, draws_of

A = np.ndarray

NUM_SLOTS = 10
DEPTH = 100
"""Candidates of a request, and the depth at which recall is measured."""
EXACT_UP_TO = 50_000
FACTORS = "mf:dim=64,epochs=1"
TOWERS = "two-tower:width=64,dim=16,hidden=64,epochs=4,validation=0,num_negatives=512,learning_rate=.01,batch_size=2048"
HEAVY = "mlp:target=impressions,loss=lambdarank,dim=8,epochs=3,validation=0"


def factor_top_10(num_users: int = 10_000, num_items: int = 10_000) -> dict[str, Any]:
    """`recommend` of a factor model for all users at once, beside the bare product and top-k of torch.

    The bare one goes through the users in blocks as well, which is faster than at once.
    """
    rng = np.random.default_rng(0)
    user = np.sort(np.concatenate([np.arange(num_users), rng.integers(num_users, size=4 * num_users)]))
    log = click_log(user, rng.permutation(np.arange(len(user)) % num_items), num_items)
    agent = make_agent(FACTORS)
    agent.learn(log)
    first = np.unique(log.user, return_index=True)[1]
    requests, draws = log.observations(first), draws_of(0, np.arange(num_users))
    users, items = (torch.tensor(v) for v in (agent.request_vectors(requests), agent.item_vectors(log.features)))  # type: ignore[attr-defined]

    def bare() -> list[A]:
        return [torch.topk(some @ items.T, NUM_SLOTS).indices.numpy() for some in users.split(512)]

    def ours() -> A:
        return agent.recommend(requests, NUM_SLOTS, draws).items

    same = float((ours() == np.concatenate(bare())).mean())
    if same < 0.99:  # where scores are nearly equal, rounding decides
        raise RuntimeError(f"both must find the same items, {same:.1%} are the same")
    seconds, bare_seconds = _median_seconds(ours, bare)
    return {
        "name": "factor_top_10",
        "value": round(num_users / seconds),
        "unit": "users/s",
        "work": f"recommend of {FACTORS}, {num_users:,} users, {num_items:,} items, exact top {NUM_SLOTS}, on "
        f"{torch.get_num_threads()} torch and {numba.get_num_threads()} Numba threads",
        "ratio_to": {"torch product and topk": round(bare_seconds / seconds, 2)},
    }


def large_catalogue(
    num_items: int = 100_000, num_users: int = 20_000, days: int = 3, num_requests: int = 4_096
) -> dict[str, Any]:
    """Two stages in `everyday` with a catalogue of this size: vectors of two towers that learned in that very world.

    The value is the rate of whole recommendations; `recall` how many of the exact best 100 the first stage finds.
    """
    began = time.perf_counter()
    log = _log(num_items, num_users, days)
    logged = time.perf_counter()
    towers, heavy = make_agent(TOWERS), make_agent(HEAVY)
    towers.learn(log)
    policy = TwoStage(((ByEmbeddings(towers, exact_up_to=EXACT_UP_TO), DEPTH),), heavy, told=False)  # type: ignore[arg-type]
    heavy.learn(log.take(slice(-min(len(log), 200_000), None)))
    taught = time.perf_counter()
    requests = _requests(log, num_requests)
    policy.candidates(requests.take(slice(0, 8)))  # builds the index, and keeps the embedded catalogue
    indexed = time.perf_counter()

    (found,) = policy.found(requests).values()
    exact = ByEmbeddings(towers, "exact")  # type: ignore[arg-type]
    some = requests.take(slice(0, 512))
    started = time.perf_counter()
    best = exact.retrieve(some, DEPTH).items
    exact_seconds = time.perf_counter() - started
    recall = float(np.mean([len(np.intersect1d(*pair)) / DEPTH for pair in zip(found[:512], best, strict=True)]))
    draws = draws_of(0, requests.user)
    (seconds,) = _median_seconds(lambda: policy.recommend(requests, NUM_SLOTS, draws), repetitions=3)
    started = time.process_time()
    policy.recommend(requests, NUM_SLOTS, draws)
    cpu_seconds = time.process_time() - started
    stages = {name.partition(":")[0]: round(1000 * took / len(requests), 3) for name, took in policy.seconds.items()}
    few = requests.take(slice(0, 4))
    (alone,) = _median_seconds(lambda: heavy.recommend(few, NUM_SLOTS, draws.take(np.arange(4))), repetitions=2)
    return {
        "name": "two_stage_million_items" if num_items == 10**6 else f"two_stage_{num_items}_items",
        "value": round(len(requests) / seconds),
        "unit": "users/s",
        "users_per_cpu_second": round(len(requests) / cpu_seconds),
        "recall": round(recall, 4),
        "stage_seconds_per_1000": stages,
        "exact_search_users_per_s": round(len(some) / exact_seconds),
        "heavy_alone_users_per_s": round(len(few) / alone, 2),
        "log_seconds": round(logged - began, 1),
        "training_seconds": round(taught - logged, 1),
        "index_seconds": round(indexed - taught, 1),
        "num_clicks": int(log.clicks.sum()),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "work": f"everyday with {num_items:,} items; the {DEPTH} best by {TOWERS}, ordered by {HEAVY}; "
        f"{len(requests):,} requests at once, on {torch.get_num_threads()} torch threads; "
        f"faiss {'is' if find_spec('faiss') else 'is not'} installed",
    }


def large_catalogue_in_fresh_process(num_items: int = 100_000) -> dict[str, Any]:
    """So that peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.two_stage", str(num_items)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@final
@dataclass(eq=False)
class Spread(Policy):
    """Shows random items out of very many, each slot from a stretch of the catalogue of its own."""

    name = "spread"

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        width = observation.features.num_items // num_slots
        within = (draws.uniform(0, num_slots).astype(np.float64) * width).astype(np.int64)
        items = (np.arange(num_slots) * width + within).astype(np.int32)
        source = np.zeros(items.shape, np.int16)
        return answered(items, self.probabilities(observation, items), source, (self.name,))

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        width = observation.features.num_items // slates.shape[1]
        own = (slates // width == np.arange(slates.shape[1])) / width
        return exactly(own, np.cumprod(own, axis=1))


def _log(num_items: int, num_users: int, days: int) -> InteractionLog:
    """Some days of the world under random slates."""
    world = make_world("everyday", num_items=num_items, num_users=num_users, new_items_a_day=0)
    return Platform(world, Spread(), seed=0).run(days)


def _requests(log: InteractionLog, num_requests: int) -> Observation:
    """The last requests of the log, as if all came at its end, each blocking the clicks before."""
    rows = np.arange(max(len(log) - num_requests, 0), len(log))
    requests = log.observations(rows)
    return replace(requests, tick=np.full(len(rows), log.tick.max())).block(requests.clicked)


def _median_seconds(*works: Callable[[], object], repetitions: int = 5) -> list[float]:
    """Of each work, after one run that doesn't count; taken by turns, so that other load falls on all alike."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(repetitions + 1):
        for times, work in zip(seconds, works, strict=True):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return [float(np.median(times[1:])) for times in seconds]


if __name__ == "__main__":
    print(json.dumps(bounded(large_catalogue(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))))
