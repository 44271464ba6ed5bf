"""Seconds to score one agent under every protocol on a log of a million impressions."""

import time
from typing import Any

from agents.registry import make_agent
from recsim_lab.evaluation.estimates import estimates_of
from recsim_lab.evaluation.offline import protocol_metrics, requests_of_fold, retrieved_by
from recsim_lab.evaluation.protocols import TemporalSplit, usual_protocols
from recsim_lab.evaluation.truth import Moments, Recorder
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform
from recsim_lab.simulation.presets import make_world
from scenarios.factories import FACTORIES

NUM_IMPRESSIONS = 1_000_000
TEST_DAYS = 8
ESTIMATED_SLATES = 2000


def logged(num_impressions: int, num_users: int = 2000, num_items: int = 2000) -> tuple[InteractionLog, Moments]:
    """A log of random slates in `everyday`, cut to so many impressions, and the truth of its moments."""
    world, recorder = make_world("everyday", num_users=num_users, num_items=num_items), Recorder()
    platform = Platform(world, FACTORIES.rules(make_agent("random")), history=128, probe=recorder)
    day = TEST_DAYS
    while len(platform.log()) * world.num_slots < num_impressions:
        day += 2
        platform.run(day)
    log, moments = platform.log(), recorder.moments(world)
    rows = slice(len(log) - num_impressions // world.num_slots, None)
    return log.take(rows), Moments(world, {name: values[rows] for name, values in moments.state.items()})


def offline_scoring(
    num_impressions: int = NUM_IMPRESSIONS, agent: str = "mf", num_users: int = 2000, num_items: int = 2000
) -> dict[str, Any]:
    """Requests rebuilt, scored and compared under `usual_protocols`, and asked of every off-policy estimator; copies
    of the agent are trained before."""
    log, moments = logged(num_impressions, num_users, num_items)
    protocols = usual_protocols(TEST_DAYS)
    trained = make_agent(agent)
    trained.learn(log.take(TemporalSplit(TEST_DAYS).folds(log)[0].train))
    ruled, retriever = FACTORIES.rules(trained), make_agent("item-knn")
    retriever.learn(log)
    started = time.perf_counter()
    for split in dict.fromkeys(protocol.split for protocol in protocols):
        of_split = tuple(protocol for protocol in protocols if protocol.split == split)
        for fold in split.folds(log):
            num = retrieved_by(of_split)
            requests = requests_of_fold(
                log, split, fold, FACTORIES.restrict, moments=moments, retriever=retriever, num_retrieved=num
            )
            protocol_metrics(trained, ruled, requests, of_split)
    rows = TemporalSplit(TEST_DAYS).folds(log)[0].test.nonzero()[0][:ESTIMATED_SLATES]
    estimates_of(ruled, log, rows, FACTORIES.restrict, FACTORIES.rules(make_agent("random")), moments)
    return {
        "name": "offline_scoring",
        "value": round(time.perf_counter() - started, 3),
        "unit": "s",
        "work": f"one agent under {len(protocols)} protocols and all estimators, {log.slate.size:,} impressions",
    }
