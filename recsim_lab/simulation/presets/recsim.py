"""RecSim's interest evolution (Ie et al. 2019, arXiv 1909.04847; the world of SlateQ, arXiv 1905.12767)."""

import numpy as np

from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import MultinomialProportional
from recsim_lab.simulation.dynamics import InterestEvolution, TimeBudget
from recsim_lab.simulation.feedback import WatchTime
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.world import World

NUM_TOPICS, NUM_BAD_TOPICS = 20, 14
LOWEST_INTEREST = -1.0


def recsim_interest_evolution(
    seed: int = 0,
    num_users: int = 2000,
    num_items: int = 2000,
    num_slots: int = 3,
    minutes: float = 200.0,
    no_click_weight: float = 2.0,
) -> World:
    """Videos of 4 minutes; topics that users like are seldom the good ones, and good ones make them stay longer.

    Interest in a topic is uniform in [-1, 1]; a slot weighs 1 + interest, leaving the slate unclicked
    `no_click_weight`: 2 in RecSim's code, which gives the published results; its text reads as 1. The mean quality
    of a topic runs from -3 to 0 over fourteen topics and from 0 to 3 over six. The reward is watch time. A life is
    one visit, until the time budget of `minutes` is used up.

    RecSim draws ten new candidates for each slate; here they are a catalogue, of which a policy may draw.
    """
    for name, value in (("num_users", num_users), ("num_items", num_items)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if no_click_weight < 0:
        raise ValueError(f"no_click_weight must be at least 0, got {no_click_weight}")
    rng = np.random.default_rng(seed)
    mean_quality = np.concatenate([np.linspace(-3, 0, NUM_BAD_TOPICS), np.linspace(0, 3, NUM_TOPICS - NUM_BAD_TOPICS)])
    topic = rng.integers(NUM_TOPICS, size=num_items)
    return World(
        name="recsim-interest-evolution",
        catalogue=plain_catalogue(
            latent=np.eye(NUM_TOPICS, dtype=np.float32)[topic],
            topic=topic,
            num_topics=NUM_TOPICS,
            quality=rng.normal(mean_quality[topic], 0.1).astype(np.float32),
        ),
        population=plain_population(rng.uniform(-1, 1, (num_users, NUM_TOPICS)).astype(np.float32)),
        choice=MultinomialProportional(no_click=no_click_weight + LOWEST_INTEREST, min_normalizer=LOWEST_INTEREST),
        feedback=WatchTime(length=4.0),
        dynamics=(InterestEvolution(), TimeBudget(minutes)),
        num_slots=num_slots,
        session_steps=1000,
    )
