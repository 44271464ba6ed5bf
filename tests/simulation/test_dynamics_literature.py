"""The dynamics of published worlds: each equals a literal twin that follows one user, click by click."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.dynamics import (
    BoredomTimeout,
    Dynamics,
    InterestEvolution,
    RepeatPenalty,
    Response,
    ReturnChance,
    TimeBudget,
    TopicReinforcement,
)
from recsim_lab.simulation.dynamics.recent_topics import newest, topic_counts
from recsim_lab.simulation.feedback import WatchTime
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.world import World
from recsim_lab.streams import draws_of

NUM_USERS, NUM_ITEMS, NUM_TOPICS, NUM_SLOTS, NUM_STEPS = 23, 30, 4, 3, 25


def small_world(dynamics, feature_seed=None, low=-1.0, high=1.0):
    """Items of one topic each (or of random features), users of random preferences."""
    rng = np.random.default_rng(5)
    topic = rng.integers(NUM_TOPICS, size=NUM_ITEMS)
    latent = np.eye(NUM_TOPICS)[topic]
    if feature_seed is not None:
        latent = np.random.default_rng(feature_seed).random((NUM_ITEMS, NUM_TOPICS))
    quality = rng.normal(0, 2, NUM_ITEMS).astype(np.float32)
    return World(
        name="small",
        catalogue=plain_catalogue(latent.astype(np.float32), topic, NUM_TOPICS, quality),
        population=plain_population(rng.uniform(low, high, (NUM_USERS, NUM_TOPICS)).astype(np.float32)),
        choice=PositionBased(),
        dynamics=(dynamics,),
    )


@dataclass(frozen=True)
class Event:
    """One user's slate and what followed, as Python lists."""

    slate: list
    clicks: list
    dwell: list
    luck: list
    days: int


def answered(slate, clicks, dwell):
    """A response with nothing in it that these dynamics do not read."""
    zeros = np.zeros(slate.shape, np.float32)
    row, slot = np.nonzero(clicks)
    nobody = np.zeros(len(slate), bool)
    nothing = np.zeros(slate.shape, bool)
    none, value = np.zeros(len(slate), np.int32), np.zeros(len(row), np.float32)
    return Response(
        slate=slate,
        void=nothing,
        num_void=none,
        utility=zeros,
        match=zeros,
        habit=none,
        clicks=clicks,
        clicked_row=row,
        clicked_slot=slot,
        clicked_item=slate[row, slot],
        value=value,
        dwell=dwell,
        likes=nothing.copy(),
        reward=np.zeros(len(slate), np.float32),
        left=nobody,
    )


def live(world, shards, num_slots=NUM_SLOTS, click_rate=0.5, days_rate=0.0):
    """Random slates, clicks and absences for random users, the rows served as `shards` cuts and orders them.

    Returns the state before, the state after, and each user's events.
    """
    dynamics: Dynamics = world.dynamics[0]
    rng = np.random.default_rng(17)
    users = np.arange(NUM_USERS, dtype=np.int32)
    state = world.initial(users, draws_of(3, users))
    before = {name: values.copy() for name, values in state.items()}
    events = [[] for _ in users]
    for step in range(NUM_STEPS):
        chosen = np.sort(rng.permutation(NUM_USERS)[: NUM_USERS - 5])
        slates = np.stack([rng.permutation(NUM_ITEMS)[:num_slots] for _ in users]).astype(np.int32)
        clicks = rng.random(slates.shape) < click_rate
        dwell = np.where(clicks, rng.uniform(0, 5, slates.shape), 0).astype(np.float32)
        days = (rng.random(NUM_USERS) < days_rate).astype(np.int64)
        luck = draws_of(3, users, session=1, step=step).uniform(Purpose.INTEREST_DIRECTION, num_slots)
        for rows in shards(chosen):
            draws = draws_of(3, rows, session=1, step=step)
            dynamics.arrive(world, state, rows, days[rows], draws)
            dynamics.respond(world, state, rows, answered(slates[rows], clicks[rows], dwell[rows]), draws)
        for u in chosen:
            lists = (values[u].tolist() for values in (slates, clicks, dwell, luck))
            events[u].append(Event(*lists, int(days[u])))
    return before, state, events


def whole(rows):
    return [rows]


def one_by_one(rows):
    return [rows[i : i + 1] for i in range(len(rows))]


def reversed_thirds(rows):
    return np.array_split(rows[::-1], 3)


CASES = {
    "repeat-penalty": RepeatPenalty(memory=5, threshold=2),
    "repeat-penalty-long": RepeatPenalty(memory=9, threshold=1),
    "reinforcement": TopicReinforcement(change=0.4, ceiling=0.8),
    "reinforcement-floor": TopicReinforcement(change=0.4, ceiling=0.8, floor=-0.9),
    "interest-evolution": InterestEvolution(rate=0.7),
    "time-budget": TimeBudget(minutes=20.0),
    "boredom-timeout": BoredomTimeout(threshold=3, timeout=4, memory_steps=3, most_remembered=6),
    "boredom-timeout-short": BoredomTimeout(threshold=2, timeout=1, memory_steps=2, most_remembered=3),
    "return-chance": ReturnChance(0.3),
}


@pytest.mark.parametrize("name", CASES)
def test_each_user_lives_alone(name):
    world = small_world(CASES[name])
    _, expected, _ = live(world, whole, days_rate=0.1)
    users = np.arange(NUM_USERS)
    for shards in (one_by_one, reversed_thirds):
        _, state, _ = live(world, shards, days_rate=0.1)
        for key, values in expected.items():
            np.testing.assert_array_equal(state[key], values, err_msg=key)
    order = np.random.default_rng(1).permutation(NUM_USERS)
    items = np.tile(np.arange(NUM_ITEMS, dtype=np.int32), (NUM_USERS, 1))
    utility, _ = world.true_utility(expected, users, items)
    np.testing.assert_array_equal(world.true_utility(expected, order, items)[0], utility[order])
    due = world.depart(expected, users, draws_of(3, users))
    np.testing.assert_array_equal(world.depart(expected, order, draws_of(3, order)), due[order])


@pytest.mark.parametrize("name", CASES)
def test_only_declared_arrays_of_the_given_rows_are_written(name):
    dynamics = CASES[name]
    world = small_world(dynamics)
    users = np.arange(NUM_USERS, dtype=np.int32)
    declared = dynamics.initial(world, users, draws_of(3, users))
    liked = world.population.latent.copy()
    before, after, events = live(world, whole, days_rate=0.1)
    for key in set(before) - set(declared):
        np.testing.assert_array_equal(before[key], after[key], err_msg=key)
    assert all(events)
    np.testing.assert_array_equal(world.population.latent, liked)
    again = {key: values.copy() for key, values in after.items()}
    slate = np.zeros((3, 1), np.int32)
    rows = np.array([4, 1, 9])
    response = answered(slate, slate == 0, np.ones(slate.shape, np.float32))
    dynamics.respond(world, again, rows, response, draws_of(3, rows))
    others = np.setdiff1d(users, rows)
    for key, values in after.items():
        np.testing.assert_array_equal(again[key][others], values[others], err_msg=key)
    for key, values in declared.items():
        assert again[key].dtype == values.dtype and again[key].shape == values.shape


def test_topic_counts_and_newest_are_those_of_lists():
    rng = np.random.default_rng(0)
    memory = rng.integers(-1, 5, (50, 7))
    expected = [[row.tolist().count(topic) for topic in range(5)] for row in memory]
    assert topic_counts(memory, 5).tolist() == expected
    kept = np.take_along_axis(memory, newest(memory >= 0, 3), axis=1)
    for row, result in zip(memory.tolist(), kept.tolist(), strict=True):
        filled = [topic for topic in row if topic >= 0][-3:]
        assert result == [-1] * (3 - len(filled)) + filled


# ---- RecLab ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("memory", "threshold"), [(5, 2), (1, 0), (3, 1), (40, 6)])
def test_repeat_penalty_counts_the_last_clicks(memory, threshold):
    dynamics = RepeatPenalty(memory, threshold, penalty=0.5)
    world = small_world(dynamics)
    _, state, events = live(world, whole)
    users = np.arange(NUM_USERS)
    items = np.tile(np.arange(NUM_ITEMS, dtype=np.int32), (NUM_USERS, 1))
    penalty = dynamics.utility(world, state, users, items)
    topic = world.catalogue.topic.tolist()
    for u in users:
        recent = []
        for event in events[u]:
            recent += [topic[item] for item, click in zip(event.slate, event.clicks, strict=True) if click]
        recent = recent[-memory:]
        assert penalty[u].tolist() == [-0.5 if recent.count(t) > threshold else 0.0 for t in topic]
    assert len(np.unique(penalty)) == 2


@pytest.mark.parametrize("floor", [-np.inf, -0.6])
def test_topic_reinforcement_feeds_one_topic_on_the_others(floor):
    change, ceiling = 0.307, 0.913  # crooked, so that rounding decides no comparison
    world = small_world(TopicReinforcement(change, ceiling, floor))
    before, state, events = live(world, whole)
    for u in range(NUM_USERS):
        liking = before["preference"][u].astype(float).tolist()
        for event in events[u]:
            for item, click in zip(event.slate, event.clicks, strict=True):
                t = int(world.catalogue.topic[item])
                if not click or liking[t] > ceiling:
                    continue
                for other in range(NUM_TOPICS):
                    if other != t and liking[other] > floor:
                        liking[other] = max(liking[other] - change / (NUM_TOPICS - 1), floor)
                liking[t] += change
        np.testing.assert_allclose(state["preference"][u], liking, atol=2e-5)
    started_below = before["preference"] < floor
    assert started_below.any() == np.isfinite(floor)
    assert (state["preference"] >= np.where(started_below, before["preference"], floor)).all()


def test_topic_reinforcement_keeps_the_sum():
    world = small_world(TopicReinforcement())
    before, state, _ = live(world, whole)
    assert (np.abs(state["preference"] - before["preference"]).max(axis=1) > 0.1).all()
    np.testing.assert_allclose(state["preference"].sum(axis=1), before["preference"].sum(axis=1), atol=1e-4)


def test_topic_reinforcement_needs_a_preference_for_each_topic():
    world = small_world(RepeatPenalty())
    wide = replace(world.catalogue, num_topics=NUM_TOPICS + 1)
    users = np.arange(NUM_USERS, dtype=np.int32)
    with pytest.raises(ValueError, match=r"one entry for each of 5 topics, got 4"):
        replace(world, catalogue=wide, dynamics=(TopicReinforcement(),)).initial(users, draws_of(0, users))


def test_return_chance_is_geometric():
    num_users, chance = 200_000, 0.2
    world = small_world(ReturnChance(chance))
    users = np.arange(num_users)
    gap = world.dynamics[0].gap_days(world, {}, users, draws_of(11, users))
    assert gap.min() == 1
    for days in (1, 2, 5, 10, 20):
        expected = (1 - chance) ** days
        # 4.5 standard errors: five comparisons raise a false alarm less than once in 10,000.
        assert (gap > days).mean() == pytest.approx(expected, abs=4.5 * np.sqrt(expected / num_users))
    certain = ReturnChance(1.0).gap_days(world, {}, users, draws_of(11, users))
    assert (certain == 1).all()


# ---- RecSim ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("feature_seed", [None, 8])
def test_interest_evolution_moves_toward_or_away(feature_seed):
    rate = 0.6
    world = small_world(InterestEvolution(rate), feature_seed)
    before, state, events = live(world, whole, click_rate=0.3)
    directions = set()
    for u in range(NUM_USERS):
        interests = before["preference"][u].astype(float)
        for event in events[u]:
            for item, click, luck in zip(event.slate, event.clicks, event.luck, strict=True):
                if not click:
                    continue
                features = world.catalogue.latent[item].astype(float)
                upward = luck < sum(features[j] * (interests[j] + 1) / 2 for j in range(NUM_TOPICS))
                directions.add(bool(upward))
                for j in range(NUM_TOPICS):
                    step = rate * (1 - abs(interests[j])) * features[j] * (features[j] - interests[j])
                    interests[j] = min(max(interests[j] + (step if upward else -step), -1.0), 1.0)
        np.testing.assert_allclose(state["preference"][u], interests, atol=1e-4)
    assert directions == {True, False}


def test_interests_outside_their_range_are_refused():
    world = small_world(InterestEvolution(), high=1.5)
    users = np.arange(NUM_USERS, dtype=np.int32)
    with pytest.raises(ValueError, match=r"interests must be in \[-1, 1\], got -0\.\d+ to 1\.\d+"):
        world.initial(users, draws_of(0, users))


def test_time_budget_follows_the_minutes():
    world = small_world(TimeBudget(minutes=60.0, idle_minutes=0.75, refund=0.2))
    _, state, events = live(world, whole, click_rate=0.3)
    users = np.arange(NUM_USERS)
    for u in users:
        left = 60.0
        for event in events[u]:
            if not any(event.clicks):
                left -= 0.75
            for item, minutes in zip(event.slate, event.dwell, strict=True):
                left -= minutes * (1 - 0.2 * float(world.catalogue.quality[item]))
        assert state["time_left"][u] == pytest.approx(left, abs=1e-3)
    slate = np.zeros((NUM_USERS, 1), np.int32)
    response = answered(slate, slate > 0, slate.astype(np.float32))
    over = state["time_left"] <= 0
    assert 0 < over.sum() < NUM_USERS
    budget = world.dynamics[0]
    np.testing.assert_array_equal(budget.leave_probability(world, state, users, response), over)
    np.testing.assert_array_equal(budget.gap_days(world, state, users, draws_of(0, users)), np.where(over, -1, 1))
    state["time_left"][:] = 0
    assert (budget.leave_probability(world, state, users, response) == 1).all()
    assert (budget.gap_days(world, state, users, draws_of(0, users)) == -1).all()


@pytest.mark.parametrize(("quality", "change"), [(-3.0, -7.18), (0.0, -4.00), (3.0, -0.82)])
def test_what_four_minutes_cost(quality, change):
    """The change of RecSim's time budget at a click on a video of 4 minutes."""
    world = small_world(TimeBudget())
    world = replace(world, catalogue=replace(world.catalogue, quality=np.full(NUM_ITEMS, quality, np.float32)))
    rows = np.array([2])
    state = world.initial(np.arange(NUM_USERS, dtype=np.int32), draws_of(0, np.arange(NUM_USERS)))
    response = answered(np.array([[3, 1]], np.int32), np.array([[False, True]]), np.array([[0, 4]], np.float32))
    world.dynamics[0].respond(world, state, rows, response, draws_of(0, rows))
    assert state["time_left"][2] - 200 == pytest.approx(change, abs=0.005)


def test_videos_are_watched_until_the_time_is_over():
    world = small_world(TimeBudget())
    state = {"time_left": np.array([100.0, 6.0, 3.0, 0.5, 100.0], np.float32)}
    clicks = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]], bool)
    slate = np.tile(np.arange(3, dtype=np.int32), (5, 1))
    response = answered(slate, clicks, np.zeros(clicks.shape, np.float32))
    WatchTime(4.0).emit(world, state, np.arange(5), response, draws_of(0, np.arange(5)))
    assert response.dwell.tolist() == [[4, 4, 0], [4, 0, 2], [0, 3, 0], [0.5, 0, 0], [0, 0, 0]]
    assert response.reward.tolist() == [8, 6, 3, 0.5, 0] and not response.likes.any()


# ---- SARDINE ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dynamics",
    [
        BoredomTimeout(threshold=3, timeout=4, memory_steps=3, most_remembered=6),
        BoredomTimeout(threshold=2, timeout=1, memory_steps=2, most_remembered=3),
        BoredomTimeout(threshold=2, timeout=9, memory_steps=5, most_remembered=10),
        BoredomTimeout(threshold=5),
    ],
)
def test_boredom_timeout_follows_the_published_order(dynamics):
    world = small_world(dynamics)
    _, state, events = live(world, whole, click_rate=0.6, days_rate=0.1)
    bored_ever = 0
    for u in range(NUM_USERS):
        remembered, bored, timeout = [], [False] * NUM_TOPICS, [dynamics.timeout] * NUM_TOPICS
        for clock, event in enumerate(events[u]):
            if event.days:
                remembered, bored, timeout = [], [False] * NUM_TOPICS, [dynamics.timeout] * NUM_TOPICS
            for item, click in zip(event.slate, event.clicks, strict=True):
                if click:
                    remembered = [*remembered, (clock, int(world.catalogue.topic[item]))]
            remembered = remembered[-dynamics.most_remembered :]
            remembered = [(when, topic) for when, topic in remembered if when >= clock + 1 - dynamics.memory_steps]
            timeout = [left - is_bored for left, is_bored in zip(timeout, bored, strict=True)]
            bored = [is_bored and left > 0 for left, is_bored in zip(timeout, bored, strict=True)]
            timeout = [left if is_bored else dynamics.timeout for left, is_bored in zip(timeout, bored, strict=True)]
            for t in range(NUM_TOPICS):
                bored[t] = bored[t] or sum(topic == t for _, topic in remembered) >= dynamics.threshold
        assert (state["boring_slates"][u] > 0).tolist() == bored
        expected = [left if is_bored else 0 for left, is_bored in zip(timeout, bored, strict=True)]
        assert state["boring_slates"][u].tolist() == expected
        silenced = np.zeros(NUM_TOPICS) if any(bored) else world.population.latent[u]
        np.testing.assert_array_equal(state["preference"][u], silenced)
        bored_ever += any(bored)
    assert bored_ever > 0


def test_a_night_ends_boredom():
    world = small_world(BoredomTimeout(threshold=1))
    users = np.arange(NUM_USERS, dtype=np.int32)
    fresh = world.initial(users, draws_of(0, users))
    _, state, _ = live(world, whole)
    bored = (state["boring_slates"] > 0).any(axis=1)
    assert bored.all()
    world.dynamics[0].arrive(world, state, users, (users % 2).astype(np.int64), draws_of(0, users))
    assert ((state["boring_slates"] > 0).any(axis=1) == (users % 2 == 0)).all()
    for name in ("preference", "remembered_topics", "remembered_age"):
        np.testing.assert_array_equal(state[name][1::2], fresh[name][1::2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RepeatPenalty(memory=0), "memory must be at least 1, got 0"),
        (lambda: RepeatPenalty(threshold=-1), "threshold must be at least 0, got -1"),
        (lambda: TopicReinforcement(change=-0.1), "change must be at least 0 and finite, got -0.1"),
        (lambda: TopicReinforcement(floor=6.0), "floor must be at most ceiling 5.0, got 6.0"),
        (lambda: InterestEvolution(rate=1.2), r"rate must be in \[0, 1\], got 1.2"),
        (lambda: TimeBudget(minutes=0.0), "minutes must be positive and finite, got 0.0"),
        (lambda: TimeBudget(idle_minutes=np.inf), "idle_minutes must be positive and finite, got inf"),
        (lambda: BoredomTimeout(timeout=0), r"timeout must be in \[1, 32767\], got 0"),
        (lambda: ReturnChance(0.0), r"probability must be in \(0, 1\], got 0.0"),
        (lambda: WatchTime(0.0), "length must be positive and finite, got 0.0"),
    ],
)
def test_wrong_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
