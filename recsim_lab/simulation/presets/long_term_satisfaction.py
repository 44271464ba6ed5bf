"""RecSim's long-term satisfaction (Ie et al. 2019, arXiv 1909.04847): chocolate engages now, kale satisfies later."""

from dataclasses import replace

import numpy as np

from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import RankArgmax
from recsim_lab.simulation.dynamics import LongTermSatisfaction, SingleVisit
from recsim_lab.simulation.examination import Flat
from recsim_lab.simulation.feedback import ChocKaleEngagement
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.world import World


def long_term_satisfaction(
    seed: int = 0,
    num_users: int = 1000,
    num_items: int = 1000,
    num_slots: int = 1,
    sensitivity: float = 0.01,
    memory_discount: float = 0.7,
    innovation: float = 0.05,
    budget: int = 60,
) -> World:
    """The user consumes the first slot; its minutes, the reward, grow with clickbait c and with satisfaction.

    c is uniform in [0, 1] and public; satisfaction is hidden, and follows a fading sum of -2 (c - 1/2). A life is
    one visit of `budget` slates. With the published numbers satisfaction hardly moves (.49 to .51), so that all
    clickbait earns half as much again as none (19.3 minutes a slate in the end, against 12.6); see
    `long_term_satisfaction_dilemma`.

    RecSim draws new candidates for each slate; here they are a catalogue.
    """
    for name, value in (("num_users", num_users), ("num_items", num_items), ("budget", budget)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rng = np.random.default_rng(seed)
    # All are as attractive, so the user takes the first: the dimension that users and items must share is zero.
    nothing = np.zeros((num_items, 1), np.float32)
    return World(
        name="lts",
        catalogue=plain_catalogue(
            nothing,
            quality=np.ones(num_items, np.float32),
            clickbait=rng.random(num_items, dtype=np.float32),
            public_numbers=("clickbait",),
        ),
        population=plain_population(np.zeros((num_users, 1), np.float32)),
        choice=RankArgmax(Flat()),
        feedback=ChocKaleEngagement(),
        dynamics=(LongTermSatisfaction(sensitivity, memory_discount, innovation), SingleVisit()),
        num_slots=num_slots,
        session_steps=budget,
        clickbait_harm=2.0,  # with quality 1, the value of an item is -2 (c - 1/2)
    )


def long_term_satisfaction_dilemma(
    seed: int = 0,
    num_users: int = 1000,
    num_items: int = 1000,
    num_slots: int = 1,
    sensitivity: float = 0.1,
    memory_discount: float = 0.7,
    innovation: float = 0.05,
    budget: int = 60,
) -> World:
    """`long_term_satisfaction` in which what wins the next slate loses the life: satisfaction moves from .42 to .58.

    In the end kale earns more than chocolate if sensitivity exceeds ln(5/4) (1 - memory_discount), .0669.
    """
    world = long_term_satisfaction(
        seed, num_users, num_items, num_slots, sensitivity, memory_discount, innovation, budget
    )
    return replace(world, name="lts-dilemma")
