"""Many users at once: N seats are N single environments, under every mode of autoreset."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from safetensors.numpy import load_file, save_file

from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.policy import HISTORY_FIELDS, REQUEST_FIELDS, Observation, top_items
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.world import World

A = np.ndarray
NUM_ENVS = 4
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


def _singles(world: World, mode: AutoresetMode, **arguments: Any) -> SyncVectorEnv:
    """The same, by Gymnasium's own loop over single environments."""
    return SyncVectorEnv([lambda: SlateEnv(world, **arguments)] * NUM_ENVS, autoreset_mode=mode)


def _assert_same_observations(ours: dict[str, A], theirs: dict[str, A]) -> None:
    assert set(ours) == set(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
        assert ours[name].dtype == theirs[name].dtype


def _assert_same_events(ours: dict[str, Any], theirs: dict[str, Any], seats: A) -> None:
    """Our info says of these seats what theirs says."""
    names = {"clicks", "dwell", "likes", "left", "num_void"} if seats.any() else set()
    assert {name for name in theirs if name in ours and not name.startswith(("_", "final"))} == names
    for name in names:
        np.testing.assert_array_equal(theirs[f"_{name}"], seats)
        assert ours[f"_{name}"][seats].all()
        np.testing.assert_array_equal(ours[name][seats], theirs[name][seats], err_msg=name)
        assert ours[name].dtype == theirs[name].dtype


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("churn", "max_steps", "reward"), [(0.7, 500, "world"), (0.5, 6, "return"), (0.0, 3, "satisfaction")]
)
def test_seats_are_single_environments(
    leaving: Callable[[float], World], mode: AutoresetMode, churn: float, max_steps: int, reward: str
) -> None:
    world = replace(leaving(churn), choice=PositionBased())
    told: dict[str, Any] = {"max_steps": max_steps, "recent_slates": 2, "hidden": ("preference", "satisfaction")}
    ours = SlateVectorEnv(NUM_ENVS, world, autoreset_mode=mode, reward=reward, **told)
    theirs = _singles(world, mode, reward=reward, **told)
    ours.action_space.seed(0)
    # First under seeds, then on with the next users, then some seats anew and some on.
    resets: list[Any] = [5, None, [8, None, 9, None]]
    num_terminated = num_truncated = 0
    for seed in resets:
        _assert_same_observations(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
        ended = np.zeros(NUM_ENVS, bool)
        for _ in range(40):
            actions = ours.action_space.sample()
            mine, others = ours.step(actions), theirs.step(actions)
            _assert_same_observations(mine[0], others[0])
            for ours_now, theirs_now in zip(mine[1:4], others[1:4], strict=True):
                np.testing.assert_array_equal(ours_now, theirs_now)
                assert ours_now.dtype == theirs_now.dtype
            resetting = ended
            ended = mine[2] | mine[3]
            if mode == AutoresetMode.NEXT_STEP:
                _assert_same_events(mine[4], others[4], ~resetting)
                assert (mine[1][resetting] == 0).all()
                for name in ("clicks", "dwell", "likes", "left", "num_void"):
                    np.testing.assert_array_equal(mine[4][f"_{name}"], ~resetting)
            else:
                _assert_same_events(mine[4], others[4], ~ended)
                assert ("final_obs" in mine[4]) == ("final_obs" in others[4]) == bool(ended.any())
                if ended.any():
                    for name in ("_final_obs", "_final_info"):
                        np.testing.assert_array_equal(mine[4][name], ended)
                        np.testing.assert_array_equal(others[4][name], ended)
                    _assert_same_events(mine[4]["final_info"], others[4]["final_info"], ended)
                    for seat in range(NUM_ENVS):
                        if ended[seat]:
                            _assert_same_observations(mine[4]["final_obs"][seat], others[4]["final_obs"][seat])
                        else:
                            assert mine[4]["final_obs"][seat] is None
            num_terminated += int(mine[2].sum())
            num_truncated += int(mine[3].sum())
    assert num_terminated > 10 or churn == 0
    assert num_truncated > 10 or max_steps == 500


def test_a_seat_under_a_seed_is_the_single_environment_whatever_the_number_of_seats(everyday: World) -> None:
    for seat, num_envs in ((0, 1), (2, 3), (4, 40)):
        env, single = SlateVectorEnv(num_envs, everyday), SlateEnv(everyday)
        batch, _ = env.reset(seed=11)
        alone, _ = single.reset(seed=11 + seat)
        actions = np.random.default_rng(seat).integers(60, size=(20, num_envs, 4))
        for action in actions:
            _assert_same_observations({name: values[seat] for name, values in batch.items()}, alone)
            batch, rewards, *_ = env.step(action)
            alone, reward, *_ = single.step(action[seat])
            assert rewards[seat] == reward


def test_disabled_mode_waits_for_a_reset_of_the_seats_that_ended(leaving: Callable[[float], World]) -> None:
    world = leaving(0.8)
    ours = SlateVectorEnv(NUM_ENVS, world, autoreset_mode="Disabled")
    theirs = _singles(world, AutoresetMode.DISABLED)
    ours.action_space.seed(0)
    _assert_same_observations(ours.reset(seed=2)[0], theirs.reset(seed=2)[0])
    num_resets = 0
    for step in range(60):
        actions = ours.action_space.sample()
        mine, others = ours.step(actions), theirs.step(actions)
        _assert_same_observations(mine[0], others[0])
        for i in (1, 2, 3):
            np.testing.assert_array_equal(mine[i], others[i])
        ended = mine[2] | mine[3]
        if ended.any():
            with pytest.raises(ValueError, match="episodes have ended: call reset"):
                ours.step(actions)
            seed = None if step % 2 else 100 + step
            reset, info = ours.reset(seed=seed, options={"reset_mask": ended})
            assert info == {}
            _assert_same_observations(reset, theirs.reset(seed=seed, options={"reset_mask": ended})[0])
            for name, values in reset.items():
                np.testing.assert_array_equal(values[~ended], mine[0][name][~ended])
            num_resets += int(ended.sum())
    assert num_resets > 10


def test_seats_that_were_not_reset_still_wait_for_it(everyday: World) -> None:
    env = SlateVectorEnv(3, everyday, max_steps=1, autoreset_mode="Disabled")
    env.reset(seed=0)
    actions = np.tile(np.arange(4), (3, 1))
    env.step(actions)
    env.reset(options={"reset_mask": np.array([True, False, True])})
    with pytest.raises(ValueError, match="episodes have ended"):
        env.step(actions)
    env.reset(options={"reset_mask": np.array([False, True, False])})
    env.step(actions)


@pytest.mark.parametrize("mode", MODES)
def test_gymnasium_counts_the_returns_of_episodes(leaving: Callable[[float], World], mode: AutoresetMode) -> None:
    env = RecordEpisodeStatistics(SlateVectorEnv(NUM_ENVS, leaving(0.5), max_steps=12, autoreset_mode=mode))
    env.action_space.seed(0)
    env.reset(seed=0)
    totals, lengths, was_over = np.zeros(NUM_ENVS), np.zeros(NUM_ENVS, int), np.zeros(NUM_ENVS, bool)
    num_episodes = 0
    for _ in range(150):
        _, rewards, terminated, truncated, info = env.step(env.action_space.sample())
        over = terminated | truncated
        if mode == AutoresetMode.NEXT_STEP:
            totals[was_over] = lengths[was_over] = 0
        totals += rewards
        lengths += ~was_over if mode == AutoresetMode.NEXT_STEP else 1
        if over.any():
            np.testing.assert_allclose(info["episode"]["r"][over], totals[over])
            np.testing.assert_array_equal(info["episode"]["l"][over], lengths[over])
            num_episodes += int(over.sum())
            if mode == AutoresetMode.SAME_STEP:
                totals[over] = lengths[over] = 0
        was_over = over
    assert num_episodes > 20


def test_make_vec_takes_the_mode_and_the_parameters() -> None:
    env = gymnasium.make_vec(
        "recsim_lab/Everyday-v0", num_envs=2, autoreset_mode="SameStep", num_users=9, num_items=30, max_steps=1
    )
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert SlateVectorEnv.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    env.reset(seed=0)
    info = env.step(env.action_space.sample())[4]
    assert info["_final_obs"].all()


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros((NUM_ENVS, 3), int), r"actions must have shape \(4, 4\), got \(4, 3\)"),
        (np.zeros((NUM_ENVS - 1, 4), int), r"actions must have shape \(4, 4\), got \(3, 4\)"),
        (np.zeros(4, int), r"actions must have shape \(4, 4\), got \(4,\)"),
        (np.full((NUM_ENVS, 4), 70), r"items must be in \[0, 70\), got 70 to 70"),
        (np.zeros((NUM_ENVS, 4)), "actions must be integers, got float64"),
    ],
)
def test_wrong_actions_are_errors(everyday: World, actions: A, message: str) -> None:
    env = SlateVectorEnv(NUM_ENVS, everyday)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(actions)


def test_wrong_resets_are_errors(everyday: World) -> None:
    env = SlateVectorEnv(3, everyday)
    with pytest.raises(ValueError, match="seed must be one number or 3 of them, got 2"):
        env.reset(seed=[1, 2])
    env.reset(seed=0)
    with pytest.raises(ValueError, match="reset_mask must be 3 truth values"):
        env.reset(options={"reset_mask": np.array([0, 1])})
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        SlateVectorEnv(0, everyday)


def test_a_void_slot_is_counted_for_its_seat(everyday: World) -> None:
    env = SlateVectorEnv(3, everyday)
    env.reset(seed=0)
    info = env.step(np.array([[0, 1, 2, 3], [4, 4, 4, 5], [6, 7, 6, 8]]))[4]
    np.testing.assert_array_equal(info["num_void"], [0, 2, 1])


def test_a_policy_reads_the_batch_as_an_observation(everyday: World) -> None:
    env = SlateVectorEnv(5, everyday)
    batch, _ = env.reset(seed=0)
    for _ in range(8):
        batch, *_ = env.step(env.action_space.sample())
    observation = Observation.of(batch | {"hidden": np.zeros(5)}, env.features)
    served = env.seats.sessions.observe(np.arange(5))
    for name in (*REQUEST_FIELDS, *HISTORY_FIELDS):
        np.testing.assert_array_equal(getattr(observation, name), getattr(served, name))
    assert observation.features is env.features and observation.blocked.shape == (5, 0)
    slates = top_items(np.zeros((5, 70)), observation.eligible(), 4)
    assert (env.step(slates)[4]["num_void"] == 0).all()


def test_one_user_is_a_batch_of_one(everyday: World) -> None:
    env = SlateEnv(everyday)
    fields, _ = env.reset(seed=0)
    for action in np.random.default_rng(0).integers(60, size=(8, 4)):
        fields, *_ = env.step(action)
    observation, served = Observation.of(fields, env.features), env.seats.sessions.observe(np.arange(1))
    for name in (*REQUEST_FIELDS, *HISTORY_FIELDS):
        np.testing.assert_array_equal(getattr(observation, name), getattr(served, name))
    del fields["clicked_tick"]
    with pytest.raises(ValueError, match="fields must hold those of an Observation, missing clicked_tick"):
        Observation.of(fields, env.features)


# ---- states that can be kept ------------------------------------------------------------------------------------


def _assert_same(one: Any, two: Any) -> None:
    """Bit by bit, also within tuples, dictionaries and arrays of dictionaries."""
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert set(one) == set(two)
        one, two = list(one.values()), [two[name] for name in one]
    if isinstance(one, (tuple, list)) or (isinstance(one, np.ndarray) and one.dtype == object):
        assert len(one) == len(two)
        for some, others in zip(one, two, strict=True):
            _assert_same(some, others)
    elif isinstance(one, np.ndarray):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    else:
        assert one == two


@pytest.mark.parametrize("mode", [*MODES, AutoresetMode.DISABLED])
@pytest.mark.parametrize("when", [0, 1, 17, 18, 19, 20])
def test_from_a_kept_state_all_goes_on_as_it_did(
    leaving: Callable[[float], World], mode: AutoresetMode, when: int, tmp_path: Path
) -> None:
    """Also between the last step of an episode and the reset that follows, and under later resets without seeds."""
    world = leaving(0.8)
    make = lambda: SlateVectorEnv(NUM_ENVS, world, max_steps=9, recent_slates=2, autoreset_mode=mode)  # noqa: E731
    env, other = make(), make()
    rng = np.random.default_rng(when)
    actions = rng.integers(70, size=(80, NUM_ENVS, 4))

    def live(which: SlateVectorEnv, first: int, end: int) -> list[Any]:
        said: list[Any] = []
        for action in actions[first:end]:
            said.append(which.step(action))
            ended = said[-1][2] | said[-1][3]
            if mode == AutoresetMode.DISABLED and ended.any():
                which.reset(options={"reset_mask": ended})
        which.reset(seed=[None, 5, None, 6])
        which.reset()
        return [*said, which.step(actions[0])]

    observations, _ = env.reset(seed=3)
    for action in actions[:when]:
        observations, _, terminated, truncated, _ = env.step(action)
        ended = terminated | truncated
        if mode == AutoresetMode.DISABLED and ended.any():
            observations, _ = env.reset(options={"reset_mask": ended})
    save_file(env.state(), tmp_path / "state.safetensors")
    before = env.state()
    said = live(env, when, 80)
    assert sum(int((step[2] | step[3]).sum()) for step in said) > 10
    other.reset(seed=8)
    other.step(actions[0])
    _assert_same_observations(other.restore(load_file(tmp_path / "state.safetensors")), observations)
    _assert_same(said, live(other, when, 80))
    # Neither the steps since nor those to come write into a state, so it can be gone back to.
    _assert_same_observations(env.restore(before), observations)
    _assert_same(said, live(env, when, 80))
    env.restore(before)
    _assert_same(env.state(), before)


def test_an_environment_that_was_never_reset_can_be_kept(everyday: World) -> None:
    env, other = SlateVectorEnv(3, everyday), SlateVectorEnv(3, everyday)
    other.restore(env.state())
    _assert_same_observations(env.reset()[0], other.reset()[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": None}, r"must hold the arrays that this environment has, they differ in \['steps'\]"),
        ({"sessions/mood": np.zeros(3)}, r"they differ in \['sessions/mood'\]"),
        ({"ended": np.zeros(2, bool)}, r"ended of a state must be bool of shape \(3,\), got bool of shape \(2,\)"),
        ({"steps": np.zeros(3)}, r"steps of a state must be int64 of shape \(3,\), got float64 of shape \(3,\)"),
    ],
)
def test_a_state_of_another_environment_is_refused(everyday: World, change: dict[str, Any], message: str) -> None:
    env = SlateVectorEnv(3, everyday)
    env.reset(seed=0)
    before = env.state()
    other = SlateVectorEnv(3, everyday)
    other.reset(seed=1)
    wrong = {name: values for name, values in (other.state() | change).items() if values is not None}
    with pytest.raises(ValueError, match=message):
        env.restore(wrong)
    for name, values in env.state().items():
        np.testing.assert_array_equal(values, before[name])
