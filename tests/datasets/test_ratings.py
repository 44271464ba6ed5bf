"""Ratings: selections keep time order and ids, and broken arrays are refused by field, rule and value."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim_lab.datasets import Ratings


def make_ratings(pairs, num_users=6, num_items=7):
    """Ratings of the (user, item) pairs, one second apart; every other array tells user or item by its index."""
    user, item = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
    return Ratings(
        user=user,
        item=item,
        rating=(1 + (user + item) % 5).astype(np.float32),
        timestamp=np.arange(len(user), dtype=np.int64),
        user_ids=10 * np.arange(num_users),
        item_ids=100 * np.arange(num_items),
        titles=tuple(f"item {item}" for item in range(num_items)),
        genres=("even", "odd"),
        item_genres=np.arange(num_items)[:, None] % 2 == np.arange(2),
        years=(1900 + np.arange(num_items)).astype(np.int32),
        user_features={"parity": (np.arange(num_users) % 2).astype(np.int32)},
        user_feature_names={"parity": ("even", "odd")},
    )


PAIRS = [(0, 1), (5, 1), (0, 3), (2, 3), (5, 3), (4, 0)]
pair_sets = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=30)


def by_ids(ratings):
    return list(zip(ratings.user_ids[ratings.user].tolist(), ratings.item_ids[ratings.item].tolist(), strict=True))


def test_counts():
    ratings = make_ratings(PAIRS)
    assert (ratings.num_ratings, ratings.num_users, ratings.num_items) == (6, 6, 7)
    assert ratings.ratings_per_user().tolist() == [2, 0, 1, 0, 1, 2]
    assert ratings.ratings_per_item().tolist() == [1, 2, 0, 3, 0, 0, 0]


def test_a_subset_by_mask_or_by_numbers_is_oldest_first_and_keeps_the_ids():
    ratings = make_ratings(PAIRS)
    by_mask = ratings.subset(np.array([True, False, False, True, True, False]))
    by_number = ratings.subset(np.array([4, 0, 3]))
    for part in (by_mask, by_number):
        assert part.timestamp.tolist() == [0, 3, 4]
        assert by_ids(part) == [(0, 100), (20, 300), (50, 300)]
        assert (part.num_users, part.num_items) == (6, 7)


@settings(max_examples=200, deadline=None)
@given(pairs=pair_sets, per_item=st.integers(0, 3), per_user=st.integers(0, 3))
def test_min_ratings_gives_the_largest_part_that_satisfies_both(pairs, per_item, per_user):
    pairs = sorted(pairs)
    ratings = make_ratings(pairs)
    kept = list(pairs)
    while True:  # one violation at a time, plainly
        items = [item for _, item in kept]
        users = [user for user, _ in kept]
        wrong = [p for p in kept if users.count(p[0]) < per_user or items.count(p[1]) < per_item]
        if not wrong:
            break
        kept.remove(wrong[0])
    if not kept:
        with pytest.raises(ValueError, match=f"no rating is left with per_item={per_item}"):
            ratings.with_min_ratings(per_item=per_item, per_user=per_user)
        return
    part = ratings.with_min_ratings(per_item=per_item, per_user=per_user)
    assert by_ids(part) == [(10 * user, 100 * item) for user, item in kept]
    assert part.ratings_per_item().min() >= per_item and part.ratings_per_user().min() >= per_user
    assert part.num_items == (7 if per_item == 0 else len({item for _, item in kept}))
    assert part.num_users == (6 if per_user == 0 else len({user for user, _ in kept}))
    # What is said of an item or a user goes with its id.
    old_item, old_user = part.item_ids // 100, part.user_ids // 10
    assert part.titles == tuple(f"item {item}" for item in old_item)
    np.testing.assert_array_equal(part.years, 1900 + old_item)
    np.testing.assert_array_equal(part.item_genres, old_item[:, None] % 2 == np.arange(2))
    np.testing.assert_array_equal(part.user_features["parity"], old_user % 2)


def test_taking_out_items_takes_out_users_in_turn():
    # Item 2 falls below 2, then user 1 does, then item 1 does.
    ratings = make_ratings([(0, 0), (2, 0), (0, 3), (2, 3), (0, 1), (1, 1), (1, 2)])
    part = ratings.with_min_ratings(per_item=2, per_user=2)
    assert by_ids(part) == [(0, 0), (20, 0), (0, 300), (20, 300)]


@pytest.mark.parametrize("share, num_test", [(0.5, 3), (0.1, 1), (0.3, 2), (0.9, 5)])
def test_a_split_by_time_puts_the_newest_into_the_test(share, num_test):
    train, test = make_ratings(PAIRS).split_by_time(share)
    assert test.num_ratings == num_test
    assert by_ids(train) + by_ids(test) == by_ids(make_ratings(PAIRS))
    assert train.timestamp.max() < test.timestamp.min()
    assert (train.num_items, test.num_items) == (7, 7)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(ValueError, match=r"test_share must be in \(0, 1\), got"):
        make_ratings(PAIRS).split_by_time(share)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_leaves_one_side_empty_is_refused(share):
    with pytest.raises(ValueError, match=f"on both sides, got {share} of 6 ratings"):
        make_ratings(PAIRS).split_by_time(share)


def test_a_negative_bound_is_refused():
    with pytest.raises(ValueError, match="per_user must be at least 0, got -1"):
        make_ratings(PAIRS).with_min_ratings(per_item=0, per_user=-1)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"user": np.array([0, 6, 0, 2, 5, 4])}, r"user must be in \[0, 6\), got 6"),
        ({"item": np.array([1, -1, 3, 3, 3, 0])}, r"item must be in \[0, 7\), got -1"),
        ({"timestamp": np.array([0, 1, 2, 5, 4, 6])}, "timestamp must not fall, got 5 before 4"),
        ({"item_ids": np.array([0, 1, 2, 2, 4, 5, 6])}, "item_ids must rise, got 2 before 2"),
        ({"rating": np.array([1, 2, np.nan, 4, 5, 1])}, "rating must be finite, got nan"),
        ({"titles": ("one",)}, r"titles must be as long as item_ids \(7\), got 1"),
        ({"user_feature_names": {"parity": ("even",)}}, r"user_features\['parity'\] must be in \[0, 1\), got 1"),
        ({"user_feature_names": {}}, r"user_feature_names must name the features \['parity'\], got \[\]"),
    ],
)
def test_broken_arrays_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(make_ratings(PAIRS), **changes)
