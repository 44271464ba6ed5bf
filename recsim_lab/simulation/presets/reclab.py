"""RecLab's worlds of topics (Krauth et al. 2020, arXiv 2011.07931): users rate the one item that they are shown."""

from dataclasses import replace

import numpy as np

from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import MultinomialLogit
from recsim_lab.simulation.dynamics import RepeatPenalty, ReturnChance, TopicReinforcement
from recsim_lab.simulation.feedback import Rating
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.world import World

NEVER_UNRATED = -np.inf
"""The utility of not clicking: whoever is shown an item rates it."""


def reclab_topics_static(
    seed: int = 0,
    num_users: int = 1000,
    num_items: int = 1700,
    num_topics: int = 19,
    noise: float = 0.5,
    return_probability: float = 0.2,
) -> World:
    """The reward is the rating: preference for the item's topic, uniform in [.5, 5.5], plus noise, cut to [1, 5].

    A visit is one rating. In RecLab a fifth of the users is online at each step; here a day is a step, and each user
    comes back with `return_probability` a day. The topics of the items are hidden, as they are there.
    """
    for name, value in (("num_users", num_users), ("num_items", num_items), ("num_topics", num_topics)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rng = np.random.default_rng(seed)
    topic = rng.integers(num_topics, size=num_items)
    catalogue = plain_catalogue(np.eye(num_topics, dtype=np.float32)[topic], topic, num_topics)
    return World(
        name="reclab-topics-static",
        catalogue=replace(catalogue, genre=np.zeros(num_items, np.int32)),
        population=plain_population(rng.uniform(0.5, 5.5, (num_users, num_topics)).astype(np.float32)),
        choice=MultinomialLogit(no_click=NEVER_UNRATED),
        feedback=Rating(noise),
        dynamics=(ReturnChance(return_probability),),
        num_slots=1,
        session_steps=1,
    )


def reclab_topics_dynamic(
    seed: int = 0,
    num_users: int = 1000,
    num_items: int = 1700,
    num_topics: int = 19,
    noise: float = 0.5,
    return_probability: float = 0.2,
    topic_change: float = 0.1,
    lowest_preference: float = -np.inf,
    boredom_memory: int = 5,
    boredom_threshold: int = 2,
    boredom_penalty: float = 1.0,
) -> World:
    """`reclab_topics_static`, where ratings change users: topics that are rated gain, and repetition bores.

    Other topics lose without end, as in RecLab's code; a finite `lowest_preference` stops them.
    """
    world = reclab_topics_static(seed, num_users, num_items, num_topics, noise, return_probability)
    changes = (
        TopicReinforcement(topic_change, floor=lowest_preference),
        RepeatPenalty(boredom_memory, boredom_threshold, boredom_penalty),
    )
    return replace(world, name="reclab-topics-dynamic", dynamics=(*changes, *world.dynamics))
