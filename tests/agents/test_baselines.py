"""Random is uniform without replacement; popularity counts."""

from dataclasses import replace

import numpy as np
import pytest

from agents.baselines import Popularity, Random
from recsim_lab.interaction_log import empty_log
from recsim_lab.streams import draws_of


def test_random_propensities(requests):
    observation = requests(range(50), 9, blocked=[[0, 1]] * 50)
    answer = Random().recommend(observation, 4, draws_of(0, observation.user))
    np.testing.assert_allclose(answer.propensity, 1 / 7, rtol=1e-6)
    np.testing.assert_allclose(answer.prefix_propensity, [[1 / 7, 1 / 42, 1 / 210, 1 / 840]] * 50, rtol=1e-6)
    told = Random().probabilities(requests([0, 0], 9, blocked=[[0, 1]] * 2), np.array([[2, 1], [3, 3]]))
    np.testing.assert_allclose(told.marginal, [[1 / 7, 0], [1 / 7, 1 / 7]], rtol=1e-6)
    np.testing.assert_allclose(told.prefix, [[1 / 7, 0], [1 / 7, 0]], rtol=1e-6)


def test_random_shows_every_item_when_slates_are_as_long_as_the_catalogue(requests):
    answer = Random().recommend(requests(range(100), 6), 6, draws_of(0, np.arange(100)))
    assert (np.sort(answer.items, axis=1) == np.arange(6)).all()


def test_random_draws_the_same_prefix_for_any_length(requests):
    observation = requests(range(100), 30)
    short, long = (Random().recommend(observation, k, draws_of(2, observation.user)).items for k in (3, 9))
    assert np.array_equal(short, long[:, :3])


def test_slates_longer_than_the_catalogue(requests):
    for agent in (Random(), Popularity()):
        with pytest.raises(ValueError, match="num_slots must be at most"):
            agent.recommend(requests([0], 3), 4, draws_of(0, np.arange(1)))


@pytest.fixture
def counted(log):
    """Item 0: clicked 3 of 4 times, all on day 0; item 1: 2 of 2, on day 9; item 2: 1 of 6; item 3 never shown."""
    slate = np.array([[0, 2], [0, 2], [0, 2], [0, 2], [1, 2], [1, 2]], np.int32)
    clicks = np.array([[1, 1], [1, 0], [1, 0], [0, 0], [1, 0], [1, 0]], bool)
    features = replace(log.features, release=np.zeros(4, np.int64), withdrawal=np.full(4, 10**9))
    six = replace(log.take(np.arange(6)), features=features)
    arrays = {name: getattr(six, name)[:, :2] for name in ("propensity", "prefix_propensity", "propensity_error")}
    arrays |= {name: getattr(six, name)[:, :2] for name in ("source", "dwell", "likes")}
    return replace(six, slate=slate, clicks=clicks, tick=np.array([0, 1, 2, 3, 9 * 1440, 9 * 1440]), **arrays)


@pytest.mark.parametrize(
    "agent, expected",
    [
        (Popularity(), [3, 2, 1, 0]),
        (Popularity(window_days=8.99), [0, 2, 0, 0]),
        (Popularity(window_days=9.01), [3, 2, 1, 0]),
        (Popularity(by="rate", prior_impressions=2.0), [3 / 6, 2 / 4, 1 / 8, 0]),
        (Popularity(by="rate", prior_impressions=1e-9), [3 / 4, 1, 1 / 6, 0]),
    ],
)
def test_popularity_by_hand(agent, expected, counted, requests):
    agent.learn(counted)
    np.testing.assert_allclose(agent.scores(requests([0, 8], 4)), [expected] * 2, rtol=1e-6)
    np.testing.assert_allclose(
        agent.scores(requests([0], 4), np.array([[2, 0]])), [[expected[2], expected[0]]], rtol=1e-6
    )


@pytest.mark.parametrize("agent", [Popularity(), Popularity(window_days=2.0), Popularity(by="rate")])
def test_an_empty_log_leaves_items_in_order(agent, requests):
    agent.learn(empty_log(requests([0], 5).features, 2, 3, 4))
    assert agent.recommend(requests([0, 1], 5), 3, draws_of(0, np.arange(2))).items.tolist() == [[0, 1, 2]] * 2


def test_another_catalogue_is_refused(counted, requests):
    agent = Popularity()
    agent.learn(counted)
    with pytest.raises(ValueError, match="catalogue of 4 items"):
        agent.scores(requests([0], 5))


@pytest.mark.parametrize("field, value", [("window_days", 0.0), ("by", "likes"), ("prior_impressions", -1.0)])
def test_parameters_are_checked(field, value):
    agent = Popularity()
    setattr(agent, field, value)  # past the type checker, which is off outside tests
    with pytest.raises(ValueError, match=f"{field} must be .*got {value!r}"):
        agent.__post_init__()
