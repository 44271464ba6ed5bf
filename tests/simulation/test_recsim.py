"""RecSim's interest evolution: random slates earn what they earn in the published environment.

Check values: Ie et al. 2019, 300 users and slates of 3 random videos; standard errors of the values published without
one are taken from the spread of our own users.
"""

import numpy as np
import pytest

from recsim_lab.policy import NEVER
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.sessions import population_sessions

NUM_USERS, NUM_PUBLISHED_USERS, STANDARD_ERRORS = 4000, 300, 4


def random_slates(rng, num_rows, num_items, num_slots):
    slates = rng.integers(num_items, size=(num_rows, num_slots))
    while len(again := np.flatnonzero((np.diff(np.sort(slates, axis=1), axis=1) == 0).any(axis=1))):
        slates[again] = rng.integers(num_items, size=(len(again), num_slots))
    return slates.astype(np.int32)


@pytest.fixture(scope="module")
def lives():
    """Per user: watch time, slates, clicks, summed quality of clicks, distance that interests moved."""
    # Many items, so that the luck of the catalogue's qualities is small.
    world = make_world("recsim-interest-evolution", seed=0, num_users=NUM_USERS, num_items=50_000)
    sessions = population_sessions(world, seed=0)
    rng = np.random.default_rng(0)
    rows = np.arange(NUM_USERS)
    sessions.open(rows, sessions.first_visit(rows))
    start = sessions.state["preference"].copy()
    told = {name: np.zeros(NUM_USERS) for name in ("return", "length", "clicks", "quality")}
    while len(rows):
        slates = random_slates(rng, len(rows), world.catalogue.num_items, 3)
        response = sessions.answer(rows, slates)
        told["return"][rows] += response.reward
        told["length"][rows] += 1
        told["clicks"][rows] += response.clicks.sum(axis=1)
        told["quality"][rows] += (response.clicks * world.catalogue.quality[slates]).sum(axis=1)
        assert (sessions.state["time_left"][rows] <= 0).tolist() == response.left.tolist()
        gone = rows[response.left]
        assert (sessions.close(gone) == NEVER).all()
        rows = rows[~response.left]
    told["drift"] = np.linalg.norm(sessions.state["preference"] - start, axis=1)
    return told


def standard_error(values, published=None):
    """Of the difference between our mean and the published one."""
    ours = values.std() / np.sqrt(len(values))
    theirs = values.std() / np.sqrt(NUM_PUBLISHED_USERS) if published is None else published
    return np.hypot(ours, theirs)


def test_return(lives):
    error = STANDARD_ERRORS * standard_error(lives["return"], 0.7)
    assert lives["return"].mean() == pytest.approx(160.2, abs=error)


def test_length_of_a_life(lives):
    error = STANDARD_ERRORS * standard_error(lives["length"], 0.56)
    assert lives["length"].mean() == pytest.approx(71.97, abs=error)


def test_click_rate(lives):
    rate = lives["clicks"] / lives["length"]
    assert rate.mean() == pytest.approx(0.571, abs=STANDARD_ERRORS * standard_error(rate))


def test_quality_of_clicks(lives):
    quality = lives["quality"] / lives["clicks"]
    pooled = lives["quality"].sum() / lives["clicks"].sum()
    assert pooled == pytest.approx(-0.585, abs=STANDARD_ERRORS * standard_error(quality))


def test_how_far_interests_move(lives):
    assert lives["drift"].mean() == pytest.approx(1.09, abs=STANDARD_ERRORS * standard_error(lives["drift"]))


def third_difference(weight):
    """E[S / (S + weight)] of the sum S of three uniforms on [0, 2], in closed form.

    With S = 2X it is 1 - h E[1 / (X + h)], h = weight / 2; three integrations of 1 / x give x^2 log(x) / 2 and a
    parabola, which the third difference over the cube's corners cancels.
    """
    points = weight / 2 + np.arange(4)
    return 1 - weight / 2 * (np.array([-1, 3, -3, 1]) * points**2 * np.log(points) / 2).sum()


@pytest.mark.parametrize(("parameters", "weight"), [({}, 2.0), ({"no_click_weight": 1.0}, 1.0)])
def test_first_click(parameters, weight):
    """Published .582 where the three topics differ and no click weighs 2, as coded."""
    num_users = 20_000
    world = make_world("recsim-interest-evolution", num_users=num_users, num_items=400, **parameters)
    rows = np.arange(num_users)
    sessions = population_sessions(world, seed=0)
    _, first = np.unique(world.catalogue.topic, return_index=True)
    slates = np.argsort(np.random.default_rng(2).random((num_users, len(first))), axis=1)[:, :3]
    rate = world.click_probability(sessions.state, rows, first[slates].astype(np.int32)).sum(axis=1)
    expected = third_difference(weight)
    assert weight != 2 or expected == pytest.approx(0.582, abs=5e-4)
    assert rate.mean() == pytest.approx(expected, abs=STANDARD_ERRORS * rate.std() / np.sqrt(num_users))


def test_good_topics_are_few():
    world = make_world("recsim-interest-evolution", num_items=40_000)
    topic, quality = world.catalogue.topic, world.catalogue.quality
    means = np.bincount(topic, quality) / np.bincount(topic)
    assert means.mean() == pytest.approx(-0.6, abs=0.001)
    assert (np.diff(means) > -0.02).all() and means[13] == pytest.approx(means[14], abs=0.02)
    spread = (quality - means[topic]).std()
    assert spread == pytest.approx(0.1, rel=4 / np.sqrt(2 * len(topic)))
    assert world.features.items["genre"].tolist() == topic.tolist()


def test_wrong_parameters_are_named():
    with pytest.raises(ValueError, match="no_click_weight must be at least 0, got -1"):
        make_world("recsim-interest-evolution", no_click_weight=-1.0)
    with pytest.raises(ValueError, match="num_items must be at least 1, got 0"):
        make_world("recsim-interest-evolution", num_items=0)
    with pytest.raises(ValueError, match="minutes must be positive and finite, got 0"):
        make_world("recsim-interest-evolution", minutes=0.0)
