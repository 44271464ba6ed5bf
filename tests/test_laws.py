"""Every member of each family keeps the laws of `recsim_lab.testing`, and the laws catch parts that break them."""

import importlib
import pkgutil
from dataclasses import dataclass, replace

import numpy as np
import pytest

import recsim_lab.simulation.choice
import recsim_lab.simulation.dynamics
from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import (
    ChoiceModel,
    Clipped,
    DependentClicks,
    ExponentialCascade,
    MultinomialLogit,
    MultinomialProportional,
    PositionBased,
    RankArgmax,
)
from recsim_lab.simulation.dynamics import (
    BoredomTimeout,
    Dynamics,
    InterestEvolution,
    ItemInterest,
    LongTermSatisfaction,
    Patience,
    PreferenceDrift,
    RepeatPenalty,
    ReturnChance,
    ReturnTime,
    Satisfaction,
    SessionIntent,
    SingleVisit,
    TimeBudget,
    TopicBoredom,
    TopicReinforcement,
)
from recsim_lab.simulation.examination import Flat, Geometric, MixedReaders, PowerLaw
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.presets import PRESETS, make_world
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.utility import Utility
from recsim_lab.simulation.world import World
from recsim_lab.testing import check_choice_model, check_dynamics, check_world

CHOICE_MODELS = [
    MultinomialLogit(),
    MultinomialLogit(PowerLaw(0.7), no_click=-np.inf),
    PositionBased(Geometric(0.85)),
    PositionBased(MixedReaders(0.7), Clipped()),
    ExponentialCascade(Geometric(0.9), attention=0.65, scale=0.3),
    DependentClicks(),
    DependentClicks(PowerLaw(0.5), continue_probability=0.3, fading=Flat()),
    RankArgmax(),
    MultinomialProportional(),
    MultinomialProportional(Geometric(0.5), no_click=-1.0),
]
DYNAMICS = [
    BoredomTimeout(threshold=2, timeout=3, memory_steps=2, most_remembered=4),
    InterestEvolution(0.7),
    ItemInterest(largest_change=0.3),
    ItemInterest(-0.5, 2.0, 0.3, change_kept=True),
    LongTermSatisfaction(sensitivity=0.8),
    Patience(),
    PreferenceDrift(rate=0.3, daily=0.1),
    RepeatPenalty(memory=4, threshold=1),
    ReturnChance(0.3),
    ReturnTime(churn=0.3),
    Satisfaction(),
    SessionIntent(),
    SingleVisit(),
    TimeBudget(minutes=2.0),
    TopicBoredom(),
    TopicReinforcement(0.3, ceiling=0.9, floor=-0.5),
]
SMALL = {
    "everyday": {"num_users": 50, "num_items": 60, "new_items_a_day": 2, "days": 10, "num_topics": 6},
    "static": {"num_users": 50, "num_items": 60, "new_items_a_day": 2, "days": 10, "num_topics": 6},
    "movielens": {},
    "reclab-topics-static": {"num_users": 50, "num_items": 60},
    "reclab-topics-dynamic": {"num_users": 50, "num_items": 60},
    "recsim-interest-evolution": {"num_users": 50, "num_items": 60, "minutes": 15.0},
    "lts": {"num_users": 50, "num_items": 60, "num_slots": 3},
    "lts-dilemma": {"num_users": 50, "num_items": 60},
    "sardine-topk-bored": {"num_users": 50, "num_items": 60},
}


def members(family, package):
    """The classes of a family that are defined in the modules of a package."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return {member for member in family.__subclasses__() if member.__module__.startswith(package.__name__)}


def busy_world():
    """Several clicks on most slates; a preference for each topic, all in [-1, 1]; series; users who differ."""
    rng = np.random.default_rng(3)
    num_users, num_items, num_topics = 30, 40, 5
    topic = rng.integers(num_topics, size=num_items)
    normal = rng.normal(size=(6, max(num_users, num_items))).astype(np.float32)
    catalogue = plain_catalogue(
        rng.uniform(0, 1, (num_items, num_topics)).astype(np.float32),
        topic,
        num_topics,
        quality=normal[0, :num_items],
        clickbait=normal[1, :num_items],
    )
    population = plain_population(
        rng.uniform(-1, 1, (num_users, num_topics)).astype(np.float32),
        rng.dirichlet(np.ones(num_topics), num_users).astype(np.float32),
    )
    follows = np.where(rng.random(num_items) < 0.5, rng.permutation(num_items), -1).astype(np.int32)
    return World(
        name="busy",
        catalogue=replace(catalogue, continues=follows),
        population=replace(
            population,
            activity=normal[2, :num_users],
            patience=normal[3, :num_users],
            habit=rng.integers(8, size=num_users).astype(np.int32),
        ),
        choice=PositionBased(),
        utility=Utility(offset=0.5),
        dynamics=(Satisfaction(),),
        num_slots=4,
    )


@pytest.mark.parametrize("model", CHOICE_MODELS, ids=repr)
def test_choice_models(model):
    check_choice_model(model, num_draws=45_000)


@pytest.mark.parametrize("dynamics", DYNAMICS, ids=lambda member: type(member).__name__)
def test_dynamics(dynamics):
    world = busy_world()
    if isinstance(dynamics, LongTermSatisfaction):  # owns what `Satisfaction` owns
        world = replace(world, dynamics=(dynamics,))
    check_dynamics(dynamics, world)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset):
    check_world(make_world(preset, **SMALL[preset]))


def test_no_member_is_left_out():
    assert {type(member) for member in CHOICE_MODELS} == members(ChoiceModel, recsim_lab.simulation.choice)
    assert {type(member) for member in DYNAMICS} == members(Dynamics, recsim_lab.simulation.dynamics)
    assert set(SMALL) == set(PRESETS)


# ---- the laws can fail -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Broken(Dynamics):
    """Counts clicks, with one defect."""

    defect: str = ""

    def initial(self, world, profile, draws):
        if self.defect == "view":
            return {"count": np.broadcast_to(world.population.latent[:1, :1], (len(profile), 1))}
        if self.defect == "start":
            return {"count": np.full((len(profile), 1), len(profile), np.float32)}
        if self.defect == "name":
            return {"device": np.zeros((len(profile), 1), np.float32)}
        return {"count": np.zeros((len(profile), 1), np.float32)}

    def utility(self, world, state, rows, items):
        if self.defect == "reader":
            state["count"][rows] += 1
        dtype = np.float64 if self.defect == "type" else np.float32
        return np.full(items.shape, -0.0, dtype) * state["count"][rows]

    def arrive(self, world, state, rows, days, draws):
        if self.defect == "place":
            state["count"][rows] += rows[:, None]
        if self.defect == "days":
            days += 1

    def respond(self, world, state, rows, response, draws):
        count = response.clicks.sum(axis=1, keepdims=True).astype(np.float32)
        state["count"][rows] += count
        if self.defect == "foreign":
            state["satisfaction"][rows] += 1
        if self.defect == "everybody":
            state["count"] += 1
        if self.defect == "company":
            state["count"][rows] += count.mean()
        if self.defect == "world":
            world.catalogue.quality[0] += 1
        if self.defect == "draws":
            draws.step[:] = 0
        if self.defect == "replaced":
            state["count"] = state["count"].astype(np.float64)
        if self.defect == "crowd" and len(rows) > 1000:
            state["count"][rows] *= np.float32(1 + 1e-7)

    def leave_probability(self, world, state, rows, response):
        return np.full(len(rows), 1.5 if self.defect == "range" else 0.5)

    def gap_days(self, world, state, rows, draws):
        return np.full(len(rows), 0 if self.defect == "never" else 1)


BROKEN_DYNAMICS = {
    "view": "count is a copy, no view of population.latent",
    "start": "initial count does not depend on the batch",
    "name": "declared names are not those of the world",
    "reader": "utility writes only what it declares, not count",
    "type": "utility is float32",
    "place": "arrive makes the same count in a crowd",
    "days": "arrive leaves days as they are",
    "foreign": "respond writes only what it declares, not satisfaction",
    "everybody": "respond writes only the given rows of count",
    "company": "respond makes the same count",
    "world": "the world stays as it is",
    "draws": "respond leaves draws.step as it is",
    "replaced": "respond keeps the type and shape of count",
    "crowd": "respond makes the same count in a crowd",
    "range": r"leave_probability is in \[0, 1\]",
    "never": "gap_days is -1 or at least 1",
}


@pytest.mark.parametrize("defect", BROKEN_DYNAMICS)
def test_broken_dynamics_are_caught(defect):
    with pytest.raises(AssertionError, match=BROKEN_DYNAMICS[defect]):
        check_dynamics(Broken(defect), busy_world())


def test_the_flawless_twin_of_broken_dynamics_passes():
    check_dynamics(Broken(), busy_world())


@dataclass(frozen=True)
class SharedLuck(Dynamics):
    """Takes the draws of another member."""

    def respond(self, world, state, rows, response, draws):
        draws.uniform(Purpose.INTENT_MOVE)


@dataclass(frozen=True)
class TiredAfter(Dynamics):
    """The gap depends on the step at which the visit ended, which another policy may not have reached."""

    def gap_days(self, world, state, rows, draws):
        return 1 + (state["step"][rows] // 2).astype(np.int64)


@dataclass(frozen=True)
class ByStep(ChoiceModel):
    """Clicks more often than it says, from some step on or always."""

    examination: Flat = Flat()

    def click_probability(self, utility, habit):
        return np.where(utility > -np.inf, 0.3, 0.0)

    def sample_clicks(self, utility, habit, draws):
        return (draws.uniform(1, utility.shape[1]) < 0.33) & (utility > -np.inf)


@dataclass(frozen=True)
class ByPlace(ChoiceModel):
    """The first row of a batch clicks on all."""

    examination: Flat = Flat()

    def click_probability(self, utility, habit):
        return np.where(utility > -np.inf, 0.3, 0.0)

    def sample_clicks(self, utility, habit, draws):
        clicks = draws.uniform(1, utility.shape[1]) < 0.3
        clicks[:1] = True
        return clicks & (utility > -np.inf)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"dynamics": (SessionIntent(), SharedLuck())}, "purposes differ between parts"),
        ({"dynamics": (TiredAfter(),)}, "coming back does not depend on the length"),
        ({"choice": ByStep()}, "clicks come as often as click_probability promises"),
        ({"choice": ByPlace()}, "a user's life is the same when rows are served backwards"),
    ],
    ids=["purposes", "luck", "probability", "company"],
)
def test_broken_worlds_are_caught(part, text):
    with pytest.raises(AssertionError, match=text):
        check_world(replace(busy_world(), **part))
