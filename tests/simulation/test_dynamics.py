"""The dynamics of `everyday`: each equals a literal twin that follows one user, and its closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.dynamics import (
    Patience,
    PreferenceDrift,
    Response,
    ReturnTime,
    Satisfaction,
    SessionIntent,
    TopicBoredom,
)
from recsim_lab.simulation.population import Population, plain_population
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.world import World
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_counts

NUM_USERS, NUM_ITEMS, NUM_TOPICS, NUM_DIMS, NUM_SLOTS, NUM_STEPS = 19, 30, 4, 5, 3, 20
SEED = 3
TASTE = np.array([0.5, 0.0, 0.2, 0.3], np.float32)


def small_world(*dynamics, num_users=NUM_USERS, num_dims=NUM_DIMS, **traits):
    rng = np.random.default_rng(5)
    catalogue = plain_catalogue(
        rng.normal(size=(NUM_ITEMS, num_dims)).astype(np.float32),
        rng.integers(NUM_TOPICS, size=NUM_ITEMS),
        NUM_TOPICS,
    )
    follows = np.where(np.arange(NUM_ITEMS) % 3 > 0, np.arange(NUM_ITEMS) - 1, -1).astype(np.int32)
    population = plain_population(
        rng.normal(size=(num_users, num_dims)).astype(np.float32), np.tile(TASTE, (num_users, 1))
    )
    return World(
        name="small",
        catalogue=type(catalogue)(**vars(catalogue) | {"continues": follows}),
        population=Population(**vars(population) | traits),
        choice=PositionBased(),
        dynamics=dynamics,
    )


def answered(slate, clicks, value=None):
    """A response with nothing in it but clicks and what they were worth."""
    zeros = np.zeros(slate.shape, np.float32)
    row, slot = np.nonzero(clicks)
    value = zeros if value is None else value
    return Response(
        slate=slate,
        clicks=clicks,
        dwell=zeros,
        likes=zeros > 0,
        reward=zeros.sum(axis=1),
        left=np.zeros(len(slate), bool),
        utility=zeros,
        match=zeros,
        habit=np.zeros(len(slate), np.int32),
        void=zeros > 0,
        num_void=np.zeros(len(slate), np.int64),
        clicked_row=row,
        clicked_slot=slot,
        clicked_item=slate[row, slot],
        value=value[row, slot],
    )


def live(world, dynamics, click_rate=0.3):
    """A visit a few days after the last one, then a slate, again and again.

    Returns the first state, the last one, and each user's events: days away, slate, clicks, values, step.
    """
    rng = np.random.default_rng(17)
    users = np.arange(NUM_USERS, dtype=np.int32)
    state = world.initial(users, draws_of(SEED, users))
    first = {name: values.copy() for name, values in state.items()}
    events = [[] for _ in users]
    today = 0
    for step in range(NUM_STEPS):
        days = np.full(NUM_USERS, int(rng.integers(4)) if step else 0, np.int64)
        today += int(days[0])
        slates = rng.integers(NUM_ITEMS, size=(NUM_USERS, NUM_SLOTS)).astype(np.int32)
        clicks = rng.random(slates.shape) < click_rate
        values = rng.normal(size=slates.shape).astype(np.float32)
        state["tick"][:] = today * TICKS_PER_DAY + 30
        draws = draws_of(SEED, users, session=step, step=step)
        dynamics.arrive(world, state, users, days, draws)
        dynamics.respond(world, state, users, answered(slates, clicks, values), draws)
        for u in users:
            events[u].append((int(days[u]), slates[u].tolist(), clicks[u].tolist(), values[u].tolist(), step, today))
    return first, state, events


# ---- boredom ---------------------------------------------------------------------------------------------------


def test_boredom_counts_clicks_and_forgets():
    dynamics = TopicBoredom(weight=0.3, slate_decay=0.9, day_decay=0.7)
    world = small_world(dynamics)
    _, state, events = live(world, dynamics)
    items = np.tile(np.arange(NUM_ITEMS, dtype=np.int32), (NUM_USERS, 1))
    utility = dynamics.utility(world, state, np.arange(NUM_USERS), items)
    topic = world.catalogue.topic.tolist()
    for u in range(NUM_USERS):
        boredom = [0.0] * NUM_TOPICS
        for days, slate, clicks, *_ in events[u]:
            boredom = [count * 0.7**days * 0.9 for count in boredom]
            for item, click in zip(slate, clicks, strict=True):
                boredom[topic[item]] += click
        np.testing.assert_allclose(state["boredom"][u], boredom, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(utility[u], [-0.3 * boredom[t] for t in topic], rtol=1e-5, atol=1e-6)


def test_a_click_on_every_slate_bores_by_the_geometric_sum():
    dynamics = TopicBoredom(slate_decay=0.95)
    world = small_world(dynamics)
    rows = np.array([2])
    state = world.initial(np.arange(3, dtype=np.int32), draws_of(0, np.arange(3)))
    slate, clicks = np.array([[7]], np.int32), np.array([[True]])
    for num_slates in range(1, 60):
        dynamics.respond(world, state, rows, answered(slate, clicks), draws_of(0, rows))
        expected = (1 - 0.95**num_slates) / (1 - 0.95)
        assert state["boredom"][2, world.catalogue.topic[7]] == pytest.approx(expected, rel=1e-5)
    assert state["boredom"].sum() == state["boredom"][2, world.catalogue.topic[7]]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(first=st.integers(0, 30), second=st.integers(0, 30), decay=st.floats(0.0, 1.0, width=32))
def test_recovery_depends_on_the_time_away_not_on_the_visits(first, second, decay):
    dynamics = TopicBoredom(day_decay=decay)
    world = small_world(dynamics)
    users = np.arange(2, dtype=np.int32)
    draws = draws_of(0, users)
    state = {"boredom": np.full((2, NUM_TOPICS), 8.0, np.float32)}
    dynamics.arrive(world, state, users[:1], np.array([first]), draws.take(users[:1]))
    dynamics.arrive(world, state, users, np.array([second, first + second]), draws)
    np.testing.assert_allclose(state["boredom"][0], state["boredom"][1], rtol=1e-4, atol=1e-30)


# ---- preference drift ------------------------------------------------------------------------------------------


def increments(user, days, daily, num_dims):
    """The natural steps of some days as shares of the length, from the draws by their definition."""
    steps = [draws_of(SEED, np.array([user]), session=day, step=0) for day in days]
    return [draws.normal(Purpose.NATURAL_DRIFT, num_dims)[0].astype(float) * daily / num_dims**0.5 for draws in steps]


def rescaled(vector, length):
    return vector * (length / np.linalg.norm(vector))


@pytest.mark.parametrize("num_dims", [1, 5, 16])
@pytest.mark.parametrize(("rate", "daily"), [(0.2, 0.0), (0.0, 0.1), (0.1, 0.05)])
def test_drift_equals_its_twin(rate, daily, num_dims):
    dynamics = PreferenceDrift(rate, daily)
    world = small_world(dynamics, num_dims=num_dims)
    first, state, events = live(world, dynamics)
    for u in range(NUM_USERS):
        liked = first["preference"][u].astype(float)
        length, yesterday = np.linalg.norm(liked), 0
        for days, slate, clicks, _, _, today in events[u]:
            if days:
                liked = liked + length * sum(increments(u, range(yesterday + 1, today + 1), daily, num_dims))
                liked = rescaled(liked, length)
            yesterday = today
            for item, click in zip(slate, clicks, strict=True):
                if click:
                    liked = rescaled(liked + rate * (world.catalogue.latent[item] - liked), length)
        np.testing.assert_allclose(state["preference"][u], liked, atol=2e-4 * length)
    assert np.abs(state["preference"] - first["preference"]).max() > (0.1 if num_dims > 1 else 0)


def drifted(daily, visits, num_users=NUM_USERS):
    """Preferences on the last of the days at which everybody came."""
    dynamics = PreferenceDrift(rate=0.0, daily=daily)
    world = small_world(dynamics, num_users=num_users)
    users = np.arange(num_users, dtype=np.int32)
    state = world.initial(users, draws_of(SEED, users))
    for session, day in enumerate(visits):
        state["tick"][:] = day * TICKS_PER_DAY
        dynamics.arrive(world, state, users, np.zeros(num_users, np.int64), draws_of(SEED, users, session))
    return world.population.latent.astype(float), state["preference"].astype(float)


def test_absence_and_daily_visits_drift_alike():
    """The same steps are taken; what differs is that the length is restored each time, a second-order effect.

    So a drift of a tenth makes a difference of a hundredth.
    """
    _, away = drifted(0.02, [30])
    _, daily = drifted(0.02, range(1, 31))
    _, slow_away = drifted(0.002, [30])
    before, slow_daily = drifted(0.002, range(1, 31))
    difference, slow_difference = np.linalg.norm(away - daily), np.linalg.norm(slow_away - slow_daily)
    assert 0 < difference < 0.15 * np.linalg.norm(away - before)
    assert 0.007 < slow_difference / difference < 0.013
    np.testing.assert_allclose(np.linalg.norm(daily, axis=1), np.linalg.norm(before, axis=1), rtol=1e-5)


def test_a_day_drifts_once():
    """A second visit on a day changes nothing; who comes first on a late day has drifted since day 0."""
    _, once = drifted(0.1, [4, 9])
    _, twice = drifted(0.1, [4, 4, 9, 9])
    np.testing.assert_array_equal(once, twice)
    before, at_once = drifted(0.1, [0])
    np.testing.assert_array_equal(before, at_once)


def test_the_size_of_a_day_of_drift():
    """Across the preference, where restoring the length takes nothing: daily^2 (d - 1) / d in the mean square."""
    num_users, daily = 5000, 0.01
    before, after = drifted(daily, [1], num_users)
    moved = np.square(after - before).sum(axis=1) / np.square(before).sum(axis=1)
    expected = daily**2 * (NUM_DIMS - 1) / NUM_DIMS
    # A chi-square of d - 1 degrees; 4.5 standard errors, so a false alarm has a chance below 1e-5.
    assert moved.mean() == pytest.approx(expected, rel=4.5 * np.sqrt(2 / (NUM_DIMS - 1) / num_users))


def test_natural_drift_is_the_same_whatever_was_clicked():
    """With no pull the two arms agree to the bit; with one, each has its own way but the same steps."""
    ends = []
    for click_rate in (0.0, 0.9):
        dynamics = PreferenceDrift(rate=0.0, daily=0.1)
        ends.append(live(small_world(dynamics), dynamics, click_rate)[1]["preference"])
    np.testing.assert_array_equal(*ends)


def test_a_preference_of_zero_and_a_rate_of_one_stay_defined():
    world = small_world(PreferenceDrift(rate=1.0, daily=0.3))
    users = np.arange(2, dtype=np.int32)
    state = world.initial(users, draws_of(0, users))
    state["preference"][0] = 0
    state["tick"][:] = 5 * TICKS_PER_DAY
    dynamics = world.dynamics[0]
    dynamics.arrive(world, state, users, np.full(2, 5), draws_of(0, users))
    slate = np.array([[3], [3]], np.int32)
    dynamics.respond(world, state, users, answered(slate, slate > 0), draws_of(0, users))
    assert not state["preference"][0].any()
    expected = rescaled(world.catalogue.latent[3].astype(float), np.linalg.norm(world.population.latent[1]))
    np.testing.assert_allclose(state["preference"][1], expected, rtol=1e-4)


# ---- intent ----------------------------------------------------------------------------------------------------


def own_topic(luck):
    """The first topic whose cumulative taste exceeds the luck."""
    total = 0.0
    for topic, share in enumerate(TASTE.tolist()):
        total += share
        if luck < total:
            return topic
    return NUM_TOPICS - 1


def test_intent_equals_its_twin():
    dynamics = SessionIntent(1.5, 2.5, 0.5, 0.3, 0.4, 0.6)
    world = small_world(dynamics)
    first, state, events = live(world, dynamics, click_rate=0.2)
    users = np.arange(NUM_USERS)
    items = np.tile(np.arange(NUM_ITEMS, dtype=np.int32), (NUM_USERS, 1))
    utility = dynamics.utility(world, state, users, items)
    start = draws_of(SEED, users).uniform(Purpose.INTENT_START)[:, 0]
    topics = world.catalogue.topic.tolist()
    for u in users:
        intent, last = own_topic(start[u]), -1
        assert first["intent"][u] == intent
        for days, slate, clicks, _, step, _ in events[u]:
            draws = draws_of(SEED, np.array([u]), session=step, step=step)
            carry, redraw = draws.uniform(Purpose.INTENT_CARRY, 2)[0]
            if days > 0 and carry >= 0.6:
                intent = own_topic(redraw)
            move, redraw = draws.uniform(Purpose.INTENT_MOVE, 2)[0]
            clicked = [item for item, click in zip(slate, clicks, strict=True) if click]
            if clicked:
                last = clicked[-1]
                intent = topics[last]
                if 0.5 <= move < 0.8:
                    intent = (intent + 1) % NUM_TOPICS
                elif move >= 0.8:
                    intent = own_topic(redraw)
            elif move < 0.4:
                intent = own_topic(redraw)
        assert state["intent"][u] == intent
        assert state["last_item"][u] == last
        continues = world.catalogue.continues
        expected = [1.5 * (topics[i] == intent) + 2.5 * (last >= 0 and continues[i] == last) for i in range(NUM_ITEMS)]
        np.testing.assert_allclose(utility[u], expected)
    assert len(np.unique(state["intent"])) > 1 and (state["last_item"] >= 0).all()


def test_how_often_intents_move():
    """Counts of the next topic after a click, after a slate without one, and after a night."""
    num_users = 60_000
    dynamics = SessionIntent()
    world = small_world(dynamics, num_users=num_users)
    users = np.arange(num_users, dtype=np.int32)
    wanted, item = 1, int(np.flatnonzero(world.catalogue.topic == 2)[0])
    stay, following = np.eye(NUM_TOPICS)[wanted], np.eye(NUM_TOPICS)
    slate = np.full((num_users, 1), item, np.int32)

    def counted(act):
        state = world.initial(users, draws_of(SEED, users))
        state["intent"][:] = wanted
        act(state, draws_of(SEED, users, session=1))
        return np.bincount(state["intent"], minlength=NUM_TOPICS)

    def respond(clicks):
        return lambda state, draws: dynamics.respond(world, state, users, answered(slate, clicks), draws)

    def arrive(days):
        return lambda state, draws: dynamics.arrive(world, state, users, np.full(num_users, days), draws)

    taste = TASTE.astype(float)
    check_counts(
        counted(respond(slate > -1)), num_users * (0.7 * following[2] + 0.2 * following[3] + 0.1 * taste), "click"
    )
    check_counts(counted(respond(slate < 0)), num_users * (0.75 * stay + 0.25 * taste), "no click")
    check_counts(counted(arrive(3)), num_users * (0.7 * stay + 0.3 * taste), "a night")
    assert counted(arrive(0))[wanted] == num_users
    start = np.bincount(world.initial(users, draws_of(SEED, users))["intent"], minlength=NUM_TOPICS)
    check_counts(start, num_users * taste, "start")


# ---- satisfaction, patience, return ----------------------------------------------------------------------------


def test_satisfaction_equals_its_twin():
    dynamics = Satisfaction(rate=0.2, idle_rate=0.1, idle_level=-0.7)
    world = small_world(dynamics)
    _, state, events = live(world, dynamics)
    for u in range(NUM_USERS):
        satisfaction = 0.0
        for _, _, clicks, values, *_ in events[u]:
            worth = [value for value, click in zip(values, clicks, strict=True) if click]
            if worth:
                satisfaction += 0.2 * (sum(worth) / len(worth) - satisfaction)
            else:
                satisfaction += 0.1 * (-0.7 - satisfaction)
        assert state["satisfaction"][u] == pytest.approx(satisfaction, abs=1e-5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(value=st.floats(-5, 5, width=32), num_slates=st.integers(1, 60))
def test_satisfaction_tends_to_what_clicks_are_worth(value, num_slates):
    """S_n = v - (v - S_0) (1 - rate)^n while every slate is clicked, and likewise toward the idle level."""
    dynamics = Satisfaction()
    world = small_world(dynamics)
    rows = np.array([1, 0])
    state = {"satisfaction": np.array([0.5, 0.5], np.float32)}
    slate = np.zeros((2, 1), np.int32)
    response = answered(slate, np.array([[True], [False]]), np.full((2, 1), value, np.float32))
    for _ in range(num_slates):
        dynamics.respond(world, state, rows, response, draws_of(0, rows))
    assert state["satisfaction"][1] == pytest.approx(value - (value - 0.5) * 0.85**num_slates, abs=1e-5)
    assert state["satisfaction"][0] == pytest.approx(-0.5 + (0.5 + 0.5) * 0.955**num_slates, abs=1e-5)


def test_patience_equals_its_twin():
    patience = np.random.default_rng(2).normal(size=NUM_USERS).astype(np.float32)
    dynamics = Patience(logit=-1.0, satisfaction_weight=0.4, idle_weight=0.5, longest_run=2)
    world = small_world(Satisfaction(), dynamics, patience=patience)
    users = np.arange(NUM_USERS, dtype=np.int32)
    rng = np.random.default_rng(1)
    state = world.initial(users, draws_of(SEED, users))
    runs = [0] * NUM_USERS
    longest = 0
    for step in range(12):
        state["satisfaction"][:] = rng.normal(size=NUM_USERS)
        draws = draws_of(SEED, users, step=step)
        if step == 6:
            dynamics.arrive(world, state, users, np.ones(NUM_USERS, np.int64), draws)
            runs = [0] * NUM_USERS
        slate = rng.integers(NUM_ITEMS, size=(NUM_USERS, 2)).astype(np.int32)
        clicks = rng.random(slate.shape) < 0.2
        response = answered(slate, clicks)
        dynamics.respond(world, state, users, response, draws)
        chance = dynamics.leave_probability(world, state, users, response)
        for u in users:
            runs[u] = 0 if clicks[u].any() else runs[u] + 1
            logit = -1.0 - 0.4 * float(state["satisfaction"][u]) + 0.5 * min(runs[u], 2) - float(patience[u])
            assert chance[u] == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)
        longest = max(longest, *runs)
    assert longest > 2


def test_patience_without_satisfaction_needs_none():
    dynamics = Patience(satisfaction_weight=0.0)
    world = small_world(dynamics)
    users = np.arange(NUM_USERS, dtype=np.int32)
    state = world.initial(users, draws_of(0, users))
    chance = dynamics.leave_probability(
        world, state, users, answered(np.zeros((NUM_USERS, 1), np.int32), users[:, None] > 99)
    )
    np.testing.assert_allclose(chance, 1 / (1 + np.exp(2.4)))


def gaps(dynamics, satisfaction, activity=0.0, num_users=100_000):
    world = small_world(dynamics, num_users=num_users, activity=np.full(num_users, activity, np.float32))
    users = np.arange(num_users)
    state = {"profile": users, "satisfaction": np.full(num_users, satisfaction, np.float32)}
    return dynamics.gap_days(world, state, users, draws_of(11, users))


@pytest.mark.parametrize(("satisfaction", "activity"), [(0.0, 0.0), (1.5, 0.0), (-2.0, 0.0), (0.0, 1.0)])
def test_gaps_are_geometric_also_among_those_who_stay(satisfaction, activity):
    gap = gaps(ReturnTime(churn=0.1, churn_weight=0.0), satisfaction, activity)
    gap = gap[gap > 0]
    hazard = 1 / (1 + np.exp(0.5 - 0.6 * satisfaction - activity))
    days = np.arange(1, 400)
    expected = len(gap) * hazard * (1 - hazard) ** (days - 1)
    check_counts(np.bincount(np.minimum(gap, 399), minlength=400)[1:], expected, "gaps")
    # The standard deviation of a geometric gap is sqrt(1 - p) / p; 4.5 standard errors.
    assert gap.mean() == pytest.approx(1 / hazard, abs=4.5 * np.sqrt(1 - hazard) / hazard / np.sqrt(len(gap)))


@pytest.mark.parametrize("satisfaction", [-9.0, -1.0, 0.0, 2.0])
def test_churn_falls_with_satisfaction(satisfaction):
    gone = gaps(ReturnTime(churn=0.01), satisfaction) == -1
    expected = min(1.0, 0.01 * np.exp(-satisfaction))
    error = np.sqrt(expected * (1 - expected) / len(gone))
    assert gone.mean() == pytest.approx(expected, abs=4.5 * error + 1e-12)


def test_certain_and_hopeless_returns_are_defined():
    assert (gaps(ReturnTime(logit=60.0, churn=0.0), 0.0, num_users=100) == 1).all()
    assert (gaps(ReturnTime(logit=-60.0, churn=0.0), 0.0, num_users=100) == 1_000).all()
    assert (gaps(ReturnTime(churn=1.0), 0.0, num_users=100) == -1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TopicBoredom(slate_decay=1.1), r"slate_decay must be in \[0, 1\], got 1.1"),
        (lambda: TopicBoredom(day_decay=-0.1), r"day_decay must be in \[0, 1\], got -0.1"),
        (lambda: PreferenceDrift(rate=1.5), r"rate must be in \[0, 1\], got 1.5"),
        (lambda: PreferenceDrift(daily=-1.0), "daily must be at least 0, got -1.0"),
        (lambda: SessionIntent(carry_probability=2.0), r"carry_probability must be in \[0, 1\], got 2.0"),
        (lambda: SessionIntent(stay_probability=0.9), r"next_probability must be at most 1, got 0.9 \+ 0.2"),
        (lambda: Satisfaction(rate=-0.2), r"rate must be in \[0, 1\], got -0.2"),
        (lambda: Satisfaction(idle_rate=1.2), r"idle_rate must be in \[0, 1\], got 1.2"),
        (lambda: ReturnTime(churn=1.3), r"churn must be in \[0, 1\], got 1.3"),
    ],
)
def test_wrong_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
