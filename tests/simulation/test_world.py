"""The three laws of a world: what an arrival, an answer and a departure do, and how dynamics are put together."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from recsim_lab.policy import NEVER, TICKS_PER_DAY
from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import MultinomialLogit, PositionBased
from recsim_lab.simulation.columns import check_columns
from recsim_lab.simulation.dynamics import Dynamics, PreferenceDrift, ReturnChance
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.utility import NUM_DEVICES, PARTS_OF_DAY, Utility
from recsim_lab.simulation.world import World
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_counts

NUM_USERS, NUM_ITEMS, NUM_DIMS = 50_000, 12, 3
USERS = np.arange(NUM_USERS, dtype=np.int32)


@dataclass(frozen=True)
class Fixed(Dynamics):
    """Answers what it is told to."""

    gap: int | None = None
    leave: float | None = None
    term: float | None = None

    def utility(self, world, state, rows, items):
        return None if self.term is None else np.full(items.shape, self.term, np.float32)

    def leave_probability(self, world, state, rows, response):
        return None if self.leave is None else np.full(len(rows), self.leave)

    def gap_days(self, world, state, rows, draws):
        return None if self.gap is None else np.full(len(rows), self.gap, np.int64)


@dataclass(frozen=True)
class Notes(Dynamics):
    """Writes down what it is told at arrival, and the utility of the first slot at the answer."""

    def initial(self, world, profile, draws):
        return {"days": np.full(len(profile), -5, np.int64), "seen": np.zeros(len(profile), np.float32)}

    def arrive(self, world, state, rows, days, draws):
        state["days"][rows] = days

    def respond(self, world, state, rows, response, draws):
        state["seen"][rows] = response.utility[:, 0]


def make_world(*dynamics, **parts):
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(NUM_ITEMS, NUM_DIMS)).astype(np.float32)
    population = plain_population(rng.normal(size=(5, NUM_DIMS)).astype(np.float32))
    population = replace(
        population,
        part_of_day=np.array([0, 1, 2, 7, 7], np.int32),
        device=np.array([0, 1, 2, 0, 2], np.int32),
        habit=np.array([0, 3, 3, 7, 2], np.int32),
    )
    world = World("small", plain_catalogue(latent), population, PositionBased(), dynamics=dynamics, num_slots=3)
    return replace(world, **parts)


def start(world, users=USERS, profile=1):
    return world.initial(np.full(len(users), profile, np.int32), draws_of(1, users, session=-1))


def opened(world, users, tick=0, profile=1):
    state = start(world, users, profile)
    world.arrive(state, np.arange(len(users)), np.full(len(users), tick), draws_of(1, users))
    return state


def random_slates(num_rows, num_slots=3, seed=0):
    order = np.random.default_rng(seed).random((num_rows, NUM_ITEMS)).argsort(axis=1)
    return order[:, :num_slots].astype(np.int32)


# ---- arrive ----------------------------------------------------------------------------------------------------


def test_a_world_is_told_in_a_line():
    world = World(
        "plain",
        plain_catalogue(np.ones((5, 2), np.float32)),
        plain_population(np.ones((3, 2), np.float32)),
        MultinomialLogit(),
    )
    assert repr(world) == "<World 'plain': 3 users, 5 items, 10 slots>"


def test_the_device_is_the_favourite_one_or_any():
    world = make_world(habit_of_device=0.7)
    device = opened(world, USERS, profile=2)["device"]
    expected = np.full(NUM_DEVICES, 0.3 / NUM_DEVICES) + 0.7 * (np.arange(NUM_DEVICES) == 2)
    check_counts(np.bincount(device, minlength=NUM_DEVICES), NUM_USERS * expected, "devices")
    assert (opened(make_world(habit_of_device=1.0), USERS, profile=2)["device"] == 2).all()


def test_an_arrival_tells_dynamics_the_days_that_have_passed():
    world = make_world(Notes())
    state = start(world, USERS[:4])
    rows = np.array([2, 0])
    world.arrive(state, rows, np.array([3 * TICKS_PER_DAY + 5, 180]), draws_of(1, rows))
    assert state["days"].tolist() == [0, -5, 0, -5]  # a first visit finds nothing to undo
    assert state["tick"].tolist() == [180, -TICKS_PER_DAY, 3 * TICKS_PER_DAY + 5, -TICKS_PER_DAY]
    later = np.array([TICKS_PER_DAY, 7 * TICKS_PER_DAY - 1])
    world.arrive(state, np.array([0, 2]), later, draws_of(1, rows, session=1))
    assert state["days"].tolist() == [1, -5, 3, -5]
    world.arrive(state, np.array([0]), np.array([TICKS_PER_DAY + 900]), draws_of(1, rows[:1], session=2))
    assert state["days"][0] == 0


# ---- depart ----------------------------------------------------------------------------------------------------


def test_a_visit_comes_at_the_favourite_part_of_the_day_or_at_any():
    world = make_world(habit_of_time=0.5)
    state = start(world, profile=3)
    tick = world.first_visit(state, USERS, draws_of(1, USERS))
    assert tick.min() >= 0 and tick.max() < TICKS_PER_DAY and not (tick % 180).any()
    expected = np.full(PARTS_OF_DAY, 0.5 / PARTS_OF_DAY) + 0.5 * (np.arange(PARTS_OF_DAY) == 7)
    check_counts(np.bincount(tick // 180, minlength=PARTS_OF_DAY), NUM_USERS * expected, "parts of the day")


@pytest.mark.parametrize(
    ("gaps", "days"),
    [([], 1), ([None], 1), ([1], 1), ([3], 3), ([3, None, 7, 2], 7), ([-1], None), ([3, -1, 9], None), ([-1, 4], None)],
)
def test_the_longest_absence_counts_and_never_means_never(gaps, days):
    world = make_world(*map(Fixed, gaps))
    state = opened(world, USERS[:100], tick=10 * TICKS_PER_DAY + 700)
    rows = np.arange(100)
    due = world.depart(state, rows, draws_of(1, USERS[:100]))
    if days is None:
        assert (due == NEVER).all()
    else:
        assert (due // TICKS_PER_DAY == 10 + days).all()


def test_everybody_comes_at_least_once():
    world = make_world(Fixed(gap=-1))
    first = world.first_visit(start(world, USERS[:100]), np.arange(100), draws_of(1, USERS[:100]))
    assert (first // TICKS_PER_DAY == 0).all()
    late = make_world(Fixed(gap=4))
    first = late.first_visit(start(late, USERS[:100]), np.arange(100), draws_of(1, USERS[:100]))
    assert (first // TICKS_PER_DAY == 3).all()


def test_first_visits_are_returns_from_the_day_before():
    world = make_world(ReturnChance(0.25))
    day = world.first_visit(start(world), USERS, draws_of(1, USERS, session=-1)) // TICKS_PER_DAY
    expected = NUM_USERS * 0.25 * 0.75 ** np.arange(100)
    check_counts(np.bincount(np.minimum(day, 99), minlength=100), expected, "days of the first visit")


# ---- respond ---------------------------------------------------------------------------------------------------


def test_nobody_clicks_what_is_repeated_or_not_out_yet():
    """Slot 1 repeats slot 0, slot 3 comes tomorrow; whoever must click takes one of the others."""
    catalogue = make_world().catalogue
    release = np.zeros(NUM_ITEMS, np.int32)
    release[5] = 2
    world = make_world(
        catalogue=replace(catalogue, release_day=release), choice=MultinomialLogit(no_click=-np.inf), num_slots=5
    )
    slate = np.tile(np.array([4, 4, 7, 5, 4], np.int32), (200, 1))
    rows, step = np.arange(200), np.zeros(200, np.int32)
    for tick, void in [(2 * TICKS_PER_DAY - 1, [0, 1, 0, 1, 1]), (2 * TICKS_PER_DAY, [0, 1, 0, 0, 1])]:
        state = opened(world, USERS[:200], tick)
        response = world.respond(state, rows, slate, step, draws_of(1, rows))
        assert (response.void == np.array(void, bool)).all() and (response.num_void == sum(void)).all()
        assert not response.clicks[response.void].any() and (response.clicks.sum(axis=1) == 1).all()
        chance = world.click_probability(state, rows, slate)
        assert not chance[response.void].any()
        np.testing.assert_allclose(chance.sum(axis=1), 1)


def test_terms_of_dynamics_add_up():
    plain, more = make_world(), make_world(Fixed(term=1.5), Fixed(), Fixed(term=-0.25))
    items = random_slates(100)
    rows = np.arange(100)
    before, match = plain.true_utility(opened(plain, USERS[:100]), rows, items)
    after, same = more.true_utility(opened(more, USERS[:100]), rows, items)
    np.testing.assert_allclose(after, before + 1.25, atol=1e-6)
    np.testing.assert_array_equal(match, same)


def test_what_is_told_is_what_was_true_before_the_change():
    """Drift moves preferences after the answer: the utility told is that of the moment, and the next one differs."""
    world = make_world(PreferenceDrift(rate=0.5), Notes(), utility=Utility(offset=-1.0))
    users = USERS[:300]
    state = opened(world, users)
    slate = random_slates(300)
    utility, match = world.true_utility(state, users, slate)
    response = world.respond(state, users, slate, np.zeros(300, np.int32), draws_of(1, users))
    np.testing.assert_array_equal(response.utility, utility)
    np.testing.assert_array_equal(response.match, match)
    np.testing.assert_array_equal(state["seen"], utility[:, 0])
    np.testing.assert_array_equal(response.habit, world.population.habit[state["profile"]])
    clicked = response.clicks.any(axis=1)
    changed = (world.true_utility(state, users, slate)[0] != utility).any(axis=1)
    np.testing.assert_array_equal(changed, clicked)
    assert 0.2 < clicked.mean() < 0.8


def test_members_leave_independently():
    world = make_world(Fixed(leave=0.2), Fixed(), Fixed(leave=0.5), session_steps=3)
    state = opened(world, USERS)
    slate = random_slates(NUM_USERS)
    left = world.respond(state, USERS, slate, np.zeros(NUM_USERS, np.int32), draws_of(1, USERS)).left
    # 1 - .8 x .5; 4.5 standard errors.
    assert left.mean() == pytest.approx(0.6, abs=4.5 * np.sqrt(0.24 / NUM_USERS))
    assert world.respond(state, USERS, slate, np.full(NUM_USERS, 2, np.int32), draws_of(1, USERS)).left.all()


@pytest.mark.parametrize(("chance", "leaves"), [(0.0, False), (1.0, True)])
def test_certain_leaves_are_certain(chance, leaves):
    world = make_world(Fixed(leave=chance))
    state = opened(world, USERS)
    left = world.respond(state, USERS, random_slates(NUM_USERS), np.zeros(NUM_USERS, np.int32), draws_of(1, USERS)).left
    assert (left == leaves).all()


def test_other_rows_stay_as_they_were():
    world = make_world(PreferenceDrift(0.4, 0.1), Notes())
    state = opened(world, USERS[:50])
    before = {name: values.copy() for name, values in state.items()}
    rows = np.array([7, 3, 40])
    world.arrive(state, rows, np.full(3, 9 * TICKS_PER_DAY), draws_of(1, rows))
    world.respond(state, rows, random_slates(3), np.zeros(3, np.int32), draws_of(1, rows))
    others = np.setdiff1d(np.arange(50), rows)
    for name, values in state.items():
        np.testing.assert_array_equal(values[others], before[name][others], err_msg=name)
    assert (state["preference"][rows] != before["preference"][rows]).all()


def test_features_tell_what_is_public_and_no_more():
    features = make_world().features
    assert set(features.users) == {"age"}
    assert set(features.items) == {"genre", "length", "language", "creator"}


# ---- wrong parts -----------------------------------------------------------------------------------------------


def population(**columns):
    return lambda: make_world(population=replace(make_world().population, **columns))


def catalogue(**columns):
    return lambda: make_world(catalogue=replace(make_world().catalogue, **columns))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_world(num_slots=0), "num_slots must be at least 1, got 0"),
        (lambda: make_world(session_steps=0), r"session_steps must be in \[1, 65535\], got 0"),
        (lambda: make_world(session_steps=2**16), r"session_steps must be in \[1, 65535\], got 65536"),
        (lambda: make_world(habit_of_time=1.2), r"habit_of_time must be in \[0, 1\], got 1.2"),
        (lambda: make_world(habit_of_device=-0.1), r"habit_of_device must be in \[0, 1\], got -0.1"),
        (
            lambda: make_world(population=plain_population(np.zeros((2, 4), np.float32))),
            "latent vectors of one dimension, got 3 and 4",
        ),
        (population(part_of_day=np.full(5, 8, np.int32)), "part_of_day must be below 8, got 8"),
        (population(device=np.full(5, 3, np.int32)), "device must be below 3, got 3"),
        (population(habit=np.full(5, 8, np.int32)), "habit must be below 8, got 8"),
        (population(habit=np.full(5, -1, np.int32)), "habit must be at least 0, got -1"),
        (population(patience=np.full(5, np.nan, np.float32)), "patience must be finite, got nan"),
        (lambda: plain_population(np.zeros((0, 3), np.float32)), "at least one user, got 0"),
        (lambda: plain_catalogue(np.zeros((0, 3), np.float32)), "at least one item, got 0"),
        (
            lambda: check_columns(SimpleNamespace(name="x", age=np.zeros(3, np.int32)), 4, "users"),
            "age must have a row for each of 4 users, got 3",
        ),
        (catalogue(quality=np.full(NUM_ITEMS, np.inf, np.float32)), "quality must be finite, got inf"),
        (catalogue(topic=np.full(NUM_ITEMS, 1, np.int32)), "topic must be below 1, got 1"),
        (catalogue(genre=np.full(NUM_ITEMS, 2, np.int32)), "genre must be below 1, got 2"),
        (catalogue(continues=np.full(NUM_ITEMS, NUM_ITEMS, np.int32)), "continues must be below 12, got 12"),
        (catalogue(continues=np.full(NUM_ITEMS, -2, np.int32)), "continues must be at least -1, got -2"),
        (catalogue(release_day=np.full(NUM_ITEMS, -1, np.int32)), "release_day must be at least 0, got -1"),
    ],
)
def test_wrong_parts_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
