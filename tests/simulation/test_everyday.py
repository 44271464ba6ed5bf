"""The default world: made from its seed alone, of the scale and structure that its description promises."""

import numpy as np
import pytest

from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.presets import PRESETS, make_world
from recsim_lab.simulation.presets.everyday import SERIES_LENGTH
from recsim_lab.simulation.sessions import population_sessions
from recsim_lab.testing.dynamics import hidden_arrays

SMALL = {"num_users": 300, "num_items": 400, "new_items_a_day": 3, "days": 20}


@pytest.fixture(scope="module")
def world():
    return make_world("everyday")


def test_a_seed_makes_one_world():
    first, second, other = (make_world("everyday", seed=seed, **SMALL) for seed in (3, 3, 4))
    for name, values in hidden_arrays(first).items():
        assert values.tobytes() == hidden_arrays(second)[name].tobytes(), name
        if name.split(".")[1] not in ("release_day", "topic_taste"):
            assert values.tobytes() != hidden_arrays(other)[name].tobytes(), name
    assert first.choice == second.choice != other.choice
    for name, table in vars(first.utility.crosses).items():
        np.testing.assert_array_equal(table, getattr(second.utility.crosses, name))


def test_static_is_everyday_without_dynamics():
    moving, still = (make_world(name, **SMALL) for name in ("everyday", "static"))
    assert still.dynamics == () and moving.dynamics and still.choice == moving.choice
    for name, values in hidden_arrays(moving).items():
        np.testing.assert_array_equal(values, hidden_arrays(still)[name], err_msg=name)


def test_latent_match_has_standard_deviation_one_over_random_pairs(world):
    match = world.population.latent.astype(float) @ world.catalogue.latent.astype(float).T
    assert np.sqrt(np.square(match).mean()) == pytest.approx(1, abs=1e-4)
    assert match.mean() == pytest.approx(0, abs=1e-4)
    # Centred on both sides: no item is liked by everybody for its place in the latent space.
    np.testing.assert_allclose(match.mean(axis=0), 0, atol=1e-4)


def test_series_run_within_a_topic_and_are_short(world):
    continues, topic = world.catalogue.continues, world.catalogue.topic
    old = world.catalogue.release_day == 0
    parts = np.flatnonzero(continues >= 0)
    assert (topic[parts] == topic[continues[parts]]).all()
    assert old[parts].all() and old[continues[parts]].all()
    assert len(np.unique(continues[parts])) == len(parts)  # each item is continued by one at most
    follower = {int(continues[item]): int(item) for item in parts}
    firsts = [item for item in follower if continues[item] < 0]
    in_series = 0
    for item in firsts:
        run = 1
        while item in follower:
            item, run = follower[item], run + 1
        assert 2 <= run <= SERIES_LENGTH
        in_series += run
    assert in_series == len(parts) + len(firsts)  # no cycles: every part is reached from a first one
    # 60% of the old items stand in series; those that are left over alone at the end of a topic count as none.
    assert 0.53 < in_series / old.sum() < 0.65


def test_new_items_come_every_day():
    catalogue = make_world("everyday", **SMALL).catalogue
    assert np.bincount(catalogue.release_day).tolist() == [400] + [3] * 20
    assert catalogue.num_items == 460
    offered = make_world("everyday", **SMALL).features.on_offer(np.array([0, TICKS_PER_DAY - 1, 7 * TICKS_PER_DAY]))
    assert offered.sum(axis=1).tolist() == [400, 400, 421]
    assert (make_world("everyday", **SMALL | {"new_items_a_day": 0}).catalogue.release_day == 0).all()


def test_genre_is_the_topic_seen_through_noise(world):
    right = world.catalogue.genre == world.catalogue.topic
    chance = 0.85 + 0.15 / 20
    assert right.mean() == pytest.approx(chance, abs=4.5 * np.sqrt(chance * (1 - chance) / len(right)))


def test_tastes_are_chances_of_three_favourite_topics(world):
    taste = world.population.topic_taste
    np.testing.assert_allclose(taste.sum(axis=1), 1, atol=1e-5)
    assert (np.sum(taste > 0.1 / 20 + 1e-6, axis=1) <= 3).all() and taste.min() > 0


@pytest.mark.parametrize("click_rate", [0.15, 0.4])
def test_slates_of_random_items_get_the_click_rate_at_first(click_rate):
    world = make_world("everyday", random_click_rate=click_rate)
    sessions = population_sessions(world, seed=77)
    rows = np.arange(len(sessions))
    sessions.open(rows, np.full(len(rows), 600))
    rng = np.random.default_rng(5)
    old = np.flatnonzero(world.catalogue.release_day == 0)
    chances = [
        world.click_probability(
            sessions.state, rows, rng.permuted(np.tile(old, (len(rows), 1)), axis=1)[:, :10].astype(np.int32)
        ).sum(axis=1)
        for _ in range(3)
    ]
    # The bisection saw one random slate of each user, here are three: a slate's rate varies by about .1 to .2, so
    # 4.5 standard errors are about .02.
    error = np.hypot(np.std(chances) / np.sqrt(len(rows)), np.std(chances) / np.sqrt(3 * len(rows)))
    assert 4.5 * error < 0.025
    assert np.mean(chances) == pytest.approx(click_rate, abs=4.5 * error)


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_users": 1},
        {"num_items": 1, "new_items_a_day": 0, "num_slots": 1},
        {"num_topics": 1},
        {"num_topics": 2, "num_dims": 1},
        {"days": 0},
    ],
    ids=str,
)
def test_the_smallest_worlds_work(parameters):
    world = make_world("everyday", **SMALL | parameters)
    sessions = population_sessions(world, seed=0)
    rows = np.arange(len(sessions))
    sessions.open(rows, sessions.first_visit(rows))
    slate = np.tile(np.arange(world.num_slots, dtype=np.int32), (len(rows), 1))
    response = sessions.answer(rows, slate)
    assert np.isfinite(response.utility).all() and np.isfinite(response.dwell).all()
    assert (sessions.close(rows) >= TICKS_PER_DAY).all()


def test_weights_go_to_the_parts():
    weights = {"latent": 0.5, "features": 0.0, "appeal": 0.1, "clickbait": 0.2, "freshness": 0.3}
    world = make_world("everyday", **SMALL, **weights, intent=0.6, series=0.7, boredom=0.8, drift=0.9)
    assert {name: getattr(world.utility, name) for name in weights} == weights
    intent, boredom, drift = world.dynamics[:3]
    assert (intent.topic_weight, intent.series_weight, boredom.weight, drift.rate) == (0.6, 0.7, 0.8, 0.9)


@pytest.mark.parametrize("name", PRESETS)
def test_unknown_parameters_are_answered_with_those_there_are(name):
    with pytest.raises(ValueError, match=f"preset '{name}' has no parameter 'colour'; there are seed, num_"):
        make_world(name, colour="red")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"num_users": 0}, "num_users and num_items must be at least 1, got 0 and 2000"),
        ({"num_items": 0}, "num_users and num_items must be at least 1, got 2000 and 0"),
        ({"num_topics": 0}, "num_topics and num_dims must be at least 1, got 0 and"),
        ({"new_items_a_day": -1}, "new_items_a_day and days must be at least 0, got -1 and 120"),
        ({"days": -3}, "new_items_a_day and days must be at least 0, got 5 and -3"),
        ({"random_click_rate": 1.0}, r"random_click_rate must be in \(0, 1\), got 1.0"),
        ({"drift": 1.5}, r"rate must be in \[0, 1\], got 1.5"),
        ({"appeal": np.nan}, "appeal must be finite, got nan"),
        ({"num_slots": 0}, "num_slots must be at least 1, got 0"),
        ({"num_items": 3, "new_items_a_day": 0}, "num_slots must be at most the number of items, got 10 of 3"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_world("everyday", **parameters)


def test_unknown_presets_are_answered_with_those_there_are():
    with pytest.raises(ValueError, match="unknown preset 'someday'; there are everyday, static, movielens"):
        make_world("someday")
    assert isinstance(make_world("sardine-topk-bored", num_users=5, num_items=20).choice, PositionBased)


def test_parameters_may_stand_in_the_name():
    named, given = make_world("everyday:features=0,num_users=50,num_items=60"), make_world(
        "everyday", features=0.0, num_users=50, num_items=60
    )  # fmt: skip
    assert named.utility.features == 0 and np.array_equal(named.catalogue.latent, given.catalogue.latent)
    for name, message in {
        "everyday:depth=3": "preset 'everyday' has no parameter 'depth'",
        "everyday:num_users=2.5": "num_users of preset 'everyday' must be a whole number, got '2.5'",
        "everyday:features": "must be given once, as key=value, got 'features'",
        "everyday:features=1,features=2": "must be given once, as key=value, got 'features=2'",
    }.items():
        with pytest.raises(ValueError, match=message):
            make_world(name)


def test_items_are_withdrawn_after_their_lifetime():
    table = make_world("everyday", **SMALL | {"lifetime_days": 4, "new_items_a_day": 3, "days": 10}).features
    days = np.arange(12) * TICKS_PER_DAY
    offered = table.on_offer(days)
    new = table.release > 0
    assert ((table.withdrawal - table.release)[new] == 4 * TICKS_PER_DAY).all()
    # Those from the start go in four parts of equal size, one a day.
    assert np.array_equal((offered & ~new).sum(axis=1)[:5], SMALL["num_items"] * np.array([4, 3, 2, 1, 0]) // 4)
    assert not offered[4:, ~new].any()
