"""Sessions: what is remembered and observed, who lives which life, and the same luck for every policy."""

from dataclasses import replace

import numba
import numpy as np
import pytest

from recsim_lab.policy import NEVER, TICKS_PER_DAY
from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import MultinomialLogit, PositionBased
from recsim_lab.simulation.dynamics import PreferenceDrift, ReturnTime, Satisfaction, SessionIntent
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.sessions import Sessions, draw_profiles, population_sessions, seat_sessions
from recsim_lab.simulation.utility import Utility
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws
from recsim_lab.testing import check_counts
from recsim_lab.testing.world import live

NUM_USERS, NUM_ITEMS, NUM_SLOTS, HISTORY = 8, 20, 3, 5


def small_world(*dynamics, num_items=NUM_ITEMS, num_users=NUM_USERS, **parts):
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(num_items, 3)).astype(np.float32)
    population = plain_population(rng.normal(size=(num_users, 3)).astype(np.float32))
    world = World("small", plain_catalogue(latent), population, PositionBased(), dynamics=dynamics, num_slots=NUM_SLOTS)
    return replace(world, **parts)


def everyday(**parameters):
    return make_world("everyday", num_users=40, num_items=60, new_items_a_day=2, days=20, num_topics=6, **parameters)


def slates(sessions, num_rows, rng):
    order = rng.random((num_rows, sessions.world.catalogue.num_items)).argsort(axis=1)
    return order[:, : sessions.num_slots].astype(np.int32)


# ---- what is remembered ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("session_steps", "num_visits"), [(4, 5), (40, 2)])
def test_observations_are_what_lists_would_hold(session_steps, num_visits):
    """Each user's history as a list that grows; `shown` holds the last 15 slates of the visit at most."""
    sessions = population_sessions(small_world(session_steps=session_steps), seed=4, history=HISTORY)
    rng = np.random.default_rng(9)
    width = min(session_steps, 15) * NUM_SLOTS
    clicked = [[] for _ in range(NUM_USERS)]
    for visit in range(num_visits):
        tick = visit * TICKS_PER_DAY + rng.integers(TICKS_PER_DAY, size=NUM_USERS)
        sessions.open(np.arange(NUM_USERS), tick)
        shown = [[] for _ in range(NUM_USERS)]
        for step in range(session_steps):
            rows = rng.permutation(NUM_USERS)
            seen = sessions.observe(rows)
            slate = slates(sessions, NUM_USERS, rng)
            response = sessions.answer(rows, slate)
            for place, row in enumerate(rows):
                assert (seen.user[place], seen.session[place], seen.step[place]) == (row, visit, step)
                assert seen.tick[place] == tick[row]
                items, ticks = zip(*([(-1, -1)] * HISTORY + clicked[row])[-HISTORY:], strict=True)
                assert seen.clicked[place].tolist() == list(items)
                assert seen.clicked_tick[place].tolist() == list(ticks)
                kept = shown[row][-width:]
                assert seen.shown[place].tolist() == kept + [-1] * (width - len(kept))
                shown[row] += slate[place].tolist()
                hits = slate[place][response.clicks[place]].tolist()
                clicked[row] += [(item, int(tick[row])) for item in hits]
        assert response.left.all()
    assert min(len(items) for items in clicked) > HISTORY


def test_an_observation_is_a_copy():
    sessions = population_sessions(small_world(), seed=4)
    rows = np.arange(NUM_USERS)
    sessions.open(rows, np.zeros(NUM_USERS, np.int64))
    seen = sessions.observe(rows)
    before = {name: values.copy() for name, values in vars(seen).items() if isinstance(values, np.ndarray)}
    sessions.answer(rows, slates(sessions, NUM_USERS, np.random.default_rng(0)))
    sessions.open(rows, np.full(NUM_USERS, TICKS_PER_DAY))
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(seen, name), values, err_msg=name)
    for name, values in sessions.state.items():
        assert not any(np.shares_memory(values, seen_values) for seen_values in before.values()), name


def test_a_copy_goes_its_own_way_with_the_same_luck():
    sessions = population_sessions(everyday(), seed=4)
    rows = np.arange(len(sessions))
    sessions.open(rows, sessions.first_visit(rows))
    twin = sessions.copy()
    slate = slates(sessions, len(rows), np.random.default_rng(0))
    first, second = sessions.answer(rows, slate), twin.answer(rows, slate)
    np.testing.assert_array_equal(first.clicks, second.clicks)
    sessions.answer(rows, slate)
    assert (twin.state["step"] == 1).all() and (sessions.state["step"] == 2).all()


# ---- who lives which life --------------------------------------------------------------------------------------


def test_a_reseated_row_lives_like_a_new_one():
    """New users on used rows: as if the rows had been made for them."""
    world = everyday()
    seed, rows = np.array([5, 6, 7], np.uint64), np.array([2, 0])
    sessions = seat_sessions(world, seed)
    everybody = np.arange(3)
    sessions.open(everybody, sessions.first_visit(everybody))
    rng = np.random.default_rng(1)
    for _ in range(100):
        sessions.answer(everybody, slates(sessions, 3, rng))
    assert (sessions.state["clicked"][:, -1] >= 0).all()
    other = {name: values[1].copy() for name, values in sessions.state.items()}
    user, profile = np.array([9, 4], np.int32), np.array([11, 30], np.int32)
    sessions.reseat(rows, user, profile)
    fresh = Sessions(world, seed[rows], user, profile)
    np.testing.assert_array_equal(sessions.first_visit(rows), fresh.first_visit(np.arange(2)))
    for part, where in ((sessions, rows), (fresh, np.arange(2))):
        part.open(where, np.array([400, 700]))
        part.answer(where, np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]] * 2, np.int32))
    for name, values in fresh.state.items():
        np.testing.assert_array_equal(sessions.state[name][rows], values, err_msg=name)
        np.testing.assert_array_equal(sessions.state[name][1], other[name], err_msg=name)


def test_profiles_of_seats_are_drawn_evenly():
    world = small_world()
    seed = np.arange(40_000, dtype=np.uint64)
    profile = draw_profiles(world, seed, np.zeros(len(seed), np.int32))
    check_counts(np.bincount(profile, minlength=NUM_USERS), np.full(NUM_USERS, 5000.0), "profiles")
    later = draw_profiles(world, seed, np.ones(len(seed), np.int32))
    pairs = np.bincount(profile * NUM_USERS + later, minlength=NUM_USERS**2)
    check_counts(pairs, np.full(NUM_USERS**2, 40_000 / NUM_USERS**2), "profiles of a seat's first two users")


def test_a_seat_is_its_seed_whatever_stands_beside_it():
    world = everyday()
    few, many = seat_sessions(world, np.array([3], np.uint64)), seat_sessions(world, np.arange(6, dtype=np.uint64))
    for name, values in few.state.items():
        np.testing.assert_array_equal(many.state[name][3], values[0], err_msg=name)


def test_seeds_differ():
    world = everyday()
    ends = []
    for seed in (0, 1):
        sessions = population_sessions(world, seed)
        rows = np.arange(len(sessions))
        sessions.open(rows, sessions.first_visit(rows))
        ends.append(sessions.answer(rows, np.tile(np.arange(10, dtype=np.int32), (len(rows), 1))).clicks)
    assert (ends[0] != ends[1]).any()


# ---- the same luck for every policy ----------------------------------------------------------------------------


def test_two_policies_meet_the_same_users_with_the_same_luck():
    """One arm shows random slates, the other one item's neighbours and ends each visit after a slate.

    Draws at the n-th arrival of a user are those of the other arm, and so are device, part of the day and the
    luck with the intent; with no pull and equal gaps so are the preferences, to the bit.
    """
    world = replace(everyday(drift=0.0), dynamics=(SessionIntent(), PreferenceDrift(rate=0.0), Satisfaction()))
    arms = population_sessions(world, seed=8), population_sessions(world, seed=8)
    rows = np.arange(len(arms[0]))
    due = [arm.first_visit(rows) for arm in arms]
    rng = np.random.default_rng(2)
    for visit in range(5):
        np.testing.assert_array_equal(*due)
        carried = []
        for arm, tick in zip(arms, due, strict=True):
            intent = arm.state["intent"].copy()
            arm.open(rows, tick)
            carried.append((arm.draws(rows), arm.state["intent"] == intent))
            assert (arm.state["session"] == visit).all()
        for name in ("seed", "user", "session", "step"):
            np.testing.assert_array_equal(getattr(carried[0][0], name), getattr(carried[1][0], name))
        luck = carried[0][0].uniform(Purpose.INTENT_CARRY, 2)[:, 0]
        for _, kept in carried:
            assert kept[luck < world.dynamics[0].carry_probability].all()
        for name in ("device", "tick", "preference"):
            np.testing.assert_array_equal(arms[0].state[name], arms[1].state[name], err_msg=name)
        for _ in range(4):
            arms[0].answer(rows, slates(arms[0], len(rows), rng))
        arms[1].answer(rows, np.tile(np.arange(10, dtype=np.int32), (len(rows), 1)))
        due = [arm.close(rows) for arm in arms]
    assert (arms[0].state["satisfaction"] != arms[1].state["satisfaction"]).any()


def test_the_luck_of_returning_is_the_same_for_pleased_and_displeased_users():
    """The gap is a function of satisfaction and of one draw: who is pleased comes no later, and churns no sooner."""
    world = small_world(Satisfaction(), ReturnTime(churn=0.2), num_users=500)
    arms = population_sessions(world, seed=8), population_sessions(world, seed=8)
    rows = np.arange(500)
    due = []
    for arm, satisfaction in zip(arms, (1.0, -1.0), strict=True):
        arm.open(rows, np.zeros(500, np.int64))
        arm.state["satisfaction"][:] = satisfaction
        due.append(arm.close(rows))
    assert (due[0] // TICKS_PER_DAY <= due[1] // TICKS_PER_DAY).all() and (due[0] < due[1]).any()
    stayed = due[1] < NEVER
    np.testing.assert_array_equal((due[0] % TICKS_PER_DAY)[stayed], (due[1] % TICKS_PER_DAY)[stayed])


def test_draws_are_those_of_the_identity():
    sessions = Sessions(small_world(), np.array([7, 8], np.uint64), np.array([3, 5]), np.array([0, 1]))
    sessions.open(np.array([1]), np.array([60]))
    sessions.answer(np.array([1]), np.array([[0, 1, 2]], np.int32))
    draws = sessions.draws(np.array([1, 0]))
    expected = Draws(
        np.array([8, 7], np.uint64), np.array([5, 3]), np.array([0, -1], np.int32), np.array([1, 0], np.int32)
    )
    np.testing.assert_array_equal(draws.uniform(99, 6), expected.uniform(99, 6))


def test_the_same_life_on_one_thread_and_on_two_with_parallel_batches():
    """More rows than `PARALLEL_ROWS`; `check_world` holds every preset to the same."""
    world, users = everyday(), np.arange(3000, dtype=np.int32)
    lives = []
    before = numba.get_num_threads()
    try:
        for num_threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(num_threads)
            lives.append(live(world, users))
    finally:
        numba.set_num_threads(before)
    for name, values in lives[0].items():
        assert values.tobytes() == lives[1][name].tobytes(), name


# ---- the edges -------------------------------------------------------------------------------------------------


def test_one_user_and_one_item():
    world = small_world(Satisfaction(), num_items=1, num_users=1, num_slots=1)
    sessions = population_sessions(world, seed=0)
    rows = np.array([0])
    sessions.open(rows, sessions.first_visit(rows))
    assert sessions.answer(rows, np.array([[0]], np.int32)).clicks.shape == (1, 1)
    assert sessions.close(rows)[0] >= TICKS_PER_DAY


def test_a_slate_of_the_whole_catalogue():
    world = small_world(choice=MultinomialLogit(no_click=-np.inf), utility=Utility())
    sessions = population_sessions(world, seed=0, num_slots=NUM_ITEMS)
    rows = np.arange(NUM_USERS)
    sessions.open(rows, np.zeros(NUM_USERS, np.int64))
    slate = np.tile(np.arange(NUM_ITEMS, dtype=np.int32), (NUM_USERS, 1))
    assert (sessions.answer(rows, slate).clicks.sum(axis=1) == 1).all()


def test_nobody_is_served_without_error():
    sessions = population_sessions(everyday(), seed=0)
    nobody = np.zeros(0, np.int64)
    sessions.open(nobody, nobody)
    assert len(sessions.observe(nobody)) == 0
    assert sessions.answer(nobody, np.zeros((0, 10), np.int32)).clicks.shape == (0, 10)
    assert sessions.close(nobody).shape == (0,)


def answer(slate):
    sessions = population_sessions(small_world(), seed=0)
    sessions.open(np.arange(2), np.zeros(2, np.int64))
    before = {name: values.copy() for name, values in sessions.state.items()}
    try:
        sessions.answer(np.arange(2), np.array(slate))
    finally:
        for name, values in sessions.state.items():
            np.testing.assert_array_equal(values, before[name], err_msg=name)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: answer([[0, 1], [2, 3]]), "a slate must have 3 slots, got 2"),
        (lambda: answer([[0, 1, 20], [2, 3, 4]]), r"items must be in \[0, 20\), got 0 to 20"),
        (lambda: answer([[0, 1, -1], [2, 3, 4]]), r"items must be in \[0, 20\), got -1 to 4"),
        (lambda: answer(np.array([[0, 1, -1], [2, 3, 4]], np.int32)), r"items must be in \[0, 20\), got -1 to 4"),
        (lambda: answer([[0, 1, 2**32], [2, 3, 4]]), r"items must be in \[0, 20\), got 0 to 4294967296"),
        (lambda: population_sessions(small_world(), 0, num_slots=21), "at most the number of items, got 21 of 20"),
        (lambda: population_sessions(small_world(), 0, num_slots=0), "num_slots must be at least 1, got 0"),
        (lambda: population_sessions(small_world(), 0, history=0), "history must be at least 1, got 0"),
        (
            lambda: Sessions(small_world(), np.zeros(1, np.uint64), np.array([0]), np.array([8])),
            r"profile must be in \[0, 8\), got 8 to 8",
        ),
        (
            lambda: Sessions(small_world(), np.zeros(1, np.uint64), np.array([0]), np.array([-1])),
            r"profile must be in \[0, 8\), got -1 to -1",
        ),
    ],
)
def test_wrong_input_is_named_and_changes_nothing(act, message):
    with pytest.raises(ValueError, match=message):
        act()
