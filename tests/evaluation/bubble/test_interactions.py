"""Counts of what users met are those of a loop, in blocks of any size; head and tail follow from the start alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim_lab.evaluation.bubble import Interactions, Window, clicks_of, interactions, joined, mainstream_users
from recsim_lab.evaluation.bubble.interactions import item_counts, row_means, topic_counts, user_means
from tests.evaluation.bubble.made_by_hand import clicks, nothing, random_ground, random_window, sets_of


def test_a_window_by_hand():
    window = Window(
        user=np.array([1, 0, 1]),
        slate=np.array([[0, 2], [3, -1], [2, 1]]),
        clicks=np.array([[False, True], [True, False], [True, False]]),
    )
    assert sets_of(window.shown) == {1: [0, 2, 2, 1], 0: [3]}
    assert sets_of(window.clicked) == {1: [2, 2], 0: [3]}
    assert item_counts(window.shown, 5).tolist() == [1, 1, 2, 1, 0]
    topic = np.array([0, 0, 1, 1, 0])
    assert topic_counts(window.shown, topic, 3, 2).tolist() == [[0, 1], [2, 2], [0, 0]]
    means = user_means(window.shown, np.array([1.0, 3.0, 5.0, 7.0, 9.0]), 3)
    np.testing.assert_allclose(means, [7.0, 3.5, np.nan])


@pytest.mark.parametrize("block", [1, 3, 7, 1000])
def test_blocks_of_any_size_give_the_same(monkeypatch, block):
    rng = np.random.default_rng(0)
    ground = random_ground(rng)
    met = random_window(rng, ground).shown
    expected = np.zeros((ground.num_users, ground.num_items), int)
    for user, items in sets_of(met).items():
        np.add.at(expected[user], items, 1)
    monkeypatch.setattr(interactions, "BLOCK", block)
    assert sum(1 for _ in met.blocks()) == -(-len(met.user) // max(block // 4, 1))
    assert item_counts(met, ground.num_items).tolist() == expected.sum(axis=0).tolist()
    by_topic = expected @ (ground.topic[:, None] == np.arange(ground.num_topics))
    assert topic_counts(met, ground.topic, ground.num_users, ground.num_topics).tolist() == by_topic.tolist()
    values = rng.normal(size=ground.num_items)
    np.testing.assert_allclose(
        user_means(met, values, ground.num_users), [row @ values / row.sum() for row in expected], rtol=1e-12
    )


def test_joined_rows_are_those_of_all_parts():
    wide = Interactions(np.array([0, 1]), np.array([[0, -1, 2], [1, 1, 0]], np.int32))
    both = joined(wide, clicks((1, 4)), nothing())
    assert sets_of(both) == {0: [0, 2], 1: [1, 1, 0, 4]}
    assert len(joined().user) == 0


def test_some_users_only():
    met = clicks((0, 1), (2, 1), (0, 3)).of(np.array([True, False, False]))
    assert sets_of(met) == {0: [1, 3]}


def test_means_of_rows_leave_nan_out():
    values = np.array([1.0, np.nan, 5.0, np.nan])
    np.testing.assert_array_equal(row_means(np.array([0, 0, 0, 1]), values, 3), [3.0, np.nan, np.nan])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="clicks must be on items, got 1 on slots without"):
        Window(np.array([0]), np.array([[-1, 2]]), np.array([[True, True]]))
    with pytest.raises(ValueError, match="item must be at least -1, got -2"):
        clicks((0, -2))
    with pytest.raises(ValueError, match="user must be at least 0, got -1"):
        clicks((-1, 0))
    ground = random_ground(np.random.default_rng(0))
    with pytest.raises(ValueError, match="user must be below 7, got 7"):
        ground.check(clicks((7, 0)))
    with pytest.raises(ValueError, match="item must be below 12, got 12"):
        ground.check(clicks((0, 12)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_topics": 1}, r"topic must be in \[0, 1\), got 0 to 2"),
        ({"audience": np.full(12, -1)}, "audience must be at least 0, got -1"),
        ({"creator": np.full(12, -3)}, "creator must be at least 0, got -3"),
        ({"latent": np.full((12, 4), np.nan)}, "latent must be finite"),
    ],
)
def test_bad_grounds(change, message):
    with pytest.raises(ValueError, match=message):
        replace(random_ground(np.random.default_rng(0)), **change)


def test_the_head_holds_four_fifths_of_the_clicks_before_the_loop():
    ground = random_ground(np.random.default_rng(0), num_items=6)
    # 50 + 30 = 80 of 100: the two most clicked are the head, by the exact share.
    tail = replace(ground, audience=np.array([5, 30, 0, 50, 10, 5])).tail
    assert tail.tolist() == [True, False, True, False, True, True]
    # 79 of 100 are not enough: the next one belongs to the head too, and the one as popular as it.
    tail = replace(ground, audience=np.array([10, 29, 0, 50, 10, 1])).tail
    assert tail.tolist() == [False, False, True, False, False, True]
    nobody = replace(ground, audience=np.zeros(6, int))
    assert not nobody.tail.any() and np.isnan(nobody.popularity).all()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any))
@settings(max_examples=50, deadline=None)
def test_the_head_is_enough_and_no_more_than_needed(audience):
    ground = random_ground(np.random.default_rng(0), num_items=len(audience))
    ground = replace(ground, audience=np.array(audience))
    head = ground.audience[~ground.tail]
    assert head.sum() >= 0.8 * ground.audience.sum()
    assert head[head > head.min()].sum() < 0.8 * ground.audience.sum()
    assert not ground.tail.any() or ground.audience[ground.tail].max() < head.min()


def test_popularity_and_self_information_by_hand():
    ground = random_ground(np.random.default_rng(0), num_items=4)
    ground = replace(ground, audience=np.array([7, 3, 1, 1]))
    np.testing.assert_allclose(ground.popularity, [7 / 3, 1.0, 1 / 3, 1 / 3])
    np.testing.assert_allclose(ground.self_information, [1.0, 2.0, 3.0, 3.0])  # 8, 4, 2 and 2 of 16


def test_mainstream_users_are_like_most():
    preference = np.array([[1.0, 0.0], [5.0, 0.1], [1.0, 0.3], [-1.0, 0.2], [0.0, -1.0], [-1.0, 1.0]])
    assert mainstream_users(preference).tolist() == [True, True, True, False, False, False]
    # Of an odd number, the one in the middle is mainstream too.
    assert mainstream_users(preference[[0, 2, 4]]).tolist() == [True, True, False]


def test_clicks_are_rows_of_one_slot():
    assert clicks_of(np.array([3, 4]), np.array([5, 6])).item.shape == (2, 1)
