"""Steps per second of the environments."""

from typing import Any

import gymnasium
import numpy as np

import recsim_lab  # noqa: F401  (registers the environments)
from benchmarks.bench_world import NUM_SLOTS, SESSION_STEPS, WORK, bench_world, median_rate
from recsim_lab.envs.slate_vector_env import SlateVectorEnv


def vector_env_step(num_users: int = 10_000, num_items: int = 10_000) -> dict[str, Any]:
    """`SlateVectorEnv.step` with a seat for every user."""
    env = SlateVectorEnv(num_users, bench_world(num_users, num_items), max_steps=10**6)
    env.reset(seed=0)
    slates = np.random.default_rng(0).integers(num_items, size=(SESSION_STEPS, num_users, NUM_SLOTS)).astype(np.int32)

    def one_session(_: int) -> None:  # all seats leave together after its last slate, which has its price
        for slate in slates:
            env.step(slate)

    rate = median_rate(one_session, len(slates) * num_users, max(5, min(30, 10**6 // num_users)))
    size = "" if (num_users, num_items) == (10_000, 10_000) else f"_{num_users}_users_{num_items}_items"
    return {
        "name": "vector_env_step" + size,
        "value": round(rate),
        "unit": "user-steps/s",
        "work": "SlateVectorEnv.step, " + WORK.format(users=num_users, items=num_items),
    }


def single_env_step(num_items: int = 1_000, num_steps: int = 2_000) -> dict[str, Any]:
    """One user through `gymnasium.make`; beside it Gymnasium's pole, whose rate tells how fast Python is here."""
    env = gymnasium.make("recsim_lab/Everyday-v0", world=bench_world(1_000, num_items), max_steps=10**9)
    slates = np.random.default_rng(0).integers(num_items, size=(num_steps, NUM_SLOTS))
    rate, pole = _rate(env, slates), _rate(gymnasium.make("CartPole-v1"), np.arange(num_steps) % 2)
    return {
        "name": "single_env_step",
        "value": round(rate),
        "unit": "steps/s",
        "work": f"one user through gymnasium.make, slates of {NUM_SLOTS} out of {num_items:,} items, the bench world",
        "ratio_to": {"CartPole-v1": round(rate / pole, 3)},
    }


def _rate(env: gymnasium.Env[Any, Any], actions: np.ndarray) -> float:
    env.reset(seed=0)

    def all_steps(repetition: int) -> None:
        for action in actions:
            terminated, truncated = env.step(action)[2:4]
            if terminated or truncated:
                env.reset()

    return median_rate(all_steps, len(actions), 5)
