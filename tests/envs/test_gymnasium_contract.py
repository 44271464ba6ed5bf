"""Every preset keeps Gymnasium's contract: registered ids, the environment checker, spaces that hold what comes."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from recsim_lab.envs.registration import MAX_STEPS, environment_id
from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.policy import HISTORY_FIELDS, REQUEST_FIELDS
from recsim_lab.simulation.presets import PRESETS

A = np.ndarray
Preset = tuple[str, dict[str, Any]]


def test_every_preset_is_registered_under_its_name_in_camel_case() -> None:
    assert set(MAX_STEPS) == set(PRESETS)
    for preset in MAX_STEPS:
        assert environment_id(preset) in gymnasium.registry
    assert environment_id("sardine-topk-bored") == "recsim_lab/SardineTopkBored-v0"
    assert environment_id("everyday") == "recsim_lab/Everyday-v0"


def test_the_checker_finds_nothing_to_warn_of(preset: Preset) -> None:
    name, parameters = preset
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(environment_id(name), **parameters).unwrapped)


def test_make_vec_gives_the_native_vector_environment(preset: Preset) -> None:
    name, parameters = preset
    env = gymnasium.make_vec(environment_id(name), num_envs=3, **parameters)
    assert isinstance(env.unwrapped, SlateVectorEnv)
    assert env.unwrapped.seats.max_steps == MAX_STEPS[name]
    single = gymnasium.make(environment_id(name), **parameters)
    assert env.single_observation_space == single.observation_space
    assert env.single_action_space == single.action_space


def _assert_holds(space: gymnasium.Space, observation: dict[str, A]) -> None:
    assert isinstance(space, gymnasium.spaces.Dict)
    assert set(observation) == {*REQUEST_FIELDS, *HISTORY_FIELDS}
    for name, values in observation.items():
        box = space[name]
        assert isinstance(box, gymnasium.spaces.Box)
        assert np.issubdtype(box.dtype, np.integer) and np.isfinite(box.low).all() and np.isfinite(box.high).all()
        assert values.dtype == box.dtype
        assert box.contains(values), f"{name}: {values} outside {box}"


def test_the_spaces_hold_every_observation_of_a_life(preset: Preset) -> None:
    name, parameters = preset
    env = gymnasium.make(environment_id(name), **parameters)
    env.action_space.seed(0)
    observation, info = env.reset(seed=0)
    assert info == {}
    space = env.observation_space
    for _ in range(200):
        _assert_holds(space, observation)
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert isinstance(reward, float) and np.isfinite(reward)
        assert {"clicks", "dwell", "likes", "left", "num_void"} <= set(info)
        assert np.isfinite(info["dwell"]).all()
        if terminated or truncated:
            _assert_holds(space, observation)
            observation, _ = env.reset()
    assert env.observation_space is space


def test_the_spaces_hold_every_observation_of_a_batch(preset: Preset) -> None:
    name, parameters = preset
    env = gymnasium.make_vec(environment_id(name), num_envs=5, max_steps=40, **parameters)
    env.action_space.seed(1)
    observation, _ = env.reset(seed=1)
    for _ in range(60):
        _assert_holds(env.observation_space, observation)
        observation, rewards, terminated, truncated, _ = env.step(env.action_space.sample())
        assert rewards.shape == (5,) and rewards.dtype == np.float64 and np.isfinite(rewards).all()
        assert terminated.dtype == truncated.dtype == bool


@pytest.mark.parametrize("hidden", ["all", ("preference",)])
def test_the_spaces_hold_what_is_told_on_request(preset: Preset, hidden: Any) -> None:
    name, parameters = preset
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*infinity")  # hidden numbers have no bounds
        single = gymnasium.make(environment_id(name), recent_slates=3, hidden=hidden, **parameters)
        check_env(single.unwrapped)
    env = gymnasium.make_vec(environment_id(name), num_envs=5, recent_slates=3, hidden=hidden, **parameters)
    assert env.single_observation_space == single.observation_space
    assert "hidden_preference" in single.observation_space.spaces
    observation, _ = env.reset(seed=1)
    for _ in range(30):
        assert env.observation_space.contains(observation)
        for field, values in observation.items():
            assert values.dtype == env.observation_space[field].dtype
        observation, *_ = env.step(env.action_space.sample())


def test_observations_are_copies_that_later_steps_leave_alone() -> None:
    env = SlateVectorEnv(4, "everyday", num_users=20, num_items=30)
    env.action_space.seed(2)
    observation, _ = env.reset(seed=2)
    before = {name: values.copy() for name, values in observation.items()}
    for _ in range(20):
        env.step(env.action_space.sample())
    for name, values in before.items():
        np.testing.assert_array_equal(observation[name], values)


@pytest.mark.parametrize("make", [SlateEnv, lambda **kw: SlateVectorEnv(2, **kw)])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"world": "everydya"}, "unknown preset 'everydya'; there are everyday, static"),
        ({"num_itmes": 3}, "preset 'everyday' has no parameter 'num_itmes'"),
        ({"num_slots": 61, "num_items": 60, "new_items_a_day": 0}, "num_slots must be at most the number of items"),
        ({"num_slots": 0}, "num_slots must be at least 1, got 0"),
        ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({"reward": "money"}, "reward must be one of world, clicks, dwell, satisfaction, return, got 'money'"),
        ({"world": "static", "reward": "satisfaction"}, "needs a world with satisfaction, got 'static'"),
        ({"recent_slates": -1}, "recent_slates must be at least 0, got -1"),
        (
            {"hidden": ("mood", "intent")},
            r"hidden must be among habit, .*satisfaction.* of world 'everyday', got \['mood'\]",
        ),
        ({"hidden": ("tick",)}, r"hidden must be among .*, got \['tick'\]"),
        ({"render_mode": "human"}, "render_mode must be None, got 'human'"),
        ({"history": -1}, "history must be at least 1, got -1"),
    ],
)
def test_a_wrong_argument_is_named(make: Any, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**wrong)
