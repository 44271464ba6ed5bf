"""Every user is served over a whole life, with the same luck by every policy; learners never meet who judges them."""

from dataclasses import replace

import numpy as np
import pytest

from agents.registry import make_agent
from recsim_lab.evaluation.lives import Lives, divided, live
from recsim_lab.evaluation.oracle import Oracle
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.sessions import population_sessions
from recsim_lab.simulation.world import World

A = np.ndarray


@pytest.fixture(scope="module")
def world() -> World:
    small = make_world("everyday", num_users=40, num_items=60, num_topics=4, num_slots=4, new_items_a_day=0)
    return replace(small, session_steps=3)


def _random_lives(world: World, max_steps: int, reward: str = "world", seed: int = 5) -> Lives:
    return live(world, lambda sessions: make_agent("random"), seed, max_steps, reward)


def test_a_life_is_that_of_the_user_alone(world: World) -> None:
    """A literal twin: one user after the other, slate after slate, visit after visit."""
    found = _random_lives(world, 20)
    policy = make_agent("random")
    for user in (0, 7, 31):
        sessions, row = population_sessions(world, 5), np.array([user])
        sessions.open(row, sessions.first_visit(row))
        earned = []
        while len(earned) < 20:
            slate = policy.recommend(sessions.observe(row), 4, sessions.draws(row)).items
            response = sessions.answer(row, slate)
            earned.append(float(response.reward[0]))
            if response.left[0]:
                due = sessions.close(row)
                if due[0] >= 2**61:
                    break
                sessions.open(row, due)
        assert found.num_slates[user] == len(earned)
        assert found.first[user] == earned[0]
        assert found.reward[user] == pytest.approx(sum(earned))


def test_lives_end_where_users_leave_or_are_cut_off(world: World) -> None:
    found = _random_lives(world, 30)
    assert found.num_slates.max() == 30 and found.num_slates.min() >= 1
    shorter = _random_lives(world, 8)
    np.testing.assert_array_equal(shorter.num_slates, np.minimum(found.num_slates, 8))
    np.testing.assert_array_equal(shorter.first, found.first)
    dilemma = make_world("lts-dilemma", num_users=10, num_items=20)
    assert (_random_lives(dilemma, 500).num_slates == 60).all()


def test_rewards_are_those_of_the_environments(world: World) -> None:
    clicks = _random_lives(world, 30, "clicks")
    np.testing.assert_array_equal(clicks.reward, _random_lives(world, 30).reward)
    returned = _random_lives(world, 30, "return").reward
    # A visit here has three slates at most, and each but the last may be followed by a return.
    assert returned.max() >= 1 and (returned <= clicks.num_slates).all()
    assert (returned[clicks.num_slates == 1] == 0).all()
    with pytest.raises(ValueError, match=r"reward must be one of world, clicks.*got 'money'"):
        _random_lives(world, 5, "money")
    with pytest.raises(ValueError, match="max_steps must be at least 1, got 0"):
        _random_lives(world, 0)


def test_references_watch_the_sessions_they_serve(world: World) -> None:
    best = live(world, lambda sessions: Oracle(world).watch(sessions), 5, 10)
    assert best.reward.mean() > 1.5 * _random_lives(world, 10).reward.mean()


def test_users_are_divided_and_their_fields_stay(world: World) -> None:
    one, other = divided(world, 0.25, seed=3)
    assert (one.population.num_users, other.population.num_users) == (10, 30)
    both = np.concatenate([one.population.latent, other.population.latent])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(world.population.latent, axis=0))
    assert not (one.population.latent[:, None] == other.population.latent).all(axis=2).any()
    assert one.features.user_fields == other.features.user_fields == world.features.user_fields
    assert one.catalogue is other.catalogue is world.catalogue
    again, _ = divided(world, 0.25, seed=3)
    np.testing.assert_array_equal(one.population.latent, again.population.latent)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"share of 40 users must leave some on either side, got {share}"):
            divided(world, share, seed=3)
