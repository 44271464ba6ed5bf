"""What clicks leave behind: dwell, likes and rewards are distributed as their formulas say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import ChoiceModel
from recsim_lab.simulation.examination import Flat
from recsim_lab.simulation.feedback import ClicksOnly, Engagement, Rating
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.utility import Utility
from recsim_lab.simulation.world import World
from recsim_lab.streams import draws_of

NUM_ROWS = 20_000
QUALITY = np.array([0.0, 1.0, -1.5, 0.0, 0.5], np.float32)
CLICKBAIT = np.array([0.0, 0.0, 0.5, 1.2, -0.4], np.float32)
TASTE = np.array([0.3, -0.2, 1.0, 2.5, 4.4], np.float32)


class Scripted(ChoiceModel):
    """Clicks that the test has written down, one row for all."""

    def __init__(self, clicks):
        self.examination, self.clicks = Flat(), np.array(clicks, bool)

    def click_probability(self, utility, habit):
        return np.tile(self.clicks.astype(float), (len(utility), 1))

    def sample_clicks(self, utility, habit, draws):
        return np.tile(self.clicks, (len(utility), 1))


def respond(feedback, clicks, num_rows=NUM_ROWS, seed=5, **parts):
    """Everybody likes item i by TASTE[i], sees items 0 to 4 in order, and clicks as told."""
    world = World(
        name="scripted",
        catalogue=plain_catalogue(TASTE[:, None], quality=QUALITY, clickbait=CLICKBAIT),
        population=plain_population(np.ones((1, 1), np.float32)),
        choice=Scripted(clicks),
        feedback=feedback,
        num_slots=5,
    )
    world = replace(world, **parts)
    rows = np.arange(num_rows)
    draws = draws_of(seed, rows)
    state = world.initial(np.zeros(num_rows, np.int32), draws)
    state["tick"][:] = 600
    slate = np.tile(np.arange(5, dtype=np.int32), (num_rows, 1))
    return world, world.respond(state, rows, slate, np.zeros(num_rows, np.int32), draws)


def test_dwell_is_log_normal_longer_for_quality_and_short_for_clickbait():
    feedback = Engagement(median_minutes=3.0, quality_effect=0.5, clickbait_effect=0.7, spread=0.4)
    _, response = respond(feedback, [1, 1, 1, 1, 0])
    assert not response.dwell[:, 4].any() and (response.dwell[:, :4] > 0).all()
    for slot in range(4):
        expected = stats.norm(np.log(3.0) + 0.5 * QUALITY[slot] - 0.7 * CLICKBAIT[slot], 0.4)
        # Kolmogorov and Smirnov: a right law fails each with chance 1e-5.
        assert stats.kstest(np.log(response.dwell[:, slot].astype(float)), expected.cdf).pvalue > 1e-5
    correlation = np.corrcoef(np.log(response.dwell[:, :4].T))
    assert np.abs(correlation[np.triu_indices(4, 1)]).max() < 5 / np.sqrt(NUM_ROWS)


def test_likes_follow_the_value_of_clicks():
    feedback = Engagement(like_logit=-1.0, like_value=0.8)
    world, response = respond(feedback, [1, 1, 0, 1, 1])
    assert not response.likes[:, 2].any()
    for slot in (0, 1, 3, 4):
        value = float(TASTE[slot] + QUALITY[slot] - world.clickbait_harm * CLICKBAIT[slot])
        chance = 1 / (1 + np.exp(1.0 - 0.8 * value))
        error = np.sqrt(chance * (1 - chance) / NUM_ROWS)
        assert response.likes[:, slot].mean() == pytest.approx(chance, abs=4.5 * error)


def test_value_is_match_and_quality_less_the_harm_of_clickbait():
    response = respond(ClicksOnly(), [0, 1, 1, 0, 0], 3, clickbait_harm=0.9)[1]
    expected = [float(TASTE[slot] + QUALITY[slot] - 0.9 * CLICKBAIT[slot]) for slot in (1, 2)]
    np.testing.assert_allclose(response.value, expected * 3, rtol=1e-6)
    np.testing.assert_array_equal(response.clicked_row, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(response.clicked_slot, [1, 2] * 3)
    np.testing.assert_array_equal(response.clicked_item, [1, 2] * 3)


def test_the_luck_of_a_slot_does_not_depend_on_other_clicks():
    one = respond(Engagement(), [0, 0, 1, 0, 0], 500)[1]
    many = respond(Engagement(), [1, 1, 1, 0, 1], 500)[1]
    np.testing.assert_array_equal(one.dwell[:, 2], many.dwell[:, 2])
    np.testing.assert_array_equal(one.likes[:, 2], many.likes[:, 2])


@pytest.mark.parametrize("feedback", [Engagement(), ClicksOnly()], ids=repr)
def test_the_reward_is_the_number_of_clicks(feedback):
    for clicks in ([1, 0, 1, 1, 0], [0] * 5, [1] * 5):
        response = respond(feedback, clicks, 7)[1]
        np.testing.assert_array_equal(response.reward, np.full(7, sum(clicks), np.float32))
        assert response.reward.dtype == np.float32


def test_a_click_is_all_there_is():
    response = respond(ClicksOnly(), [1] * 5, 7)[1]
    assert not response.dwell.any() and not response.likes.any()


def test_ratings_are_noisy_utilities_cut_to_the_scale():
    response = respond(Rating(noise=0.6, low=1.0, high=5.0, liked=4.0), [0, 0, 0, 1, 0])[1]
    reward = response.reward.astype(float)
    expected = stats.norm(2.5, 0.6)
    assert reward.min() == 1.0 and reward.max() < 5.0
    assert stats.kstest(reward[reward > 1.0], stats.truncnorm(-1.5 / 0.6, np.inf, 2.5, 0.6).cdf).pvalue > 1e-5
    error = np.sqrt(expected.cdf(1.0) / NUM_ROWS)
    assert (reward == 1.0).mean() == pytest.approx(expected.cdf(1.0), abs=4.5 * error)
    np.testing.assert_array_equal(response.likes[:, 3], reward >= 4.0)
    assert not response.likes[:, [0, 1, 2, 4]].any() and not response.dwell.any()


def test_the_top_of_the_scale_and_no_click():
    assert respond(Rating(noise=3.0), [0, 0, 0, 0, 1])[1].reward.max() == 5.0
    assert not respond(Rating(), [0] * 5, 9)[1].reward.any()
    exact = respond(Rating(noise=0.0), [0, 0, 1, 1, 0], 9, utility=Utility(offset=0.5))[1]
    np.testing.assert_allclose(exact.reward, 1.5 + 3.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Engagement(median_minutes=0.0), "median_minutes must be positive and spread at least 0, got 0.0"),
        (lambda: Engagement(spread=-1.0), "spread at least 0, got 4.0 and -1.0"),
        (lambda: Rating(noise=-0.5), "noise must be at least 0 and finite, got -0.5"),
        (lambda: Rating(low=6.0), "low must be at most high 5.0, got 6.0"),
    ],
)
def test_wrong_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
