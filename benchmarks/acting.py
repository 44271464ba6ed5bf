"""How fast agents learn by acting, and how much of that time is the environment's."""

import time
from collections.abc import Iterator
from typing import Any

from agents.acting.base import ActingAgent
from agents.registry import make_agent
from recsim_lab.envs.slate_vector_env import SlateVectorEnv

SPECS = ("reinforce", "slate-q", "wolpertinger")
NUM_SEATS, NUM_STEPS = 1024, 16


class Timed(SlateVectorEnv):
    """A vector environment that adds up the seconds spent in it."""

    def __init__(self, *arguments: Any, **parameters: Any) -> None:
        super().__init__(*arguments, **parameters)
        self.seconds = 0.0

    def step(self, actions: Any) -> Any:
        started = time.perf_counter()
        answer = super().step(actions)
        self.seconds += time.perf_counter() - started
        return answer

    def reset(self, **parameters: Any) -> Any:
        started = time.perf_counter()
        answer = super().reset(**parameters)
        self.seconds += time.perf_counter() - started
        return answer


def loops() -> Iterator[dict[str, Any]]:
    """Slates shown and learned from a second, by each agent with its default parameters; `ratio_to` has the share of
    that time that the environment takes."""
    for spec in SPECS:
        agent = make_agent(spec)
        assert isinstance(agent, ActingAgent)
        env = Timed(NUM_SEATS, "everyday", num_items=1000, autoreset_mode="Disabled")
        agent.train(env, NUM_STEPS)  # compiles, and makes the network
        env.seconds, started = 0.0, time.perf_counter()
        agent.train(env, NUM_STEPS)
        seconds = time.perf_counter() - started
        yield {
            "name": f"learn_by_acting[{spec}]",
            "value": round(NUM_SEATS * NUM_STEPS / seconds),
            "unit": "slates/s",
            "work": f"act and learn, {NUM_SEATS:,} users, slates of 10 of 1,000 items; "
            f"environment alone {NUM_SEATS * NUM_STEPS / max(env.seconds, 1e-9):,.0f} slates/s",
            "ratio_to": {"time in the environment": round(env.seconds / seconds, 4)},
        }
