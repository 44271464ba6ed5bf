"""Utility: each component is what its formula says, can be switched off, and favours no feature by itself."""

from dataclasses import replace

import numpy as np
import pytest

from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.catalogue import Catalogue
from recsim_lab.simulation.choice import MultinomialLogit
from recsim_lab.simulation.population import AVERAGE_HABIT, Population
from recsim_lab.simulation.utility import NUM_DEVICES, PARTS_OF_DAY, Crosses, Utility, draw_crosses, part_of_day
from recsim_lab.simulation.world import World
from recsim_lab.streams import draws_of

NUM_USERS, NUM_ITEMS, NUM_DIMS, NUM_TOPICS, NUM_AGES, NUM_LENGTHS, NUM_LANGUAGES = 12, 40, 5, 7, 6, 4, 3
WEIGHTS = {"latent": 0.9, "features": 0.7, "appeal": 0.5, "clickbait": 0.3, "freshness": 0.4}


def make_world(**weights):
    rng = np.random.default_rng(1)

    def codes(high, size):
        return rng.integers(high, size=size).astype(np.int32)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    catalogue = Catalogue(
        latent=normal(NUM_ITEMS, NUM_DIMS),
        topic=codes(NUM_TOPICS, NUM_ITEMS),
        appeal=normal(NUM_ITEMS),
        quality=normal(NUM_ITEMS),
        clickbait=normal(NUM_ITEMS),
        continues=np.full(NUM_ITEMS, -1, np.int32),
        release_day=np.where(np.arange(NUM_ITEMS) < 15, 0, codes(30, NUM_ITEMS)).astype(np.int32),
        genre=codes(NUM_TOPICS, NUM_ITEMS),
        length=codes(NUM_LENGTHS, NUM_ITEMS),
        language=codes(NUM_LANGUAGES, NUM_ITEMS),
        creator=codes(3, NUM_ITEMS),
        num_topics=NUM_TOPICS,
    )
    population = Population(
        latent=normal(NUM_USERS, NUM_DIMS),
        topic_taste=np.ones((NUM_USERS, NUM_TOPICS), np.float32),
        habit=np.full(NUM_USERS, AVERAGE_HABIT, np.int32),
        activity=normal(NUM_USERS),
        patience=normal(NUM_USERS),
        part_of_day=codes(PARTS_OF_DAY, NUM_USERS),
        device=codes(NUM_DEVICES, NUM_USERS),
        age=codes(NUM_AGES, NUM_USERS),
    )
    crosses = draw_crosses(np.random.default_rng(2), NUM_AGES, NUM_TOPICS, NUM_LENGTHS, NUM_LANGUAGES)
    nothing = dict.fromkeys(WEIGHTS, 0.0)
    utility = Utility(**nothing | {"crosses": crosses} | weights)
    return World("features", catalogue, population, MultinomialLogit(), utility)


def requests(world, day=20):
    """Everybody's utility for everything, on a day on which some items are not out yet."""
    users = np.arange(NUM_USERS, dtype=np.int32)
    state = world.initial(users, draws_of(0, users))
    rng = np.random.default_rng(4)
    state["tick"][:] = day * TICKS_PER_DAY + rng.integers(TICKS_PER_DAY, size=NUM_USERS)
    state["device"][:] = rng.integers(NUM_DEVICES, size=NUM_USERS)
    items = np.tile(np.arange(NUM_ITEMS, dtype=np.int32), (NUM_USERS, 1))
    return state, *world.true_utility(state, users, items)


def twin(world, state, user, item):
    """The formula, one pair at a time: the personal part and the whole."""
    u, c, p = world.utility, world.catalogue, world.population
    personal = u.latent * sum(float(a) * float(b) for a, b in zip(p.latent[user], c.latent[item], strict=True))
    part, device = int(state["tick"][user] % 1440) // 180, state["device"][user]
    age, genre, length, language = p.age[user], c.genre[item], c.length[item], c.language[item]
    personal += u.features * sum(
        (
            float(u.crosses.age_genre[age, genre]),
            float(u.crosses.part_length[part, length]),
            float(u.crosses.age_part_language[age, part, language]),
            float(u.crosses.device_length[device, length]),
        )
    )
    whole = personal + u.offset + u.appeal * c.appeal[item] + u.clickbait * c.clickbait[item]
    days = state["tick"][user] / 1440 - c.release_day[item]
    if c.release_day[item] > 0 and days >= 0:
        whole += u.freshness * np.exp(-days / u.freshness_days)
    return personal, whole


@pytest.mark.parametrize(
    "weights", [WEIGHTS, {"offset": -1.5, "latent": 2.0, "freshness": -1.0, "freshness_days": 3.0}]
)
def test_utility_equals_its_formula(weights):
    world = make_world(**weights)
    state, utility, match = requests(world)
    for user in range(NUM_USERS):
        expected = np.array([twin(world, state, user, item) for item in range(NUM_ITEMS)])
        np.testing.assert_allclose(match[user], expected[:, 0], atol=2e-5)
        np.testing.assert_allclose(utility[user], expected[:, 1], atol=2e-5)


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_weight_of_zero_switches_a_component_off(name):
    """The world whose component is scrambled has the same utilities to the bit; with the weight it has others."""
    scrambled = {
        "latent": lambda w: replace(w, population=replace(w.population, latent=-w.population.latent)),
        "features": lambda w: replace(w, population=replace(w.population, age=(w.population.age + 1) % NUM_AGES)),
        "appeal": lambda w: replace(w, catalogue=replace(w.catalogue, appeal=w.catalogue.appeal + 1)),
        "clickbait": lambda w: replace(w, catalogue=replace(w.catalogue, clickbait=w.catalogue.clickbait + 1)),
        "freshness": lambda w: replace(w, catalogue=replace(w.catalogue, release_day=w.catalogue.release_day + 1)),
    }[name]
    off, on = make_world(**WEIGHTS | {name: 0.0}), make_world(**WEIGHTS)
    np.testing.assert_array_equal(requests(scrambled(off))[1], requests(off)[1])
    assert np.abs(requests(scrambled(on))[1] - requests(on)[1]).max() > 0.05


def test_all_weights_at_zero_leave_nothing():
    assert not requests(make_world())[1].any()


def test_crosses_are_centred_and_of_equal_weight():
    crosses = draw_crosses(np.random.default_rng(0), NUM_AGES, NUM_TOPICS, NUM_LENGTHS, NUM_LANGUAGES)
    for table in vars(crosses).values():
        for axis in range(table.ndim):
            np.testing.assert_allclose(table.mean(axis=axis), 0, atol=1e-6)
        assert table.std() == pytest.approx(0.5, rel=1e-5)


def test_the_sum_of_crosses_has_variance_one_over_random_pairs():
    """All combinations of codes, each once: centred tables do not correlate, so the variances add up exactly."""
    crosses = draw_crosses(np.random.default_rng(0), NUM_AGES, NUM_TOPICS, NUM_LENGTHS, NUM_LANGUAGES)
    age, part, device, genre, length, language = np.ix_(
        *(np.arange(n) for n in (NUM_AGES, PARTS_OF_DAY, NUM_DEVICES, NUM_TOPICS, NUM_LENGTHS, NUM_LANGUAGES))
    )
    total = (
        crosses.age_genre[age, genre].astype(float)
        + crosses.part_length[part, length]
        + crosses.age_part_language[age, part, language]
        + crosses.device_length[device, length]
    )
    assert total.mean() == pytest.approx(0, abs=1e-6)
    assert total.std() == pytest.approx(1, abs=1e-5)
    # No item is better than another on average over users and contexts, and no user easier to please.
    np.testing.assert_allclose(total.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(total.mean(axis=(3, 4, 5)), 0, atol=1e-6)


def test_a_feature_of_one_code_crosses_with_nothing():
    crosses = draw_crosses(np.random.default_rng(0), NUM_AGES, 1, NUM_LENGTHS, 1)
    assert not np.abs(crosses.age_genre).max() > 0 and not np.abs(crosses.age_part_language).max() > 0
    assert crosses.part_length.std() == pytest.approx(0.5, rel=1e-5)


def test_items_that_come_late_do_not_overflow_the_bonus():
    world = make_world(freshness=1.0, freshness_days=0.1)
    world = replace(world, catalogue=replace(world.catalogue, release_day=world.catalogue.release_day * 10))
    assert np.isfinite(requests(world)[1]).all()


def test_parts_of_the_day():
    tick = np.array([0, 179, 180, 1439, 1440, 10 * 1440 + 720])
    assert part_of_day(tick).tolist() == [0, 0, 1, 7, 0, 4]


def small_crosses(**tables):
    zeros = {"age_genre": (6, 7), "part_length": (8, 4), "age_part_language": (6, 8, 3), "device_length": (3, 4)}
    return Crosses(**{name: np.zeros(tables.get(name, shape), np.float32) for name, shape in zeros.items()})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Utility(freshness_days=0.0), "freshness_days must be positive, got 0.0"),
        (lambda: Utility(freshness_days=np.nan), "freshness_days must be positive, got nan"),
        (lambda: Utility(appeal=np.nan), "appeal must be finite, got nan"),
        (lambda: Utility(features=0.5), "crosses must be given where features has a weight, got features=0.5"),
        (
            lambda: small_crosses(part_length=(7, 4), age_part_language=(6, 7, 3)),
            "part_length must have a row for each of 8 parts of the day, got 7",
        ),
        (lambda: small_crosses(device_length=(4, 4)), "device_length must have a row for each of 3 devices, got 4"),
        (
            lambda: make_world(crosses=small_crosses(age_genre=(5, 7), age_part_language=(5, 8, 3))),
            "age must be below 5, as in the crosses, got 5",
        ),
        (
            lambda: make_world(crosses=small_crosses(age_genre=(6, 2))),
            "genre must be below 2, as in the crosses, got 6",
        ),
        (lambda: make_world(crosses=small_crosses(age_part_language=(6, 8, 1))), "language must be below 1"),
    ],
)
def test_wrong_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
