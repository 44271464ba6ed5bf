"""A calibrated world gives back what ratings were made of, and answers the odd cases in a defined way."""

from dataclasses import replace

import numpy as np
import pytest

from recsim_lab.datasets import Ratings
from recsim_lab.simulation.calibration import (
    Behaviour,
    Estimates,
    FactorSettings,
    calibrate,
    calibrated_world,
    estimate,
    fit_factors,
)
from recsim_lab.simulation.calibration.estimates import NO_GENRE, main_topics, topic_taste
from recsim_lab.simulation.calibration.factors import _blocks, _regress
from recsim_lab.simulation.calibration.held_out import lasting_utility
from recsim_lab.simulation.sessions import population_sessions

GENRES = ("Action", "Comedy", "IMAX")


def ratings_of(user, item, rating, num_users, num_items, item_genres=None):
    """Ratings a minute apart, in the given order, with ids that are not positions."""
    if item_genres is None:
        item_genres = np.arange(num_items)[:, None] % 2 == np.array([0, 1, 2])
    return Ratings(
        user=np.asarray(user, np.int32),
        item=np.asarray(item, np.int32),
        rating=np.asarray(rating, np.float32),
        timestamp=np.arange(len(user), dtype=np.int64) * 60,
        user_ids=np.arange(num_users) * 3 + 7,
        item_ids=np.arange(num_items) * 2 + 5,
        titles=tuple(f"Film {number}" for number in range(num_items)),
        genres=GENRES,
        item_genres=item_genres,
        years=np.full(num_items, 2000, np.int32),
        user_features={},
        user_feature_names={},
    )


def drawn_from_a_model(seed=0, num_users=300, num_items=200, rank=3, observed=0.4, noise=0.3):
    """Ratings of known biases and vectors, and the tables of true matches and of true stars."""
    rng = np.random.default_rng(seed)
    match = rng.normal(size=(num_users, rank)) @ rng.normal(size=(rank, num_items)) * 0.4
    stars = 3.5 + 0.4 * rng.normal(size=(num_users, 1)) + 0.5 * rng.normal(size=num_items) + match
    user, item = np.nonzero(rng.random(stars.shape) < observed)
    rating = stars[user, item] + noise * rng.normal(size=len(user))
    order = rng.permutation(len(user))
    return ratings_of(user[order], item[order], rating[order], num_users, num_items), match, stars


def all_pairs(num_users, num_items):
    user, item = np.divmod(np.arange(num_users * num_items), num_items)
    return user.astype(np.int32), item.astype(np.int32)


# ---- the factors ---------------------------------------------------------------------------------------------


def test_a_known_model_is_recovered():
    ratings, match, stars = drawn_from_a_model()
    factors = fit_factors(ratings, FactorSettings(rank=3, shrinkage=1.0, shrinkage_per_rating=0.0))
    pairs = all_pairs(*stars.shape)
    centred = match - match.mean(axis=0) - match.mean(axis=1, keepdims=True)  # the rest is the biases' to tell
    fitted = factors.match(*pairs).reshape(match.shape)
    fitted = fitted - fitted.mean(axis=0) - fitted.mean(axis=1, keepdims=True)
    assert np.corrcoef(fitted.ravel(), centred.ravel())[0, 1] > 0.98
    error = factors.predict(*pairs).reshape(stars.shape) - stars
    assert np.sqrt(np.mean(error**2)) < 0.1  # the noise of a rating is .3


def test_half_a_sweep_solves_every_row_s_ridge_regression():
    rng = np.random.default_rng(3)
    num_users, num_items, rank = 40, 30, 4
    user, item = np.nonzero(rng.random((num_users, num_items)) < np.linspace(0, 0.9, num_users)[:, None])
    stars = rng.normal(size=len(user)).astype(np.float32)
    items = rng.normal(size=(num_items + 1, 1 + rank)).astype(np.float32)
    items[-1] = 0
    settings = FactorSettings(rank=rank, shrinkage=0.7, shrinkage_per_rating=0.2, bias_shrinkage=1.3)
    blocks = _blocks(user, item, stars, num_users)
    assert len(blocks) > 2  # so rows of several lengths, padded and not, are met
    solved = _regress(blocks, items, num_users, settings)
    for row in range(num_users):
        mine = user == row
        x = np.column_stack([np.ones(mine.sum()), items[item[mine], 1:]])
        y = stars[mine] - items[item[mine], 0]
        penalty = np.diag([1.3] + [0.7 + 0.2 * mine.sum()] * rank)
        np.testing.assert_allclose(solved[row], np.linalg.solve(x.T @ x + penalty, x.T @ y), atol=1e-5)
    assert not solved[-1].any()


def test_biases_alone_are_shrunken_mean_residuals():
    ratings, _, _ = drawn_from_a_model(observed=0.05)
    factors = fit_factors(ratings, FactorSettings(rank=0, num_sweeps=50))
    assert factors.user_factors.shape == (300, 0)
    residual = ratings.rating - factors.mean - factors.user_bias[ratings.user]
    expected = np.bincount(ratings.item, residual, 200) / (ratings.ratings_per_item() + 5.0)
    np.testing.assert_allclose(factors.item_bias, expected, atol=1e-5)


def test_axes_are_principal_and_deterministic():
    ratings, _, _ = drawn_from_a_model(num_users=50, num_items=40)
    factors = fit_factors(ratings, FactorSettings(rank=5))
    for side in (factors.user_factors, factors.item_factors):
        gram = side.T.astype(np.float64) @ side
        strength = np.diag(gram)
        assert (np.diff(strength) <= 1e-5).all()
        np.testing.assert_allclose(gram, np.diag(strength), atol=1e-4)
    heaviest = np.abs(factors.item_factors).argmax(axis=0)
    assert (factors.item_factors[heaviest, np.arange(5)] >= 0).all()
    again = fit_factors(ratings, FactorSettings(rank=5))
    np.testing.assert_array_equal(again.item_factors, factors.item_factors)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rank", -1, "rank must be at least 0, got -1"),
        ("num_sweeps", 0, "num_sweeps must be at least 1, got 0"),
        ("shrinkage", 0.0, "shrinkage must be positive, got 0.0"),
        ("bias_shrinkage", float("nan"), "bias_shrinkage must be positive, got nan"),
        ("shrinkage_per_rating", -0.1, "shrinkage_per_rating must be at least 0, got -0.1"),
    ],
)
def test_wrong_settings(field, value, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        FactorSettings(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("stars", -1.0, "stars must be at least 0, got -1.0"),
        ("intent", float("nan"), "intent must be at least 0, got nan"),
        ("random_click_rate", 1.0, r"random_click_rate must be in \(0, 1\), got 1.0"),
    ],
)
def test_wrong_behaviour(field, value, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Behaviour(**{field: value})


# ---- the estimates -------------------------------------------------------------------------------------------


def test_main_topic_is_the_rarest_genre_and_no_format():
    #                 Action, Comedy, IMAX
    genres = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0]], bool)
    topic, names = main_topics(ratings_of([0], [0], [3.0], 1, 5, genres))
    assert names == ("Action", "Comedy", NO_GENRE)
    np.testing.assert_array_equal(topic, [1, 0, 0, 2, 2])


def test_taste_is_the_shares_of_topics_with_everybody_s_mixed_in():
    ratings = ratings_of([0, 0, 0, 1], [0, 2, 1, 1], [3.0, 4.0, 5.0, 1.0], 3, 3)
    taste = topic_taste(estimate(ratings), prior=2.0)
    expected = [[(2 + 1) / 5, (1 + 1) / 5], [1 / 3, 2 / 3], [0.5, 0.5]]
    np.testing.assert_allclose(taste, expected, rtol=1e-6)


def test_the_favourite_part_of_day_is_the_user_s_most_frequent():
    ratings = ratings_of([0] * 5, [0, 1, 2, 3, 4], [3.0] * 5, 2, 5)
    late = replace(ratings, timestamp=np.array([1, 3601, 9 * 3600, 10 * 3600, 11 * 3600 + 60]))
    np.testing.assert_array_equal(estimate(late).part_of_day, [3, 3])  # hours 9 to 12; the silent follow the rest


def test_saved_estimates_come_back(tmp_path):
    ratings, _, _ = drawn_from_a_model(num_users=20, num_items=15)
    before = estimate(replace(ratings, titles=("Amélie", *ratings.titles[1:])))
    before.save(tmp_path / "estimates.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["estimates.npz"]
    after = Estimates.load(tmp_path / "estimates.npz")
    assert after.titles == before.titles and after.topic_names == before.topic_names
    for name in ("user_topics", "part_of_day", "age", "topic", "user_ids", "item_ids", "ratings_per_item"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    np.testing.assert_array_equal(after.factors.item_bias, before.factors.item_bias)
    np.testing.assert_allclose(after.factors.user_factors, before.factors.user_factors, rtol=1e-3, atol=1e-6)


# ---- the world -----------------------------------------------------------------------------------------------


def test_utility_is_stars_times_the_parts_of_the_rating_and_popularity():
    ratings, _, stars = drawn_from_a_model()
    behaviour = Behaviour(stars=2.0, match=1.5, leniency=0.5, popularity=0.3)
    estimates = estimate(ratings)
    world = calibrated_world(estimates, behaviour)
    user, item = all_pairs(*stars.shape)
    factors, counts = estimates.factors, ratings.ratings_per_item()
    expected = 2.0 * (1.5 * factors.match(user, item) + factors.item_bias[item] - factors.item_bias.mean())
    expected += 2.0 * 0.5 * factors.user_bias[user]
    expected += 0.3 * (np.log(counts) - np.log(counts).mean())[item]
    np.testing.assert_allclose(lasting_utility(world, user, item), expected, atol=1e-4)
    np.testing.assert_allclose(world.catalogue.quality, 2.0 * (factors.item_bias - factors.item_bias.mean()), atol=1e-6)


def test_the_world_of_a_known_model_ranks_as_the_model_does():
    ratings, _, stars = drawn_from_a_model()
    world = calibrate(ratings, behaviour=Behaviour(popularity=0.0, match=1.0))
    utility = lasting_utility(world, *all_pairs(*stars.shape))
    assert np.corrcoef(utility, stars.ravel())[0, 1] > 0.95


def test_users_and_items_keep_their_order_titles_and_activity():
    ratings = ratings_of([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 0], [3, 4, 5, 3, 2, 1], 3, 3)
    world = calibrate(ratings, behaviour=Behaviour(num_slots=2, activity=2.0))
    assert world.catalogue.titles == ratings.titles == world.features.titles
    logarithm = np.log([3, 2, 1])
    np.testing.assert_allclose(world.population.activity, 2 * (logarithm - logarithm.mean()), rtol=1e-5)
    np.testing.assert_array_equal(world.catalogue.genre, world.catalogue.topic)


def test_users_and_items_without_a_rating_are_average():
    ratings = ratings_of([0, 0, 1, 1], [0, 1, 0, 1], [5, 1, 4, 2], 3, 3)
    world = calibrate(ratings, behaviour=Behaviour(num_slots=3))
    factors = fit_factors(ratings)
    assert factors.user_bias[2] == 0 and factors.item_bias[2] == 0
    assert not factors.user_factors[2].any() and not factors.item_factors[2].any()
    utility = lasting_utility(world, *all_pairs(3, 3)).reshape(3, 3)
    assert np.isfinite(utility).all()
    # Who has not rated takes items as they are for everybody, up to a constant.
    np.testing.assert_allclose(utility[2], world.catalogue.appeal, atol=1e-6)


def test_slates_of_random_items_get_the_click_rate_asked_for():
    ratings, _, _ = drawn_from_a_model()
    world = calibrate(ratings, behaviour=Behaviour(random_click_rate=0.25))
    sessions = population_sessions(world, seed=5)
    rows = np.arange(len(sessions))
    sessions.open(rows, np.zeros(len(rows), np.int64))
    slates = np.argsort(np.random.default_rng(1).random((50, len(rows), 200)), axis=2)[:, :, :10].astype(np.int32)
    rates = [world.click_probability(sessions.state, rows, slate).sum(axis=1).mean() for slate in slates]
    # The rate is set on one slate a user; 300 of them spread by some .015.
    assert np.mean(rates) == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize(
    ("switched_off", "names"),
    [
        ({"leniency": 0.0}, {"Leniency"}),
        ({"intent": 0.0}, {"SessionIntent"}),
        ({"boredom": 0.0}, {"TopicBoredom"}),
        ({"drift": 0.0, "daily_drift": 0.0}, {"PreferenceDrift"}),
        ({"leaving": False}, {"Patience"}),
        ({"returning": False}, {"ReturnTime"}),
        ({"leaving": False, "returning": False}, {"Patience", "ReturnTime", "Satisfaction"}),
    ],
)
def test_every_reason_to_change_can_be_switched_off(switched_off, names):
    estimates = estimate(ratings_of([0, 0, 1], [0, 1, 0], [5, 1, 4], 2, 2))
    usual, without = (
        {type(part).__name__ for part in calibrated_world(estimates, Behaviour(num_slots=2, **changed)).dynamics}
        for changed in ({}, switched_off)
    )
    assert usual - without == names and without < usual


def live(world, num_rounds=3):
    sessions = population_sessions(world, seed=0)
    rows = np.arange(len(sessions))
    sessions.open(rows, sessions.first_visit(rows))
    slate = np.tile(np.arange(sessions.num_slots, dtype=np.int32), (len(rows), 1))
    for _ in range(num_rounds):
        response = sessions.answer(rows, slate)
        assert np.isfinite(response.utility).all()
    return sessions


def test_one_user_and_one_item():
    world = calibrate(ratings_of([0], [0], [4.0], 1, 1), behaviour=Behaviour(num_slots=1))
    state = live(world).state
    probability = world.click_probability(state, np.zeros(1, np.int64), np.zeros((1, 1), np.int32))
    assert 0 < probability[0, 0] < 1


def test_more_slots_than_items():
    with pytest.raises(ValueError, match="num_slots must be at most the number of items, got 10 of 1"):
        calibrate(ratings_of([0], [0], [4.0], 1, 1))


def test_all_ratings_equal():
    user, item = all_pairs(6, 5)
    ratings = ratings_of(user, item, np.full(30, 4.0), 6, 5)
    world = calibrate(ratings, behaviour=Behaviour(num_slots=3))
    np.testing.assert_array_equal(lasting_utility(world, user, item), np.zeros(30))
    live(world)


def test_no_rating_at_all():
    nothing = ratings_of([], [], [], 2, 2)
    for refuse in (fit_factors, estimate, calibrate):
        with pytest.raises(ValueError, match=r"^ratings must hold at least one rating, got 0$"):
            refuse(nothing)


def test_the_seed_draws_only_what_ratings_do_not_tell():
    ratings, _, _ = drawn_from_a_model(num_users=60, num_items=40)
    first, same, other = (calibrate(ratings, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.population.habit, same.population.habit)
    assert first.choice == same.choice
    assert (first.population.habit != other.population.habit).any()
    np.testing.assert_array_equal(first.population.latent, other.population.latent)
    np.testing.assert_array_equal(first.catalogue.appeal, other.catalogue.appeal)
