"""Drawing without replacement by number is exact."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.eligible import can_stand, draw_unplaced, eligible_items, may_be_shown, num_eligible
from recsim_lab.policy import FeatureTable, Observation


@given(num=st.integers(1, 30), data=st.data())
def test_every_free_number_has_an_equal_share_of_the_unit_interval(num, data):
    placed = data.draw(st.lists(st.integers(0, num - 1), unique=True, max_size=num - 1))
    free = num - len(placed)
    # Four points inside each of the equal parts.
    uniform = (np.arange(4 * free) + 0.5) / (4 * free)
    numbers = draw_unplaced(uniform, np.full(4 * free, num), np.tile(np.array(placed, np.int64), (4 * free, 1)))
    expected = [n for n in range(num) if n not in placed]
    assert numbers.tolist() == np.repeat(expected, 4).tolist()


def test_the_largest_uniform_stays_below_the_bound():
    largest = np.array([1 - 2.0**-24], np.float32)
    assert draw_unplaced(largest, np.array([2_000_000]), np.zeros((1, 0), np.int64)) == 1_999_999


def test_numbers_and_items_are_inverse(requests):
    observation = requests([0, 1], 6, blocked=[[0, 3], [-1, 5]], release=[0, 0, 0, 0, 200_000, 0])
    eligible = eligible_items(observation, 2)
    assert eligible.num.tolist() == [3, 4]
    assert eligible.item(np.array([[0, 1, 2], [0, 1, 3]])).tolist() == [[1, 2, 5], [0, 1, 3]]
    assert eligible.number(np.array([[5, 0, 4, 3, -1, 7], [5, 0, 4, 3, -1, 7]])).tolist() == [
        [2, -1, -1, -1, -1, -1],
        [-1, 0, -1, 3, -1, -1],
    ]


@given(seed=st.integers(0, 1000), one_tick=st.booleans())
def test_numbers_are_places_among_the_eligible(seed, one_tick):
    rng = np.random.default_rng(seed)
    num_rows, nothing = 8, np.zeros((8, 0), np.int32)
    rows = np.zeros(num_rows, np.int32)
    table = FeatureTable((), (), {}, {}, rng.integers(-5, 10, 12), rng.integers(0, 15, 12))
    tick = np.full(num_rows, 5) if one_tick else rng.integers(0, 12, num_rows)
    blocked = rng.integers(-1, 12, (num_rows, rng.integers(0, 20)))
    observation = Observation(rows, rows, rows, tick, rows, nothing, nothing, nothing, table, blocked)
    eligible, every = eligible_items(observation, 0), np.tile(np.arange(12), (num_rows, 1))
    for row, may_be in enumerate(observation.eligible()):
        there = np.flatnonzero(may_be)
        expected = [list(there).index(item) if item in there else -1 for item in range(12)]
        assert eligible.num[row] == len(there) and eligible.number(every)[row].tolist() == expected
    fewest = int(eligible.num.min())
    numbers = rng.integers(0, np.maximum(eligible.num, 1)[:, None], (num_rows, 30)) if fewest else every[:, :0]
    for row, may_be in enumerate(observation.eligible()):
        assert eligible.item(numbers)[row].tolist() == np.flatnonzero(may_be)[numbers[row]].tolist()


def test_what_is_on_offer_is_listed_once_for_all_requests(requests):
    observation = requests(range(300), 10_000, blocked=[[7, 3]] * 300)
    tracemalloc.start()
    eligible = eligible_items(observation, 5)
    assert (eligible.item(np.tile(np.arange(5), (300, 1))) == [0, 1, 2, 4, 5]).all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300 * 10_000


def test_too_few_items(requests):
    with pytest.raises(ValueError, match="asked for 3, a request has 2 of 3"):
        eligible_items(requests([0, 1], 3, blocked=[[], [1]]), 3)


def test_what_can_stand():
    numbers = np.array([[0, 1, 0], [-1, 2, 2], [3, 4, 5]])
    assert can_stand(numbers).tolist() == [[True, True, False], [False, True, False], [True, True, True]]


@given(seed=st.integers(0, 1000), up_to=st.integers(1, 14))
def test_eligible_items_are_counted(seed, up_to):
    rng = np.random.default_rng(seed)
    num_rows, nothing = 6, np.zeros((6, 0), np.int32)
    number = np.zeros(num_rows, np.int32)
    # Some items are withdrawn before they are released, and never on offer.
    table = FeatureTable((), (), {}, {}, rng.integers(-5, 10, 12), rng.integers(0, 15, 12))
    tick, blocked = rng.integers(0, 12, num_rows), rng.integers(-1, 12, (num_rows, 4))
    observation = Observation(number, number, number, tick, number, nothing, nothing, nothing, table, blocked)
    expected = np.minimum(observation.eligible().sum(axis=1), up_to)
    assert np.array_equal(num_eligible(observation, up_to), expected)
    one_tick = replace(observation, tick=np.full(num_rows, 7))
    assert np.array_equal(num_eligible(one_tick, 12), one_tick.eligible().sum(axis=1))


def test_what_may_be_shown_is_what_is_eligible(requests):
    generator = np.random.default_rng(0)
    blocked = generator.integers(-1, 12, (30, 6)).tolist()
    observation = requests(range(30), 12, blocked=blocked, release=[0, 200_000] * 6)
    items = generator.integers(-3, 16, (30, 25))
    known = (items >= 0) & (items < 12)
    expected = known & np.take_along_axis(observation.eligible(), np.where(known, items, 0), axis=1)
    assert np.array_equal(may_be_shown(observation, items), expected)
    free = observation.take(slice(0, 2)).block(np.full((2, 1), -1))
    assert np.array_equal(may_be_shown(free, items[:2]), expected[:2])
