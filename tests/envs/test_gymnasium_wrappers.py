"""Gymnasium's own wrappers run around the environments, single and vector, and their numbers are right."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, flatten
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import FlattenObservation, FrameStackObservation, RecordEpisodeStatistics, TimeLimit
from gymnasium.wrappers import vector as wrappers

import recsim_lab  # noqa: F401  (registers the environments)
from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.envs.wrappers import CandidateSets, FlatObservation, wrap
from recsim_lab.simulation.world import World

A = np.ndarray


def _actions(env: gymnasium.Env, number: int) -> list[A]:
    env.action_space.seed(0)
    return [env.action_space.sample() for _ in range(number)]


# ---- one user ----------------------------------------------------------------------------------------------------


def test_returns_of_episodes_are_the_sums_of_their_rewards(leaving: Callable[[float], World]) -> None:
    env = RecordEpisodeStatistics(wrap(SlateEnv(leaving(0.5), reward="dwell"), CandidateSets, num_candidates=8))
    env.reset(seed=0)
    total, length, num_episodes = 0.0, 0, 0
    for action in _actions(env, 150):
        _, reward, terminated, truncated, info = env.step(action)
        total, length = total + float(reward), length + 1
        if terminated or truncated:
            assert info["episode"]["r"] == pytest.approx(total) and info["episode"]["l"] == length
            env.reset()
            total, length, num_episodes = 0.0, 0, num_episodes + 1
    assert num_episodes > 5


def test_flattened_observations_hold_every_field(everyday: World) -> None:
    env, flat = SlateEnv(everyday, recent_slates=2), FlattenObservation(SlateEnv(everyday, recent_slates=2))
    space = env.observation_space
    assert isinstance(space, Dict) and isinstance(flat.observation_space, Box)
    fields, vector = env.reset(seed=0)[0], flat.reset(seed=0)[0]
    for action in _actions(env, 30):
        np.testing.assert_array_equal(vector, flatten(space, fields))
        assert flat.observation_space.contains(vector)
        assert len(vector) == sum(values.size for values in fields.values())
        fields, vector = env.step(action)[0], flat.step(action)[0]


def test_stacked_frames_are_the_last_observations(everyday: World) -> None:
    env, stacked = SlateEnv(everyday), FrameStackObservation(SlateEnv(everyday), 3)
    told = [env.reset(seed=0)[0]] * 3
    frames = stacked.reset(seed=0)[0]
    for action in _actions(env, 20):
        for name, values in frames.items():
            np.testing.assert_array_equal(values, [fields[name] for fields in told[-3:]])
        told.append(env.step(action)[0])
        frames = stacked.step(action)[0]


def test_views_stand_among_wrappers_of_gymnasium(everyday: World) -> None:
    """Around a time limit and under frames: views read what the environment inside tells."""
    env = FrameStackObservation(wrap(TimeLimit(SlateEnv(everyday), 5), FlatObservation), 2)
    plain = wrap(SlateEnv(everyday), FlatObservation)
    told = [plain.reset(seed=0)[0]] * 2
    frames = env.reset(seed=0)[0]
    for step, action in enumerate(_actions(env, 5)):
        np.testing.assert_array_equal(frames, told[-2:])
        told.append(plain.step(action)[0])
        frames, _, _, truncated, _ = env.step(action)
        assert truncated == (step == 4)


# ---- many users --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_returns_of_many_episodes_are_the_sums_of_their_rewards(
    leaving: Callable[[float], World], mode: AutoresetMode
) -> None:
    plain = SlateVectorEnv(4, leaving(0.5), max_steps=12, autoreset_mode=mode)
    env = wrappers.RecordEpisodeStatistics(wrap(plain, CandidateSets, num_candidates=8))
    env.reset(seed=0)
    rewards: list[list[float]] = [[] for _ in range(4)]
    num_episodes, over = 0, np.zeros(4, bool)
    for action in _actions(env, 120):
        _, paid, terminated, truncated, info = env.step(action)
        for seat in range(4):
            if mode == AutoresetMode.NEXT_STEP and over[seat]:
                rewards[seat] = []
            else:
                rewards[seat].append(paid[seat])
        over = terminated | truncated
        for seat in np.flatnonzero(over):
            assert info["episode"]["r"][seat] == pytest.approx(sum(rewards[seat]))
            assert info["episode"]["l"][seat] == len(rewards[seat])
            num_episodes += 1
            rewards[seat] = []
    assert num_episodes > 20


def test_vector_wrappers_see_what_single_ones_see(leaving: Callable[[float], World]) -> None:
    """In the mode of next steps: Gymnasium's own wrappers of observations refuse the other."""

    def of_many(env: Any) -> Any:
        flat = wrappers.FlattenObservation(wrappers.FilterObservation(env, ["clicked", "tick", "recent_clicks"]))
        return wrappers.TransformReward(wrappers.DtypeObservation(flat, np.float32), lambda reward: 2 * reward)

    told: dict[str, Any] = {"world": leaving(0.7), "recent_slates": 2}
    env, plain = of_many(SlateVectorEnv(3, **told)), SlateVectorEnv(3, **told)
    some = Dict({name: plain.single_observation_space[name] for name in ("clicked", "tick", "recent_clicks")})

    def flat(fields: dict[str, A]) -> A:
        return flatten(some, {name: fields[name] for name in some}).astype(np.float32)

    told_plain, told_many = plain.reset(seed=1)[0], env.reset(seed=1)[0]
    num_ends = 0
    for action in _actions(plain, 40):
        np.testing.assert_array_equal(told_many, [flat({n: v[i] for n, v in told_plain.items()}) for i in range(3)])
        told_plain, paid, terminated, *_ = plain.step(action)
        told_many, doubled, *_ = env.step(action)
        np.testing.assert_array_equal(doubled, 2 * paid)
        num_ends += int(terminated.sum())
    assert num_ends > 5
    with pytest.raises(ValueError, match="autoreset_mode to be NEXT_STEP or DISABLED"):
        of_many(SlateVectorEnv(3, autoreset_mode=AutoresetMode.SAME_STEP, **told))


def test_infos_as_a_list_are_those_of_single_environments(everyday: World) -> None:
    env = wrappers.DictInfoToList(SlateVectorEnv(3, everyday))
    singles = [SlateEnv(everyday) for _ in range(3)]
    env.reset(seed=5)
    for seat, single in enumerate(singles):
        single.reset(seed=5 + seat)
    for action in _actions(env, 10):
        infos = env.step(action)[4]
        for seat, single in enumerate(singles):
            expected = single.step(action[seat])[4]
            assert set(infos[seat]) == set(expected)
            for name, values in expected.items():
                np.testing.assert_array_equal(infos[seat][name], values)


def test_registered_environments_are_vectorised_and_seen_through_views() -> None:
    made: dict[str, Any] = {"num_users": 20, "num_items": 60, "num_slots": 2}
    inside = gymnasium.make_vec("recsim_lab/Everyday-v0", num_envs=3, **made)
    env = wrappers.NormalizeReward(wrap(inside, CandidateSets, num_candidates=7))
    assert isinstance(env.unwrapped, SlateVectorEnv)
    assert env.single_action_space == gymnasium.spaces.MultiDiscrete([7, 7])
    looped = gymnasium.make_vec(
        "recsim_lab/Everyday-v0",
        num_envs=3,
        vectorization_mode="sync",
        wrappers=[lambda env: wrap(env, CandidateSets, num_candidates=7)],
        **made,
    )
    np.testing.assert_array_equal(env.reset(seed=2)[0], looped.reset(seed=2)[0])
    for action in _actions(env, 10):
        np.testing.assert_array_equal(env.step(action)[0], looped.step(action)[0])
