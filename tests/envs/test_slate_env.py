"""One user at a time: seeds, lives, actions that are wrong or void, and rewards."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest

from recsim_lab.envs.seats import RETURN_DAYS
from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.evaluation.protocols import Return
from recsim_lab.interaction_log import InteractionLog, concatenate, record
from recsim_lab.policy import NEVER, TICKS_PER_DAY, Observation, deterministic
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World

A = np.ndarray


def _actions(env: SlateEnv, num_steps: int, seed: int = 0) -> A:
    return np.random.default_rng(seed).integers(env.action_space.nvec, size=(num_steps, env.seats.num_slots))


def _live(env: SlateEnv, actions: A, **reset: Any) -> list[Any]:
    """All that the environment says from a reset on, through as many users as it takes."""
    said: list[Any] = [env.reset(**reset)]
    for action in actions:
        said.append(env.step(action))
        if said[-1][2] or said[-1][3]:
            said.append(env.reset())
    return said


def _assert_same(first: Any, second: Any) -> None:
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert set(first) == set(second)
        for name in first:
            _assert_same(first[name], second[name])
    elif isinstance(first, Sequence):
        assert len(first) == len(second)
        for one, two in zip(first, second, strict=True):
            _assert_same(one, two)
    else:
        np.testing.assert_array_equal(first, second)


def test_the_seed_of_reset_alone_determines_a_run(leaving: Callable[[float], World]) -> None:
    world = leaving(0.3)
    env, other = SlateEnv(world), SlateEnv(world)
    actions = _actions(env, 100)
    first = _live(env, actions, seed=7)
    np.random.seed(99)  # noqa: NPY002  (the global generator must not matter)
    random.seed(99)
    _live(other, actions[::-1], seed=8)
    # The same environment, which has lived before, and one that is stepped turn by turn with another.
    _assert_same(first, _live(env, actions, seed=7))
    fresh = SlateEnv(world)
    said: list[Any] = [fresh.reset(seed=7)]
    for action in actions:
        said.append(fresh.step(action))
        other.step(actions[0])
        if said[-1][2] or said[-1][3]:
            said.append(fresh.reset())
    _assert_same(first, said)


def test_different_seeds_are_different_lives(everyday: World) -> None:
    env = SlateEnv(everyday)
    actions = _actions(env, 30)
    ends = [str(_live(env, actions, seed=seed)[-1]) for seed in range(5)]
    assert len(set(ends)) == 5


def test_reset_without_a_seed_goes_on_with_the_next_user(everyday: World) -> None:
    env = SlateEnv(everyday)
    actions = _actions(env, 20)
    env.reset(seed=3)
    env.step(actions[0])
    second_life = _live(env, actions[1:])
    third_life = _live(env, actions[1:])
    assert str(second_life) != str(third_life)
    # How long the first life was does not matter to the second.
    _live(env, actions, seed=3)
    _assert_same(second_life, _live(env, actions[1:]))
    _assert_same(third_life, _live(env, actions[1:]))


def test_users_are_drawn_with_replacement_from_the_whole_population(everyday: World) -> None:
    env = SlateEnv(everyday)
    env.reset(seed=0)
    seen = [int(env.reset()[0]["user"][0]) for _ in range(500)]
    counts = np.bincount(seen, minlength=50)
    # Chi-square with 49 degrees of freedom: above 100 with chance 2.6e-5.
    assert ((counts - 10) ** 2 / 10).sum() < 100


def test_an_episode_is_a_life_of_several_visits_that_ends_with_the_last(leaving: Callable[[float], World]) -> None:
    env = SlateEnv(leaving(0.3))
    actions = _actions(env, 1200)
    observation, _ = env.reset(seed=0)
    num_lives, num_visits = 0, 0
    for action in actions:
        before = {name: values.copy() for name, values in observation.items()}
        observation, _, terminated, truncated, info = env.step(action)
        assert not truncated
        if terminated:
            assert info["left"]
            num_lives += 1
            num_visits += int(before["session"][0]) + 1
            observation, _ = env.reset()
            assert observation["session"] == observation["step"] == 0
            assert (observation["clicked"] == -1).all() and (observation["shown"] == -1).all()
        elif info["left"]:
            assert observation["session"] == before["session"] + 1 and observation["step"] == 0
            assert observation["tick"][0] // TICKS_PER_DAY > before["tick"][0] // TICKS_PER_DAY
            assert (observation["shown"] == -1).all()
            assert observation["user"] == before["user"]
        else:
            assert observation["session"] == before["session"] and observation["step"] == before["step"] + 1
            assert observation["tick"] == before["tick"]
            step = int(before["step"][0])
            np.testing.assert_array_equal(observation["shown"][4 * step : 4 * step + 4], action)
        if not terminated:
            newest = observation["clicked"][-1:] if info["clicks"].any() else before["clicked"][-1:]
            assert observation["clicked"][-1:] == newest
    # Each visit is the last with chance .3: the number of visits of n lives has mean n/.3 and variance .7n/.09.
    assert num_lives > 40
    assert abs(num_visits - num_lives / 0.3) < 4 * np.sqrt(0.7 * num_lives) / 0.3


def test_clicks_are_remembered_newest_last_with_their_tick(everyday: World) -> None:
    env = SlateEnv(replace(everyday, choice=PositionBased()), history=6)
    observation, _ = env.reset(seed=1)
    items, ticks = [-1] * 6, [-1] * 6
    for action in _actions(env, 60):
        tick = int(observation["tick"][0])
        observation, _, terminated, _, info = env.step(action)
        items += action[info["clicks"]].tolist()
        ticks += [tick] * int(info["clicks"].sum())
        np.testing.assert_array_equal(observation["clicked"], items[-6:])
        np.testing.assert_array_equal(observation["clicked_tick"], ticks[-6:])
        if terminated:
            break
    assert len(items) > 12


def test_a_life_is_truncated_after_max_steps(everyday: World) -> None:
    env = SlateEnv(everyday, max_steps=7)
    for reset in ({"seed": 0}, {}):
        env.reset(**reset)
        ends = [env.step(action)[2:4] for action in _actions(env, 7)]
        assert ends == [(False, False)] * 6 + [(False, True)]


def test_a_life_may_end_and_be_cut_at_once(leaving: Callable[[float], World]) -> None:
    world = replace(leaving(1.0), session_steps=1)
    env = SlateEnv(world, max_steps=1)
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step(_actions(env, 1)[0])
    assert terminated and truncated and info["left"]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0, 1, 2], r"actions must have shape \(4,\), got \(3,\)"),
        ([0, 1, 2, 3, 4], r"actions must have shape \(4,\), got \(5,\)"),
        ([[0, 1, 2, 3]], r"actions must have shape \(4,\), got \(1, 4\)"),
        (5, r"actions must have shape \(4,\), got \(\)"),
        ([0, 1, 2, 70], r"items must be in \[0, 70\), got 0 to 70"),
        ([0, -1, 2, 3], r"items must be in \[0, 70\), got -1 to 3"),
        ([0, 1, 2, 2**32], r"items must be in \[0, 70\), got 0 to 4294967296"),
        ([0.0, 1.0, 2.0, 3.0], "actions must be integers, got float64"),
        ([0.0, float("nan"), 2.0, 3.0], "actions must be integers, got float64"),
    ],
)
def test_a_wrong_action_is_an_error_and_changes_nothing(everyday: World, action: Any, message: str) -> None:
    env, untouched = SlateEnv(everyday), SlateEnv(everyday)
    env.reset(seed=0)
    untouched.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)
    _assert_same(env.step(np.arange(4)), untouched.step(np.arange(4)))


def test_a_repeated_item_makes_a_void_slot_that_nobody_clicks(everyday: World) -> None:
    world = replace(everyday, choice=PositionBased())
    env = SlateEnv(world)
    env.reset(seed=0)
    released = np.flatnonzero(world.catalogue.release_day == 0)
    rng = np.random.default_rng(0)
    num_clicks = 0
    for _ in range(400):
        a, b = rng.choice(released, 2, replace=False)
        _, _, terminated, truncated, info = env.step(np.array([a, b, a, a]))
        assert info["num_void"] == 2
        assert not info["clicks"][2:].any()
        assert (info["dwell"][2:] == 0).all() and not info["likes"][2:].any()
        num_clicks += int(info["clicks"].sum())
        if terminated or truncated:
            env.reset()
    assert num_clicks > 20


def test_an_item_not_yet_released_makes_a_void_slot(everyday: World) -> None:
    env = SlateEnv(replace(everyday, choice=PositionBased()))
    future = np.flatnonzero(everyday.catalogue.release_day > 0)
    assert len(future) == 10
    observation, _ = env.reset(seed=0)
    for step in range(300):
        action = np.append(future[np.arange(step, step + 3) % 10], 0)
        day = observation["tick"][0] // TICKS_PER_DAY
        expected = everyday.catalogue.release_day[action] > day
        observation, _, terminated, truncated, info = env.step(action)
        assert info["num_void"] == expected.sum()
        assert not (info["clicks"] & expected).any()
        if terminated or truncated:
            observation, _ = env.reset()


def test_a_slate_of_nothing_but_one_item(everyday: World) -> None:
    env = SlateEnv(everyday)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.zeros(4, np.int64))
    assert info["num_void"] == 3 and np.isfinite(reward)


def test_the_reward_is_what_was_asked_for(everyday: World) -> None:
    world = replace(everyday, choice=PositionBased())
    envs = {name: SlateEnv(world, reward=name) for name in ("world", "clicks", "dwell", "satisfaction")}
    for env in envs.values():
        env.reset(seed=5)
    earned = dict.fromkeys(envs, 0.0)
    for action in _actions(envs["world"], 100):
        for name, env in envs.items():
            _, reward, terminated, truncated, info = env.step(action)
            expected = {
                "world": info["clicks"].sum(),
                "clicks": info["clicks"].sum(),
                "dwell": info["dwell"].sum(),
                "satisfaction": env.seats.sessions.state["satisfaction"][0],
            }[name]
            assert reward == pytest.approx(float(expected), rel=1e-6)
            earned[name] += abs(reward)
            if terminated or truncated:
                env.reset()
    assert all(total > 0 for total in earned.values()) and earned["dwell"] != earned["clicks"]


def test_the_reward_of_a_return_is_the_target_that_evaluation_judges_by(leaving: Callable[[float], World]) -> None:
    world = leaving(0.1)
    rarely = replace(world.dynamics[-1], logit=-2.5)  # a hazard of about .08 a day, so about half are late
    env = SlateEnv(replace(world, dynamics=(*world.dynamics[:-1], rarely), choice=PositionBased()), reward="return")
    assert Return().days == RETURN_DAYS
    num_visits = num_returns = num_gone = 0
    for seed in range(20):
        fields, _ = env.reset(seed=seed)
        rows, rewards = [], []
        for action in _actions(env, 150, seed):
            observation = Observation.of(fields, env.features)
            fields, reward, terminated, _, info = env.step(action)
            outcome = {name: info[name][None] for name in ("clicks", "dwell", "likes")}
            outcome |= {"reward": np.float32([0]), "left": np.array([info["left"]])}
            rows.append(record(observation, deterministic(action[None], "any"), outcome))
            rewards.append(reward)
            if terminated:
                break
        log, paid = concatenate(rows), np.array(rewards)
        assert (paid[~log.left] == 0).all()
        if terminated:
            assert paid[-1] == 0
            num_gone += 1
        # A visit's target is told by any click in it; of a log that goes on for long after, all are known.
        gains = Return().gains(concatenate([log, _much_later(log)]))[: len(log)]
        for visit in range(log.session[-1] + 1):
            mine = log.session == visit
            if visit == log.session[-1] and not terminated:
                continue
            said = set(gains[mine][log.clicks[mine]].tolist())
            assert said <= {float(paid[mine].sum())}
            num_visits += len(said)
            num_returns += int(sum(said))
    assert num_gone > 5 and num_returns > 30 and num_visits - num_returns > 30


def _much_later(log: InteractionLog) -> InteractionLog:
    """One more request, of another user a year after."""
    last = log.take(slice(len(log) - 1, None))
    return replace(last, user=last.user + 1, tick=last.tick + 365 * TICKS_PER_DAY)


def test_the_last_slates_are_told_with_what_was_clicked_in_them(leaving: Callable[[float], World]) -> None:
    env = SlateEnv(replace(leaving(0.6), choice=PositionBased()), recent_slates=3)
    num_lives = num_clicks = 0
    fields, _ = env.reset(seed=0)
    slates, clicks = [[-1] * 4] * 3, [[-1] * 4] * 3
    for action in _actions(env, 300):
        np.testing.assert_array_equal(fields["recent_slates"], slates[-3:])
        np.testing.assert_array_equal(fields["recent_clicks"], clicks[-3:])
        fields, _, terminated, _, info = env.step(action)
        slates, clicks = [*slates, action.tolist()], [*clicks, info["clicks"].astype(int).tolist()]
        num_clicks += int(info["clicks"].sum())
        if terminated:
            # The last observation of a life still tells it; the next user has no past.
            np.testing.assert_array_equal(fields["recent_slates"], slates[-3:])
            fields, _ = env.reset()
            slates, clicks = [[-1] * 4] * 3, [[-1] * 4] * 3
            num_lives += 1
    assert num_lives > 10 and num_clicks > 50


def test_the_hidden_truth_is_told_on_request_alone(everyday: World) -> None:
    told, all_told, plain = (
        SlateEnv(everyday, hidden=hidden) for hidden in (("satisfaction", "preference"), "all", ())
    )
    usual, _ = plain.reset(seed=0)
    fields, _ = told.reset(seed=0)
    everything, _ = all_told.reset(seed=0)
    state = all_told.seats.sessions.state
    counted = {"seed", "session", "step", "user", "profile", "tick", "device", "clicked", "clicked_tick", "shown"}
    assert set(everything) == set(usual) | {f"hidden_{name}" for name in set(state) - counted}
    for action in _actions(told, 40):
        assert set(fields) - set(usual) == {"hidden_satisfaction", "hidden_preference"}
        state = told.seats.sessions.state
        np.testing.assert_array_equal(fields["hidden_satisfaction"], state["satisfaction"])
        np.testing.assert_array_equal(fields["hidden_preference"], state["preference"][0])
        before = fields["hidden_preference"].copy(), fields
        fields, *_ = told.step(action)
        usual, *_ = plain.step(action)
        np.testing.assert_array_equal(before[0], before[1]["hidden_preference"])
        _assert_same({name: fields[name] for name in usual}, usual)


def test_the_reward_of_a_world_of_ratings_is_the_rating() -> None:
    env = SlateEnv("reclab-topics-static", num_users=20, num_items=30)
    env.reset(seed=0)
    rewards = []
    for action in _actions(env, 300):
        _, reward, terminated, truncated, info = env.step(action)
        assert info["clicks"].all() and 1 <= reward <= 5
        rewards.append(reward)
        if terminated or truncated:
            env.reset()
    assert len(set(rewards)) > 100


def test_one_user_one_item() -> None:
    world = make_world("everyday", num_users=1, num_items=1, num_slots=1, new_items_a_day=0)
    env = SlateEnv(world)
    env.reset(seed=0)
    for _ in range(200):
        observation, _, terminated, truncated, info = env.step(np.zeros(1, np.int64))
        assert observation["user"] == 0 and info["num_void"] == 0
        if terminated or truncated:
            env.reset()


def test_what_happens_in_the_far_future_fits_the_space(everyday: World) -> None:
    # A hazard of return near zero: gaps of 10,000 days, the longest there are.
    rarely = replace(everyday.dynamics[-1], logit=-60.0, churn=0.0)
    env = SlateEnv(replace(everyday, dynamics=(*everyday.dynamics[:-1], rarely)))
    observation, _ = env.reset(seed=0)
    for action in _actions(env, 250):
        observation, *_ = env.step(action)
    assert observation["tick"][0] > 10_000 * TICKS_PER_DAY
    assert env.observation_space.contains(observation)
    assert observation["tick"][0] < NEVER


def test_features_are_those_of_the_world() -> None:
    env = gymnasium.make("recsim_lab/Everyday-v0", num_users=20, num_items=30)
    table = env.unwrapped.features
    assert table.num_items == env.action_space.nvec[0]
    assert all(len(column) == 20 for column in table.users.values())
