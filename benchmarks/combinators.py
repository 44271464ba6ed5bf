"""What each policy around a model adds to the time of its recommendations."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from agents.business_rules import RepeatRules
from agents.registry import make_agent
from recsim_lab.platform import Platform
from recsim_lab.policy import Agent, Observation, Policy
from recsim_lab.simulation.presets import make_world
from recsim_lab.streams import draws_of

A = np.ndarray

MODEL = "mf:dim=16,epochs=1"
AROUND = {
    "epsilon": f"{MODEL},epsilon=0.1",
    "epsilon, whole slates": f"{MODEL},epsilon=0.1,per=slate",
    "new items": f"{MODEL},epsilon=0.1,rarity_power=1",
    "Boltzmann": f"{MODEL},boltzmann=0.3",
    "Thompson": f"{MODEL},thompson=1",
    "MMR": f"{MODEL},mmr=0.3",
    "DPP": f"{MODEL},dpp=0.3",
    "calibrated": f"{MODEL},calibrated=0.5",
    "caps": f"{MODEL},topic_cap=3",
    "freshness": f"{MODEL},fresh=1",
    "quota": f"quota(7 {MODEL}; 3 popularity)",
    "by slot": f"by-slot({MODEL}; random at -1)",
    "team draft": f"team-draft({MODEL}; popularity)",
    "bandit": f"bandit({MODEL}; popularity)",
}
REPETITIONS = 5


def overheads(num_users: int = 2_000, num_items: int = 5_000) -> Iterator[dict[str, Any]]:
    """Rates of recommendation of `MODEL` alone, and of what goes around it; `ratio_to` compares the times of two runs
    that take turns."""
    world = make_world("everyday", num_users=num_users, num_items=num_items)
    platform = Platform(world, RepeatRules(make_agent("random")))
    log = platform.run(5)
    requests = log.observations(np.unique(log.user, return_index=True)[1])
    alone = _taught(MODEL, log)
    work = f"recommend, slates of 10 for {len(requests):,} requests at once, {num_items:,} items"
    yield {
        "name": "recommend[alone]",
        "value": round(len(requests) / _seconds(requests, alone)[0]),
        "unit": "requests/s",
        "work": f"{work}, {MODEL}",
    }
    policies: dict[str, Policy] = {name: _taught(spec, log) for name, spec in AROUND.items()}
    policies["repeat rules"] = RepeatRules(alone)
    for name, policy in policies.items():
        bare, wrapped = _seconds(requests, alone, policy)
        yield {
            "name": f"recommend[{name}]",
            "value": round(len(requests) / wrapped),
            "unit": "requests/s",
            "work": f"{work}, {policy.name}",
            "ratio_to": {"time of recommend[alone]": round(wrapped / bare, 2)},
        }


def _taught(spec: str, log: Any) -> Agent:
    agent = make_agent(spec)
    agent.learn(log)
    return agent


def _seconds(requests: Observation, *policies: Policy) -> list[float]:
    """The median time of each, after one answer that does not count; taken by turns."""
    draws = draws_of(0, requests.user)
    seconds: list[list[float]] = [[] for _ in policies]
    for _ in range(REPETITIONS + 1):
        for times, policy in zip(seconds, policies, strict=True):
            start = time.perf_counter()
            policy.recommend(requests, 10, draws)
            times.append(time.perf_counter() - start)
    return [float(np.median(times[1:])) for times in seconds]
