"""The experiment of degenerate feedback loops: how far a policy moves the interests of its users, step by step.

Jiang, Chiappa, Lattimore, György and Kohli (AIES 2019). A step is a visit of one slate on a day of its own, so that a
pool of items that grows is a catalogue whose items are released over time. Each user is a bandit problem of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from agents.baselines import Random
from agents.exploration import EpsilonGreedySlate
from recsim_lab.evaluation.oracle import Oracle
from recsim_lab.policy import Policy
from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.dynamics import ItemInterest
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.sessions import Sessions, population_sessions
from recsim_lab.simulation.utility import Utility
from recsim_lab.simulation.world import World
from scenarios.replications.item_bandits import ClickRate, Tally, Thompson, UpperBound

A = np.ndarray

Pool = Literal["still", "linear", "root"]
ROOT = 10.0
"""Items of the pool that grows as a square root, after the first step."""


def interest_world(
    num_users: int,
    num_items: int,
    num_slots: int,
    steps: int,
    pool: Pool = "still",
    interest: ItemInterest | None = None,
) -> World:
    """Users like items by their interest in them alone, and answer each slot of a slate independently of the others.

    A click has probability sigmoid(interest). `still`: the pool is `num_items` at all steps; `linear`: and one more at
    each step after the first; `root`: ten times the square root of the number of steps, once that is more.
    """
    release = release_days(pool, num_items, steps)
    # Nothing but interest matters: the one dimension that users and items must have in common is zero.
    nothing = np.zeros((len(release), 1), np.float32)
    return World(
        name="item-interest",
        catalogue=replace(plain_catalogue(nothing), release_day=release),
        population=plain_population(np.zeros((num_users, 1), np.float32)),
        choice=PositionBased(),
        utility=Utility(latent=0.0),
        dynamics=(ItemInterest() if interest is None else interest,),
        num_slots=num_slots,
        session_steps=1,
        # All come at the same tick of each day.
        habit_of_time=1.0,
        habit_of_device=1.0,
    )


def release_days(pool: Pool, num_items: int, steps: int) -> Int[A, " items"]:
    """The first day on offer of each item that comes in these steps; day 0 is the first step."""
    step = np.arange(1, steps + 1)
    if pool == "still":
        size = np.full(steps, num_items)
    elif pool == "linear":
        size = num_items + step - 1
    else:
        size = np.maximum(num_items, np.ceil(ROOT * np.sqrt(step)).astype(np.int64))
    return np.searchsorted(size, np.arange(size[-1]), side="right").astype(np.int32)


def make_policy(name: str, world: World, sessions: Sessions, tally: Tally) -> Policy:
    """A policy by name: `oracle` (highest interest), `thompson`, `ucb1`, `random`, or `epsilon=<share>`.

    The last is greedy on each user's own click rates and shows a slate of random items with that probability.

    Raises:
        ValueError: for another name.
    """
    kind, _, value = name.partition("=")
    if kind == "epsilon" and value:
        return EpsilonGreedySlate(ClickRate(tally), float(value))
    policies: dict[str, Callable[[], Policy]] = {
        "oracle": lambda: Oracle(world).watch(sessions),
        "thompson": lambda: Thompson(tally),
        "ucb1": lambda: UpperBound(tally),
        "random": Random,
    }
    if name not in policies:
        raise ValueError(f"policy must be one of {', '.join(policies)} or epsilon=<share>, got {name!r}")
    return policies[name]()


def drift(
    world: World,
    policy_name: str,
    seed: int,
    marks: Sequence[int],
    reached: Callable[[int], None] = lambda num_marks: None,
) -> Float[A, "marks users"]:
    """||mu_t - mu_0||, the Euclidean distance of each user's interests from the first ones, after t = `marks` steps.

    `reached` is told how many marks are done. Users and their luck follow from the seed, whatever the policy.
    """
    sessions = population_sessions(world, seed, history=1)
    rows = np.arange(len(sessions))
    tally = Tally(len(rows), world.catalogue.num_items)
    policy = make_policy(policy_name, world, sessions, tally)
    start = sessions.state["interest"].astype(np.float64)
    tick, distances = sessions.first_visit(rows), []
    for step in range(1, max(marks) + 1):
        sessions.open(rows, tick)
        draws = sessions.draws(rows).fork("policy")
        slate = policy.recommend(sessions.observe(rows), world.num_slots, draws).items
        tally.add(rows, slate, sessions.answer(rows, slate).clicks)
        tick = sessions.close(rows)
        if step in marks:
            distances.append(np.sqrt(((sessions.state["interest"] - start) ** 2).sum(axis=1)))
            reached(len(distances))
    return np.stack(distances)
