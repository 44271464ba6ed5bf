"""The default world: every family of models has something of its own to find, and users change as they are served."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from recsim_lab.simulation.catalogue import Catalogue
from recsim_lab.simulation.choice import MultinomialLogit
from recsim_lab.simulation.dynamics import (
    Dynamics,
    Patience,
    PreferenceDrift,
    ReturnTime,
    Satisfaction,
    SessionIntent,
    TopicBoredom,
)
from recsim_lab.simulation.examination import PowerLaw
from recsim_lab.simulation.feedback import Engagement
from recsim_lab.simulation.population import AVERAGE_HABIT, Population
from recsim_lab.simulation.sessions import population_sessions
from recsim_lab.simulation.utility import NUM_DEVICES, PARTS_OF_DAY, Utility, draw_crosses
from recsim_lab.simulation.world import World

A = np.ndarray
NUM_AGES, NUM_LENGTHS, NUM_LANGUAGES = 6, 4, 3
SERIES_LENGTH = 5


def everyday(
    seed: int = 0,
    num_users: int = 2000,
    num_items: int = 2000,
    new_items_a_day: int = 5,
    days: int = 120,
    lifetime_days: int = 0,
    num_topics: int = 20,
    num_dims: int = 8,
    num_slots: int = 10,
    latent: float = 1.0,
    features: float = 0.95,
    intent: float = 2.0,
    series: float = 2.0,
    appeal: float = 0.45,
    clickbait: float = 0.3,
    boredom: float = 0.2,
    freshness: float = 0.4,
    drift: float = 0.03,
    churn: float = 0.014,
    satisfaction: float = 1.0,
    position: float = 0.6,
    random_click_rate: float = 0.15,
) -> World:
    """All of it on. `latent` to `freshness` are the weights of the components of utility; zero switches one off.
    `satisfaction` weighs what it has on patience, return and churn, and `position` is the power by which later slots
    are looked at less; zero switches either off.

    Preferences are a mixture of three topic centroids and noise, items a centroid and noise; appeal is exponential
    (so attraction has a Pareto tail). `num_items` are on offer from the start; `new_items_a_day` more come every day
    for `days` days, so the catalogue has `num_items + new_items_a_day * days`; with `lifetime_days`, items are
    withdrawn so many days after their release, as news are. The utility of leaving a slate
    unclicked is set so that slates of random items get `random_click_rate` clicks at first.
    """
    if num_users < 1 or num_items < 1:
        raise ValueError(f"num_users and num_items must be at least 1, got {num_users} and {num_items}")
    if new_items_a_day < 0 or days < 0:
        raise ValueError(f"new_items_a_day and days must be at least 0, got {new_items_a_day} and {days}")
    if num_topics < 1 or num_dims < 1:
        raise ValueError(f"num_topics and num_dims must be at least 1, got {num_topics} and {num_dims}")
    rng = np.random.default_rng(seed)
    centroids = rng.normal(size=(num_topics, num_dims))
    population = _population(rng, num_users, centroids)
    catalogue = _catalogue(rng, num_items, new_items_a_day * days, new_items_a_day, centroids)
    population, catalogue = _unit_match(population, replace(catalogue, lifetime_days=lifetime_days))
    utility = Utility(
        latent=latent,
        features=features,
        appeal=appeal,
        clickbait=clickbait,
        freshness=freshness,
        crosses=draw_crosses(rng, NUM_AGES, num_topics, NUM_LENGTHS, NUM_LANGUAGES),
    )
    dynamics: tuple[Dynamics, ...] = (
        SessionIntent(topic_weight=intent, series_weight=series),
        TopicBoredom(weight=boredom),
        PreferenceDrift(rate=drift),
        Satisfaction(),
        Patience(satisfaction_weight=0.4 * satisfaction),
        ReturnTime(satisfaction_weight=0.6 * satisfaction, churn=churn, churn_weight=satisfaction),
    )

    def build(no_click: float) -> World:
        return World(
            name="everyday",
            catalogue=catalogue,
            population=population,
            choice=MultinomialLogit(PowerLaw(position), no_click),
            utility=utility,
            feedback=Engagement(),
            dynamics=dynamics,
            num_slots=num_slots,
        )

    return with_click_rate(build, random_click_rate, rng)


def static(**parameters: Any) -> World:
    """`everyday` with no dynamics: preferences stay, nobody tires, everybody comes back every day."""
    world = everyday(**parameters)
    return replace(world, name="static", dynamics=())


static.__signature__ = inspect.signature(everyday)  # type: ignore[attr-defined]  # so that wrong names are named


def with_click_rate(build: Callable[[float], World], click_rate: float, rng: np.random.Generator) -> World:
    """The world whose no-click utility gives slates of random items `click_rate` clicks (bisection)."""
    if not 0 < click_rate < 1:
        raise ValueError(f"random_click_rate must be in (0, 1), got {click_rate}")
    world = build(0.0)
    sessions = population_sessions(world, seed=0)
    rows = np.sort(rng.permutation(len(sessions))[:2000])
    sessions.open(rows, np.zeros(len(rows), np.int64))
    old = np.flatnonzero(world.catalogue.release_day == 0)
    slate = rng.choice(old, size=(len(rows), world.num_slots)).astype(np.int32)
    values, _ = world.true_utility(sessions.state, rows, slate)
    habit = world.population.habit[sessions.state["profile"][rows]]
    low, high = -20.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        rate = build(middle).choice.click_probability(values, habit).sum(axis=1).mean()
        low, high = (middle, high) if rate > click_rate else (low, middle)
    return build(round((low + high) / 2, 6))


def _population(rng: np.random.Generator, num_users: int, centroids: A) -> Population:
    num_topics, num_dims = centroids.shape
    shares = np.zeros((num_users, num_topics))
    favourites = rng.permuted(np.tile(np.arange(num_topics), (num_users, 1)), axis=1)[:, :3]
    np.put_along_axis(shares, favourites, rng.dirichlet(np.ones(favourites.shape[1]), num_users), axis=1)
    latent = np.sqrt(0.6) * _normalised(np.einsum("ut,td->ud", shares, centroids)) + np.sqrt(0.4) * _normalised(
        rng.normal(size=(num_users, num_dims))
    )
    return Population(
        latent=(latent - latent.mean(axis=0)).astype(np.float32) if num_users > 1 else latent.astype(np.float32),
        topic_taste=(0.9 * shares + 0.1 / num_topics).astype(np.float32),
        habit=np.clip(np.rint(rng.normal(AVERAGE_HABIT, 1, num_users)), 0, 7).astype(np.int32),
        activity=rng.normal(0, 0.5, num_users).astype(np.float32),
        patience=rng.normal(0, 0.3, num_users).astype(np.float32),
        part_of_day=rng.integers(PARTS_OF_DAY, size=num_users).astype(np.int32),
        device=rng.choice(NUM_DEVICES, num_users, p=[0.6, 0.3, 0.1]).astype(np.int32),
        age=rng.integers(NUM_AGES, size=num_users).astype(np.int32),
    )


def _catalogue(rng: np.random.Generator, num_old: int, num_new: int, new_a_day: int, centroids: A) -> Catalogue:
    num_topics, num_dims = centroids.shape
    num_items = num_old + num_new
    topic = rng.integers(num_topics, size=num_items)
    latent = np.sqrt(0.5) * _normalised(centroids)[topic] + np.sqrt(0.5) * _normalised(
        rng.normal(size=(num_items, num_dims))
    )
    appeal = rng.exponential(size=num_items) - 1
    genre = np.where(rng.random(num_items) < 0.85, topic, rng.integers(num_topics, size=num_items))
    return Catalogue(
        latent=(latent - latent.mean(axis=0)).astype(np.float32) if num_items > 1 else latent.astype(np.float32),
        topic=topic.astype(np.int32),
        appeal=appeal.astype(np.float32),
        quality=(0.6 * appeal + 0.8 * rng.normal(size=num_items)).astype(np.float32),
        clickbait=(np.abs(rng.normal(size=num_items)) - 0.8).astype(np.float32),
        continues=_series(rng, topic, num_old),
        release_day=np.concatenate(
            [np.zeros(num_old, np.int32), 1 + np.arange(num_new, dtype=np.int32) // max(new_a_day, 1)]
        ),
        genre=genre.astype(np.int32),
        length=rng.integers(NUM_LENGTHS, size=num_items).astype(np.int32),
        language=rng.integers(NUM_LANGUAGES, size=num_items).astype(np.int32),
        creator=rng.integers(max(num_items // 20, 1), size=num_items).astype(np.int32),
        num_topics=num_topics,
    )


def _series(rng: np.random.Generator, topic: A, num_old: int) -> A:
    """The item that each item continues: 60% of the old items stand in series of five within a topic."""
    continues = np.full(len(topic), -1, np.int32)
    members = np.flatnonzero(rng.random(num_old) < 0.6)
    # In random order within their topics, cut into runs of five.
    order = members[np.lexsort((rng.random(len(members)), topic[members]))]
    starts = np.searchsorted(topic[order], topic[order])
    place = np.arange(len(order)) - starts
    inner = np.flatnonzero(place % SERIES_LENGTH > 0)
    continues[order[inner]] = order[inner - 1]
    return continues


def _unit_match(population: Population, catalogue: Catalogue) -> tuple[Population, Catalogue]:
    """Scale both sides alike so that the latent match has standard deviation 1 over random pairs."""
    users, items = population.latent.astype(np.float64), catalogue.latent.astype(np.float64)
    second = np.einsum("ud,ue->de", users, users) / len(users)
    spread = np.sqrt(np.einsum("id,de,ie->", items, second, items) / len(items))
    scale = np.float32(1 / np.sqrt(spread)) if spread > 0 else np.float32(1)
    return replace(population, latent=population.latent * scale), replace(catalogue, latent=catalogue.latent * scale)


def _normalised(rows: A) -> A:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
