"""What a policy earns over whole lives: every user of a world served by it from their first visit on."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from recsim_lab.envs.seats import Seats
from recsim_lab.policy import Policy
from recsim_lab.simulation.sessions import HISTORY, Sessions
from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class Lives:
    """One row per user: what they earned in all and on their first slate, and how many slates they saw."""

    reward: Float[A, " users"]
    first: Float[A, " users"]
    num_slates: Int[A, " users"]


def live(world: World, policy: Callable[[Sessions], Policy], seed: int, max_steps: int, reward: str = "world") -> Lives:
    """Serve each user once, until they leave for good or have seen `max_steps` slates.

    `policy` is given the sessions, which references watch. Under one seed the users meet every policy with the same
    luck, so differences between policies are paired by user. `reward` is one of `recsim_lab.envs.seats.REWARDS`.
    """
    seats = Seats(world, None, max_steps, reward, HISTORY, 0, (), {})
    seats.sit_all(seed)
    sessions, rows, serving = seats.sessions, seats.rows, policy(seats.sessions)
    total, first = np.zeros(len(rows)), np.zeros(len(rows))
    while len(rows):
        answer = serving.recommend(sessions.observe(rows), seats.num_slots, sessions.draws(rows))
        outcome = seats.step(rows, answer.items)
        new = seats.steps[rows] == 1
        first[rows[new]] = outcome.reward[new]
        total[rows] += outcome.reward
        rows = rows[~(outcome.terminated | outcome.truncated)]
    return Lives(total, first, seats.steps)


def divided(world: World, share: float, seed: int) -> tuple[World, World]:
    """The same world with a random `share` of its users, and with the others.

    Raises:
        ValueError: if either would have none.
    """
    num_users = world.population.num_users
    num_first = round(share * num_users)
    if not 0 < num_first < num_users:
        raise ValueError(f"share of {num_users} users must leave some on either side, got {share}")
    shuffled = np.random.default_rng(seed).permutation(num_users)
    one, other = (
        replace(world, population=world.population.take(np.sort(users)))
        for users in (shuffled[:num_first], shuffled[num_first:])
    )
    return one, other
