"""The measures of fidelity equal their definitions, and the table compares like with like."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim_lab.datasets import Ratings
from recsim_lab.simulation.calibration import Behaviour, calibrate
from recsim_lab.simulation.calibration.fidelity import (
    QUANTILES,
    _topic_shares,
    fidelity,
    gini,
    implied_exposure,
    organic_choices,
)
from recsim_lab.simulation.calibration.held_out import auc, auc_gain, clear_ratings, lasting_utility

NUM_USERS, NUM_ITEMS = 80, 60


def literal_auc(liked, score, weight):
    wins = pairs = 0.0
    for i in np.flatnonzero(liked):
        for j in np.flatnonzero(~liked):
            both = weight[i] * weight[j]
            pairs += both
            wins += both * (1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0)
    return wins / pairs if pairs else np.nan


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_auc_is_the_weighted_share_of_pairs_in_order(rows):
    liked, score, weight = (np.array([row[k] for row in rows], kind) for k, kind in enumerate((bool, float, float)))
    np.testing.assert_allclose(auc(liked, score, weight), literal_auc(liked, score, weight), rtol=1e-12)


def test_auc_refuses_nan():
    with pytest.raises(ValueError, match="score must not be NaN, got NaN for 1 ratings"):
        auc(np.array([True, False]), np.array([0.5, np.nan]))


def ratings(seed=0):
    """Popularity, users' activity and stars all vary; topics alternate."""
    rng = np.random.default_rng(seed)
    chance = np.clip(0.5 * rng.gamma(1.5, 0.6, (NUM_USERS, 1)) * rng.gamma(1.5, 0.6, NUM_ITEMS), 0.02, 0.95)
    user, item = np.nonzero(rng.random((NUM_USERS, NUM_ITEMS)) < chance)
    taste = rng.normal(size=(NUM_USERS, 2)) @ rng.normal(size=(2, NUM_ITEMS)) + rng.normal(size=NUM_ITEMS)
    stars = np.clip(np.rint(3.2 + taste[user, item]), 1, 5)
    order = rng.permutation(len(user))
    return Ratings(
        user=user[order].astype(np.int32),
        item=item[order].astype(np.int32),
        rating=stars[order].astype(np.float32),
        timestamp=np.arange(len(user), dtype=np.int64),
        user_ids=np.arange(NUM_USERS),
        item_ids=np.arange(NUM_ITEMS),
        titles=("",) * NUM_ITEMS,
        genres=("A", "B"),
        item_genres=np.arange(NUM_ITEMS)[:, None] % 2 == np.arange(2),
        years=np.full(NUM_ITEMS, -1, np.int32),
        user_features={},
        user_feature_names={},
    )


def test_clear_ratings_leave_out_those_between():
    stars = ratings().rating
    assert sorted(set(clear_ratings(ratings()).rating)) == [1, 2, 4, 5]
    assert clear_ratings(ratings()).num_ratings == (stars != 3).sum()


def test_gain_over_itself_is_zero_and_over_noise_is_sure():
    held_out = clear_ratings(ratings())
    rng = np.random.default_rng(0)
    noise = rng.normal(size=held_out.num_ratings)
    assert auc_gain(held_out, noise, noise, rng) == (0.0, 0.0, 0.0)
    good = held_out.rating + noise
    gain, low, high = auc_gain(held_out, good, noise, rng)
    assert 0.2 < low < gain < high < 0.7
    # Nobody can be resampled by halves: ratings all by one user leave no doubt that users could raise.
    one = held_out.subset(held_out.user == held_out.user[0])
    gain, low, high = auc_gain(one, one.rating.astype(float), np.zeros(one.num_ratings), rng)
    assert gain == low == high == 0.5


def test_gini_of_closed_forms():
    assert gini(np.full(7, 3)) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 0, 9])) == pytest.approx(0.8)
    # Counts 1 to n: half the mean absolute difference (n^2 - 1) / (3 n), over the mean (n + 1) / 2.
    assert gini(np.random.default_rng(0).permutation(10) + 1) == pytest.approx(9 / 30)
    assert np.isnan(gini(np.zeros(3, int)))


def test_spread_of_topic_shares_is_free_of_the_noise_of_few_choices():
    # Shares are .2 or .6 with equal chances: mean .4, spread .2, whatever the number of choices.
    rng = np.random.default_rng(0)
    num_users, num_choices = 20_000, 12
    share = np.where(np.arange(num_users) % 2, 0.2, 0.6)
    topic = (rng.random((num_users, num_choices)) < share[:, None]).astype(np.int64)
    user = np.repeat(np.arange(num_users), num_choices)
    mean, spread = _topic_shares(user, topic.ravel(), num_users, 2)
    # Standard errors are near .0017; without the correction the spread would be .236.
    np.testing.assert_allclose(mean, [0.6, 0.4], atol=0.008)
    np.testing.assert_allclose(spread, [0.2, 0.2], atol=0.008)


def test_users_of_few_choices_tell_no_share():
    mean, spread = _topic_shares(np.zeros(9, np.int64), np.zeros(9, np.int64), 1, 2)
    assert np.isnan(mean).all() and np.isnan(spread).all()


def test_implied_exposure_times_attraction_is_popularity():
    data = ratings()
    world = calibrate(data)
    popularity = data.ratings_per_item()
    user, item = np.divmod(np.arange(NUM_USERS * NUM_ITEMS), NUM_ITEMS)
    attraction = np.exp(lasting_utility(world, user, item)).reshape(NUM_USERS, NUM_ITEMS).mean(axis=0)
    chosen = implied_exposure(world, popularity) * attraction
    np.testing.assert_allclose(chosen / chosen.sum(), popularity / popularity.sum(), rtol=1e-4)


def test_organic_choices_are_distinct_and_of_what_is_shown():
    world = calibrate(ratings())
    exposure = np.arange(NUM_ITEMS) % 3 / 1.0
    user, item = organic_choices(world, exposure, num_days=10, seed=4)
    assert len(user) > 100
    assert (item % 3 > 0).all()
    assert len(np.unique(user.astype(np.int64) * NUM_ITEMS + item)) == len(user)
    again = organic_choices(world, exposure, num_days=10, seed=4)
    np.testing.assert_array_equal(again[1], item)


def test_the_table():
    train, held_out = ratings().split_by_time(0.2)
    world = calibrate(train, behaviour=Behaviour(num_slots=5))
    table = fidelity(train, world, held_out, num_days=150)
    assert list(table.columns) == ["measure", "topic", "real", "simulated"]
    plain = table[table.topic == ""].set_index("measure")
    assert list(plain.index) == ["held_out_auc", "popularity_gini", *(f"activity_quantile_{q:g}" for q in QUANTILES)]
    clear = clear_ratings(held_out)
    by_hand = auc(clear.rating >= 4, lasting_utility(world, clear.user, clear.item))
    assert plain.simulated["held_out_auc"] == by_hand > 0.7
    activity = train.ratings_per_user() / train.ratings_per_user().mean()
    assert plain.real["activity_quantile_0.9"] == pytest.approx(np.quantile(activity, 0.9))
    for side in ("real", "simulated"):
        shares = table[table.measure == "topic_share_mean"]
        assert list(shares.topic) == ["A", "B"]
        assert shares[side].sum() == pytest.approx(1)
        assert table[table.measure == "topic_share_spread"][side].between(0, 0.5).all()
        assert 0 < plain[side]["popularity_gini"] < 1
    assert "held_out_auc" not in set(fidelity(train, world, num_days=10).measure)


def test_the_table_refuses_another_world_and_no_time():
    data = ratings()
    other = calibrate(data.with_min_ratings(per_item=12, per_user=0))
    with pytest.raises(ValueError, match=r"world must have the users and items of the ratings, \(80, 60\), got"):
        fidelity(data, other)
    with pytest.raises(ValueError, match="num_days must be long enough for a click, got 0"):
        fidelity(data, calibrate(data), num_days=0)
