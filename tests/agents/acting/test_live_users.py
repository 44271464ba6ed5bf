"""Lives go on seat by seat: who is gone is seen a last time, and the next user's request waits for a slate."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agents.acting.live_users import LiveUsers
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.policy import Observation
from recsim_lab.simulation.world import World

A = np.ndarray
Seats = Callable[..., SlateVectorEnv]


def _same(one: Observation, other: Observation, rows: A) -> None:
    for name, values in vars(one).items():
        if isinstance(values, np.ndarray):
            np.testing.assert_array_equal(values[rows], getattr(other, name)[rows], err_msg=name)


def _slates(observation: Observation) -> A:
    offered = observation.eligible()
    luck = np.random.default_rng(int(observation.tick.sum())).random(offered.shape)
    return (offered * luck).argsort(axis=1)[:, -3:].astype(np.int32)


def test_the_last_request_of_a_life_and_the_first_of_the_next(seats: Seats) -> None:
    users, env = LiveUsers(seats(8, max_steps=5)), seats(8, max_steps=5)
    users.begin(3)
    # The environment itself, driven by hand, from the same state.
    fields = env.restore(users.state())
    num_gone = 0
    for _ in range(12):
        _same(users.observation, Observation.of(fields, env.features), np.arange(8))
        slates = _slates(users.observation)
        before = users.observation
        outcome = users.step(slates)
        fields, reward, ended, cut, info = env.step(slates)
        _same(outcome.after, Observation.of(fields, env.features), np.arange(8))
        np.testing.assert_array_equal(outcome.clicks, info["clicks"])
        np.testing.assert_array_equal(outcome.reward, reward)
        np.testing.assert_array_equal(outcome.ended, ended)
        np.testing.assert_array_equal(outcome.cut, cut & ~ended)
        gone = ended | cut
        # The old user's clicks are in `after`; the new user has none.
        clicked = outcome.clicks.any(axis=1)
        assert (outcome.after.clicked[gone & clicked, -1] >= 0).all()
        assert (outcome.after.clicked_tick[clicked, -1] == before.tick[clicked]).all()
        assert (users.observation.clicked[gone] == -1).all() and (users.observation.session[gone] == 0).all()
        _same(users.observation, outcome.after, ~gone)
        num_gone += int(gone.sum())
        if gone.any():
            fields, _ = env.reset(options={"reset_mask": gone})
    assert num_gone >= 16


def test_whose_life_ended_is_not_cut_off(everyday: World) -> None:
    """All leave for good at the end of their first visit, some of them at the last step that is allowed."""
    gone = replace(everyday.dynamics[-1], churn=1.0, churn_weight=0.0)
    world = replace(everyday, dynamics=(*everyday.dynamics[:-1], gone), session_steps=3)
    users, env = (LiveUsers(SlateVectorEnv(30, world, max_steps=3, autoreset_mode="Disabled")) for _ in range(2))
    users.begin(0)
    env.restore(users.state())
    num_both = 0
    for _ in range(3):
        slates = _slates(users.observation)
        _, _, ended, cut, _ = env.env.step(slates)
        outcome = users.step(slates)
        np.testing.assert_array_equal(outcome.ended, ended)
        assert not (outcome.ended & outcome.cut).any()
        num_both += int((ended & cut).sum())
        if (ended | cut).any():
            env.env.reset(options={"reset_mask": ended | cut})
    assert num_both > 0


def test_a_kept_state_goes_on(seats: Seats) -> None:
    users, other = LiveUsers(seats()), LiveUsers(seats())
    users.begin(1)
    for _ in range(7):
        users.step(_slates(users.observation))
    other.restore(users.state())
    for _ in range(7):
        _same(users.observation, other.observation, np.arange(8))
        mine, yours = users.step(_slates(users.observation)), other.step(_slates(other.observation))
        np.testing.assert_array_equal(mine.reward, yours.reward)
        np.testing.assert_array_equal(mine.clicks, yours.clicks)


def test_users_follow_from_the_seed_and_are_others_under_the_next(seats: Seats) -> None:
    """Seat 1 under seed 4 would be seat 0 under seed 5 if seeds were taken as they are."""
    users = [LiveUsers(seats()) for _ in range(3)]
    for one, seed in zip(users, (4, 4, 5), strict=True):
        one.begin(seed)
    _same(users[0].observation, users[1].observation, np.arange(8))
    seeds = [one.state()["sessions/seed"] for one in users]
    assert not np.intersect1d(seeds[0], seeds[2]).size


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_seats_that_reset_themselves_are_an_error(seats: Seats, mode: str) -> None:
    with pytest.raises(ValueError, match=r"autoreset_mode of an environment to learn in must be DISABLED.*got .*"):
        LiveUsers(seats(autoreset_mode=mode))


def test_a_description_tells_catalogues_seats_and_slots_apart(seats: Seats, everyday: World) -> None:
    users = LiveUsers(seats())
    assert users.description == LiveUsers(seats()).description
    others = [LiveUsers(seats(9)), LiveUsers(seats(num_slots=2)), LiveUsers(seats())]
    column = next(iter(users.features.items))
    changed = users.features.items[column].copy()
    changed[0] = 1 - changed[0]
    others[2].features = replace(users.features, items={**users.features.items, column: changed})
    assert len({users.description, *(other.description for other in others)}) == 4
