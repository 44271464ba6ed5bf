"""From ratings, or from what was estimated of them, to a world."""

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.datasets import Ratings
from recsim_lab.simulation.calibration.behaviour import Behaviour
from recsim_lab.simulation.calibration.estimates import Estimates, estimate, topic_taste
from recsim_lab.simulation.calibration.factors import FactorSettings
from recsim_lab.simulation.calibration.leniency import Leniency
from recsim_lab.simulation.catalogue import Catalogue, plain_catalogue
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
from recsim_lab.simulation.population import AVERAGE_HABIT, HABITS, Population
from recsim_lab.simulation.presets.everyday import with_click_rate
from recsim_lab.simulation.utility import NUM_DEVICES, Utility
from recsim_lab.simulation.world import World

A = np.ndarray


def calibrate(
    ratings: Ratings,
    settings: FactorSettings = FactorSettings(),
    behaviour: Behaviour = Behaviour(),
    seed: int = 0,
    name: str = "calibrated",
) -> World:
    """A world whose users and items are those of the ratings, in their order: row u is the user `user_ids[u]`.

    It is low-rank by construction: what is personal about a rating is a dot product of fitted vectors, so a factor
    model has the right form, and a conclusion that hangs on the form of models needs another world beside it.
    Users and items without a rating have no bias and no taste; `Ratings.with_min_ratings` leaves them out.

    Raises:
        ValueError: if there is no rating.
    """
    return calibrated_world(estimate(ratings, settings), behaviour, seed, name)


def calibrated_world(
    estimates: Estimates, behaviour: Behaviour = Behaviour(), seed: int = 0, name: str = "calibrated"
) -> World:
    """The world of these estimates; `seed` draws what ratings do not tell: position habits and favourite devices.

    A catalogue's `quality` is the item bias (zero for the average item), its `appeal` quality and popularity
    together, all in logits. What a click is worth to a user (match + quality) is then the rating to be expected,
    less the user's leniency.
    """
    rng = np.random.default_rng(seed)
    catalogue, population = _catalogue(estimates, behaviour), _population(estimates, behaviour, rng)
    dynamics = _dynamics(estimates, behaviour)

    def build(no_click: float) -> World:
        return World(
            name=name,
            catalogue=catalogue,
            population=population,
            choice=MultinomialLogit(PowerLaw(0.6), no_click),
            utility=Utility(latent=1.0, appeal=1.0),
            feedback=Engagement(),
            dynamics=dynamics,
            num_slots=behaviour.num_slots,
        )

    return with_click_rate(build, behaviour.random_click_rate, rng)


def _catalogue(estimates: Estimates, behaviour: Behaviour) -> Catalogue:
    bias = estimates.factors.item_bias
    quality = np.float32(behaviour.stars) * (bias - bias.mean())
    return plain_catalogue(
        latent=np.float32(np.sqrt(behaviour.stars * behaviour.match)) * estimates.factors.item_factors,
        topic=estimates.topic,
        num_topics=len(estimates.topic_names),
        quality=quality,
        appeal=quality + np.float32(behaviour.popularity) * _log_ratio(estimates.ratings_per_item),
        titles=estimates.titles,
    )


def _population(estimates: Estimates, behaviour: Behaviour, rng: np.random.Generator) -> Population:
    num_users = len(estimates.ratings_per_user)
    activity = np.float32(behaviour.activity) * _log_ratio(estimates.ratings_per_user)
    return Population(
        latent=np.float32(np.sqrt(behaviour.stars * behaviour.match)) * estimates.factors.user_factors,
        topic_taste=topic_taste(estimates),
        habit=np.clip(np.rint(rng.normal(AVERAGE_HABIT, 1, num_users)), 0, len(HABITS) - 1).astype(np.int32),
        activity=activity,
        patience=activity / 2,
        part_of_day=estimates.part_of_day,
        device=rng.choice(NUM_DEVICES, num_users, p=[0.6, 0.3, 0.1]).astype(np.int32),
        age=estimates.age,
    )


def _log_ratio(counts: Int[A, " rows"]) -> Float32[A, " rows"]:
    """log(n / geometric mean of n), the mean over those with a rating; those without count as having one."""
    logarithm = np.log(np.maximum(counts, 1))
    return (logarithm - logarithm[counts > 0].mean()).astype(np.float32)


def _dynamics(estimates: Estimates, behaviour: Behaviour) -> tuple[Dynamics, ...]:
    parts: list[Dynamics] = []
    if behaviour.leniency:
        level = np.float32(behaviour.stars * behaviour.leniency) * estimates.factors.user_bias
        parts.append(Leniency(level))
    if behaviour.intent:
        # Genres have no order, so no topic follows another.
        parts.append(SessionIntent(topic_weight=behaviour.intent, series_weight=0.0, next_probability=0.0))
    if behaviour.boredom:
        parts.append(TopicBoredom(weight=behaviour.boredom))
    if behaviour.drift or behaviour.daily_drift:
        parts.append(PreferenceDrift(rate=behaviour.drift, daily=behaviour.daily_drift))
    if behaviour.leaving or behaviour.returning:
        parts.append(Satisfaction())
    if behaviour.leaving:
        usual = Patience()
        parts.append(Patience(satisfaction_weight=usual.satisfaction_weight * behaviour.satisfaction))
    if behaviour.returning:
        back = ReturnTime()
        weights = back.satisfaction_weight * behaviour.satisfaction, back.churn_weight * behaviour.satisfaction
        parts.append(ReturnTime(satisfaction_weight=weights[0], churn_weight=weights[1]))
    return tuple(parts)
