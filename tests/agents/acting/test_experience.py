"""What is learned from: whose next request follows which slate, what slots earned, and a ring that forgets."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.acting.experience import Experience, Memory, earned_by_slots, experience_of
from agents.acting.state import States
from agents.base import read_arrays, write_arrays
from recsim_lab.interaction_log import InteractionLog

A = np.ndarray


def _experience(numbers: list[int], num_candidates: int = 0) -> Experience:
    """Slates that tell their number in every column."""
    number = np.array(numbers, np.int64)

    def states(first: int) -> States:
        wide = np.tile(number[:, None] + first, (1, 2))
        return States(
            (number + first).astype(np.int32),
            number + first,
            wide.astype(np.int32),
            (wide % 100).astype(np.int8),
            np.tile(wide, (1, 2)).astype(np.float32),
        )

    wide = np.tile(number[:, None], (1, 3))
    candidates = np.tile(number[:, None], (1, num_candidates)).astype(np.int32)
    return Experience(
        states(0),
        wide.astype(np.int32),
        wide.astype(np.float32),
        wide % 2 == 0,
        (wide / 3).astype(np.float32),
        states(1),
        candidates,
        number % 3 == 0,
    )


def _same(one: Experience, other: Experience) -> None:
    for name, values in vars(one).items():
        theirs = getattr(other, name)
        pairs = [(values, theirs)]
        if isinstance(values, States):
            pairs = [(column, vars(theirs)[key]) for key, column in vars(values).items()]
        for mine, yours in pairs:
            np.testing.assert_array_equal(mine, yours, err_msg=name)
            assert mine.dtype == yours.dtype


# ---- credit -----------------------------------------------------------------------------------------------------


def test_clicks_share_a_reward_and_without_any_all_slots_do() -> None:
    clicks = np.array([[True, False, True], [False, True, False], [False, False, False]])
    earned = earned_by_slots(np.array([3.0, 2.0, 6.0]), clicks)
    assert earned.tolist() == [[1.5, 0, 1.5], [0, 2, 0], [2, 2, 2]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.lists(st.booleans(), min_size=4, max_size=4)), min_size=1, max_size=9))
def test_what_slots_earn_is_the_reward(slates: list[tuple[float, list[bool]]]) -> None:
    reward, clicks = np.array([r for r, _ in slates]), np.array([c for _, c in slates])
    earned = earned_by_slots(reward, clicks)
    np.testing.assert_allclose(earned.sum(axis=1), reward, rtol=1e-5, atol=1e-5)
    assert not earned[~clicks & clicks.any(axis=1, keepdims=True)].any()


# ---- logs -------------------------------------------------------------------------------------------------------


def test_a_log_is_lives_in_order_of_time(log: InteractionLog) -> None:
    """Shuffled, it is the same; each user's last slate is left out; what follows is the user's next request."""
    shuffled = log.take(np.random.default_rng(0).permutation(len(log)))
    experience, course = experience_of(shuffled, 7)
    _same(experience, experience_of(log, 7)[0])
    order = sorted(range(len(log)), key=lambda row: (log.user[row], log.session[row], log.step[row]))
    last = {log.user[row]: row for row in order}
    rows = [row for row in order if last[log.user[row]] != row]
    assert len(experience) == len(rows) == len(log) - len(last)
    np.testing.assert_array_equal(experience.slate, log.slate[rows])
    np.testing.assert_array_equal(experience.clicks, log.clicks[rows])
    np.testing.assert_array_equal(experience.chance, log.propensity[rows])
    np.testing.assert_allclose(experience.reward, log.reward[rows], rtol=1e-6)
    assert not experience.ended.any() and experience.candidates.shape == (len(rows), 0)
    following = [order[order.index(row) + 1] for row in rows]
    states = States.of(log.observations(), 7, log.num_slots)
    for told, expected in ((experience.states, rows), (experience.after, following)):
        for name, values in vars(told).items():
            np.testing.assert_array_equal(values, vars(states)[name][expected])
    place = {row: number for number, row in enumerate(rows)}
    assert course.following.tolist() == [place.get(row, -1) for row in following]
    assert course.time.tolist() == [4 * log.session[row] + log.step[row] for row in rows]


def test_hidden_slots_keep_their_clicks_and_their_share_of_the_reward(log: InteractionLog) -> None:
    source = np.tile(np.array([0, 1, 1, 1, 1], np.int16), (len(log), 1))
    both = replace(log, source=source, sources=("mine", "theirs"))
    whole, _ = experience_of(both, 7)
    mine, _ = experience_of(both.only(["mine"]), 7)
    assert (mine.slate[:, 1:] == -1).all() and (mine.slate[:, 0] == whole.slate[:, 0]).all()
    assert np.isnan(mine.chance[:, 1:]).all()
    _same(replace(mine, slate=whole.slate, chance=whole.chance), whole)


def test_who_was_shown_one_slate_teaches_nothing(log: InteractionLog) -> None:
    for rows in (np.arange(60), np.arange(0)):
        experience, course = experience_of(log.take(rows), 7)
        assert len(experience) == len(course.time) == len(course.following) == 0


# ---- rows -------------------------------------------------------------------------------------------------------


def test_rows_are_taken_and_joined() -> None:
    whole = _experience([5, 6, 7, 8], 2)
    _same(whole.take(np.array([3, 0])), _experience([8, 5], 2))
    _same(whole.take(slice(1, 3)), _experience([6, 7], 2))
    _same(Experience.joined([_experience([5], 2), _experience([6, 7, 8], 2)]), whole)
    assert whole.reward.tolist() == pytest.approx([5, 6, 7, 8])


# ---- memory -----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 2))
def test_a_memory_holds_the_newest(size: int, batches: list[int], num_candidates: int) -> None:
    """Against a list that is cut at its old end; and a copy by way of arrays goes on as the original."""
    memory, twin, newest, told = Memory(size), Memory(size), [], 0
    for length in batches:
        numbers = list(range(told, told + length))
        told += length
        for one in (memory, twin):
            one.add(_experience(numbers, num_candidates))
        newest = (newest + numbers)[-size:]
        assert len(memory) == len(newest)
        if newest:
            held = memory.take(np.arange(len(memory)))
            order = np.argsort(held.slate[:, 0])
            _same(held.take(order), _experience(newest, num_candidates))
        copied = Memory(size)
        copied.restore(twin.arrays())
        twin = copied
        assert memory.arrays().keys() == twin.arrays().keys()
        for name, values in memory.arrays().items():
            np.testing.assert_array_equal(values, twin.arrays()[name])


def test_a_kept_memory_stands_alone(tmp_path) -> None:
    """Through a file, beside other arrays, and in memory of its own."""
    memory = Memory(3)
    assert memory.arrays() == {} and len(memory) == 0
    memory.add(_experience([1, 2], 2))
    write_arrays(tmp_path / "memory", memory.arrays() | {"target/num_seen": np.zeros(4)}, "")
    restored = Memory(3)
    restored.restore(read_arrays(tmp_path / "memory")[0])
    _same(restored.take(np.arange(2)), memory.take(np.arange(2)))
    arrays = memory.arrays()
    restored.restore(arrays)
    arrays["slate"][:] = 99
    arrays["states/item"][:] = 99
    _same(restored.take(np.arange(2)), _experience([1, 2], 2))
    restored.restore({})
    assert len(restored) == 0
