"""The laws of every view: N seats are N single environments, under every mode of autoreset, and Gymnasium's checker
finds nothing to say."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.envs.wrappers import CandidateSets, FlatObservation, ProtoActions, View, Viewed, wrap
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.world import World

A = np.ndarray
NUM_ENVS = 4
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]
Views = list[tuple[type[View], dict[str, Any]]]
VIEWS: dict[str, Views] = {
    "candidates": [(CandidateSets, {"num_candidates": 6})],
    "ordered": [(CandidateSets, {"num_candidates": 5, "slates": "ordered"})],
    "unordered": [(CandidateSets, {"num_candidates": 6, "slates": "unordered", "num_newest": 0})],
    "flat": [(FlatObservation, {})],
    "points": [(ProtoActions, {})],
    "points-per-slot": [(ProtoActions, {"per_slot": True, "nearest": "dot"})],
    "points-flat": [(ProtoActions, {}), (FlatObservation, {"num_newest": 40})],
}


@pytest.fixture(params=VIEWS)
def views(request: pytest.FixtureRequest) -> Views:
    return VIEWS[request.param]


def _see(env: Any, views: Views) -> Any:
    for view, parameters in views:
        env = wrap(env, view, **parameters)
    return env


def _assert_same(one: Any, two: Any) -> None:
    """Bit by bit, also within dictionaries."""
    if isinstance(one, dict):
        assert set(one) == set(two)
        for name in one:
            _assert_same(one[name], two[name])
    else:
        np.testing.assert_array_equal(one, two)
        assert np.asarray(one).dtype == np.asarray(two).dtype


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("churn", "max_steps"), [(0.9, 500), (0.0, 3)])
def test_seats_are_single_environments(
    leaving: Callable[[float], World], views: Views, mode: AutoresetMode, churn: float, max_steps: int
) -> None:
    world = replace(leaving(churn), choice=PositionBased())
    told: dict[str, Any] = {"max_steps": max_steps, "recent_slates": 2, "hidden": ("satisfaction",)}
    ours = _see(SlateVectorEnv(NUM_ENVS, world, autoreset_mode=mode, **told), views)
    theirs = SyncVectorEnv([lambda: _see(SlateEnv(world, **told), views)] * NUM_ENVS, autoreset_mode=mode)
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.single_action_space == theirs.single_action_space
    assert ours.metadata["autoreset_mode"] == mode
    ours.action_space.seed(0)
    num_ends, seeds = 0, [5, [8, None, 9, None]]
    for seed in seeds:
        _assert_same(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
        for _ in range(20):
            actions = ours.action_space.sample()
            mine, others = ours.step(actions), theirs.step(actions)
            assert ours.observation_space.contains(mine[0])
            for i in range(4):
                _assert_same(mine[i], others[i])
            ended = mine[2] | mine[3]
            if mode == AutoresetMode.SAME_STEP and ended.any():
                np.testing.assert_array_equal(mine[4]["_final_obs"], ended)
                for seat in range(NUM_ENVS):
                    if ended[seat]:
                        _assert_same(mine[4]["final_obs"][seat], others[4]["final_obs"][seat])
                    else:
                        assert mine[4]["final_obs"][seat] is None
            num_ends += int(ended.sum())
    assert num_ends > 5


def test_a_reset_of_some_seats_leaves_the_others_as_they_were(leaving: Callable[[float], World], views: Views) -> None:
    world = leaving(0.7)
    ours = _see(SlateVectorEnv(NUM_ENVS, world, autoreset_mode="Disabled"), views)
    theirs = SyncVectorEnv([lambda: _see(SlateEnv(world), views)] * NUM_ENVS, autoreset_mode=AutoresetMode.DISABLED)
    ours.action_space.seed(0)
    _assert_same(ours.reset(seed=2)[0], theirs.reset(seed=2)[0])
    num_resets = 0
    for _ in range(30):
        actions = ours.action_space.sample()
        mine, others = ours.step(actions), theirs.step(actions)
        _assert_same(mine[0], others[0])
        if (ended := mine[2] | mine[3]).any():
            options = {"reset_mask": ended}
            _assert_same(ours.reset(options=options)[0], theirs.reset(options=options)[0])
            num_resets += 1
    assert num_resets > 5


@pytest.mark.parametrize("mode", MODES)
def test_from_a_kept_state_all_goes_on_as_it_did(
    leaving: Callable[[float], World], views: Views, mode: AutoresetMode
) -> None:
    world = leaving(0.7)
    env, other = (_see(SlateVectorEnv(NUM_ENVS, world, autoreset_mode=mode), views) for _ in range(2))
    env.action_space.seed(0)
    env.reset(seed=1)
    actions = [env.action_space.sample() for _ in range(30)]
    for action in actions[:10]:
        observations, *_ = env.step(action)
    state = env.state()
    other.reset(seed=9)
    other.step(actions[0])
    _assert_same(other.restore(state), observations)
    for action in actions:
        one, two = env.step(action), other.step(action)
        for i in range(4):
            _assert_same(one[i], two[i])


def test_the_checker_finds_nothing_to_warn_of(everyday: World, views: Views) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        # Points need not be symmetric about 0: they lie where items are.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized")
        check_env(_see(SlateEnv(everyday), views), skip_render_check=True)
        env = gymnasium.make("recsim_lab/Everyday-v0", num_users=20, num_items=60, num_slots=4, recent_slates=1)
        check_env(_see(env, views), skip_render_check=True)


def test_one_slot_is_seen_in_every_way(everyday: World, views: Views) -> None:
    env = _see(SlateVectorEnv(3, everyday, num_slots=1), views)
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(20):
        observations, *_, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observations)
        # Whoever names items themselves may name one that is not on offer yet.
        assert not info["num_void"].any() or env.single_action_space == gymnasium.spaces.MultiDiscrete([70])


def test_a_view_is_told_by_the_specification(everyday: World) -> None:
    env = wrap(gymnasium.make("recsim_lab/Static-v0", num_users=9, num_items=30), CandidateSets, num_candidates=10)
    assert env.spec is not None
    again = gymnasium.make(env.spec)
    assert isinstance(again, Viewed) and again.view.num_candidates == 10
    _assert_same(env.reset(seed=3)[0], again.reset(seed=3)[0])


def test_a_view_must_be_around_the_labs_own_observations(everyday: World) -> None:
    env = SlateEnv(everyday)
    flat = wrap(env, FlatObservation)
    with pytest.raises(
        TypeError, match="CandidateSets must be put inside wrappers that replace the observation, got Box"
    ):
        wrap(flat, CandidateSets)
    with pytest.raises(TypeError, match="must be put around a SlateEnv or a SlateVectorEnv, got CartPoleEnv"):
        wrap(gymnasium.make("CartPole-v1"), FlatObservation)
    for coat in (flat, wrap(SlateVectorEnv(2, everyday), FlatObservation)):
        with pytest.raises(gymnasium.error.ResetNeeded, match="reset must be called before step"):
            coat.step(coat.action_space.sample())
    assert isinstance(wrap(SlateVectorEnv(2, everyday), FlatObservation), VectorEnv)
