"""The one world of all speed figures: scoring, examination, choice with no-click, drift, boredom, satisfaction."""

import time
from collections.abc import Callable

import numpy as np

from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import MultinomialLogit
from recsim_lab.simulation.dynamics import PreferenceDrift, Satisfaction, TopicBoredom
from recsim_lab.simulation.examination import PowerLaw
from recsim_lab.simulation.feedback import Engagement
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.utility import Utility
from recsim_lab.simulation.world import World

NUM_DIMS, NUM_SLOTS, NUM_TOPICS, SESSION_STEPS = 32, 10, 20, 8
WORK = (
    "{users:,} users, {items:,} items, slates of 10 random items, 32 latent dimensions, float32: scoring, "
    "examination, choice with no-click, dwell, likes, drift on click, boredom, satisfaction, "
    "sessions of 8 slates, a history of 32 clicks"
)


def bench_world(num_users: int = 10_000, num_items: int = 10_000) -> World:
    """Users and items of normal latent vectors (match of standard deviation 1)."""
    rng = np.random.default_rng(0)
    scale = NUM_DIMS**-0.25
    items = (scale * rng.normal(size=(num_items, NUM_DIMS))).astype(np.float32)
    quality = rng.normal(size=num_items).astype(np.float32)
    return World(
        name="bench",
        catalogue=plain_catalogue(
            items, rng.integers(NUM_TOPICS, size=num_items), NUM_TOPICS, quality, quality, np.abs(quality)
        ),
        population=plain_population((scale * rng.normal(size=(num_users, NUM_DIMS))).astype(np.float32)),
        choice=MultinomialLogit(PowerLaw(0.6), 3.0),
        utility=Utility(appeal=0.5, clickbait=0.3),
        feedback=Engagement(),
        dynamics=(TopicBoredom(), PreferenceDrift(daily=0.0), Satisfaction()),
        num_slots=NUM_SLOTS,
        session_steps=SESSION_STEPS,
    )


def median_rate(step: Callable[[int], object], units: int, repetitions: int = 30) -> float:
    """Units per second: the median over repetitions of `step(i)`, after three that do not count."""
    seconds = []
    for i in range(repetitions + 3):
        start = time.perf_counter()
        step(i)
        seconds.append(time.perf_counter() - start)
    return units / float(np.median(seconds[3:]))
