"""What a policy earns over whole lives: every user of a world served by it from their first visit on."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from recsim_lab.envs.seats import REWARDS
from recsim_lab.policy import NEVER, Policy
from recsim_lab.simulation.sessions import Sessions, population_sessions
from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class Lives:
    """One row per user: what they earned in all and on their first slate, and how many slates they saw."""

    reward: Float[A, " users"]
    first: Float[A, " users"]
    num_slates: Int[A, " users"]


def live(
    world: World,
    policy: Callable[[Sessions], Policy],
    seed: int,
    max_steps: int,
    reward: str = "world",
    num_slots: int | None = None,
) -> Lives:
    """Serve each user once, until they leave for good or have seen `max_steps` slates.

    `policy` is given the sessions, which references watch. Under one seed the users meet every policy with the same
    luck, so differences between policies are paired by user. `reward` is one of `recsim_lab.envs.seats.REWARDS`.
    """
    if reward not in REWARDS:
        raise ValueError(f"reward must be one of {', '.join(REWARDS)}, got {reward!r}")
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}")
    sessions = population_sessions(world, seed, num_slots)
    serving = policy(sessions)
    rows = np.arange(len(sessions))
    total, first, num_slates = np.zeros(len(rows)), np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    sessions.open(rows, sessions.first_visit(rows))
    for step in range(max_steps):
        answer = serving.recommend(sessions.observe(rows), sessions.num_slots, sessions.draws(rows))
        response = sessions.answer(rows, answer.items)
        leaving = rows[response.left]
        due = sessions.close(leaving)
        away = np.full(len(rows), NEVER)
        away[response.left] = due - sessions.state["tick"][leaving]
        earned = REWARDS[reward](sessions.state, rows, response, away)
        total[rows] += earned
        num_slates[rows] += 1
        if step == 0:
            first[rows] = earned
        back = due != NEVER
        sessions.open(leaving[back], due[back])
        rows = np.setdiff1d(rows, leaving[~back], assume_unique=True)
        if not len(rows):
            break
    return Lives(total, first, num_slates)


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
