"""What is told of the future is what a user's own slates say, one by one, whatever the order of the rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.acting.experience import Course
from agents.acting.returns import futures

A = np.ndarray
Case = tuple[A, A, A, A, Course]
_NUMBERS = st.floats(-10, 10, allow_subnormal=False)


@st.composite
def _courses(draw: st.DrawFn) -> Case:
    """Rewards, who is gone, values now and after, and who follows whom: lives of 1 to 5 slates in a random order."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    num_rows = sum(lengths)
    place = np.array(draw(st.permutations(range(num_rows))))
    time, following, last = np.empty(num_rows, np.int64), np.full(num_rows, -1), []
    first = 0
    for length in lengths:
        rows = place[first : first + length]
        time[rows] = np.arange(length) + draw(st.integers(0, 2))
        following[rows[:-1]] = rows[1:]
        last.append(rows[-1])
        first += length
    ended = np.zeros(num_rows, bool)
    ended[last] = draw(st.lists(st.booleans(), min_size=len(last), max_size=len(last)))
    reward, value, after = (np.array(draw(st.lists(_NUMBERS, min_size=num_rows, max_size=num_rows))) for _ in range(3))
    return reward, ended, value, after, Course(time, following)


def _future(row: int, case: Case, discount: float, trace: float) -> float:
    """The definition, for one slate."""
    reward, ended, value, after, course = case
    then = int(course.following[row])
    if then < 0:
        return 0.0 if ended[row] else float(after[row])
    gain = reward[then] + discount * _future(then, case, discount, trace)
    return float((1 - trace) * value[then] + trace * gain)


@settings(max_examples=200, deadline=None)
@given(_courses(), st.floats(0, 0.99), st.floats(0, 1))
def test_futures_are_as_defined(case: Case, discount: float, trace: float) -> None:
    told = futures(*case, discount, trace)
    expected = [_future(row, case, discount, trace) for row in range(len(told))]
    np.testing.assert_allclose(told, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(_courses(), st.floats(0, 0.99))
def test_without_a_trace_the_next_value_is_all(case: Case, discount: float) -> None:
    _, ended, value, after, course = case
    told = futures(*case, discount, 0.0)
    then = course.following
    np.testing.assert_allclose(told, np.where(then >= 0, value[then], np.where(ended, 0.0, after)))


def test_with_a_whole_trace_rewards_are_all() -> None:
    """A life of four slates that pay 1, 2, 4 and 8, cut off where 10 more are expected; and one that ends."""
    reward, discount = np.array([1.0, 2.0, 4.0, 8.0, 7.0]), 0.5
    course = Course(np.array([0, 1, 2, 3, 0]), np.array([1, 2, 3, -1, -1]))
    ended = np.array([False, False, False, False, True])
    told = futures(reward, ended, np.full(5, 99.0), np.full(5, 10.0), course, discount, 1.0)
    assert told == pytest.approx([2 + 2 + 2 + 1.25, 4 + 4 + 2.5, 8 + 5, 10, 0])


def test_the_course_of_seats() -> None:
    """Two seats for three steps, of whose users the second leaves after the first step."""
    gone = np.array([[False, True], [False, False], [False, False]])
    course = Course.of_seats(gone)
    assert course.time.tolist() == [0, 0, 1, 1, 2, 2]
    assert course.following.tolist() == [2, -1, 4, 5, -1, -1]


def test_nothing_has_no_future() -> None:
    none = np.zeros(0)
    assert futures(none, none > 0, none, none, Course(np.zeros(0, int), np.zeros(0, int)), 0.9, 0.9).shape == (0,)
