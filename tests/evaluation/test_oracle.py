"""References that read the hidden truth, and the best low-rank fit against NumPy."""

import numpy as np
import pytest

from agents.baselines import Popularity, Random
from agents.business_rules import RepeatRules
from recsim_lab.evaluation.oracle import KNOWN, REFERENCES, FixedScores, Oracle, low_rank_fit, make_reference
from recsim_lab.platform import Platform
from recsim_lab.policy import Policy
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.sessions import population_sessions
from recsim_lab.simulation.world import World

A = np.ndarray


@pytest.fixture(scope="module")
def world() -> World:
    return make_world("everyday", num_users=80, num_items=120, num_slots=5, new_items_a_day=0)


@pytest.fixture(scope="module")
def logged(world: World) -> Platform:
    platform = Platform(world, RepeatRules(Random()), seed=1)
    platform.run(6)
    return platform


def _clicks_per_slate(logged: Platform, policy: Policy) -> float:
    twin = logged.fork(policy)
    return float(twin.run(10).clicks.sum(axis=1).mean())


def test_the_oracle_beats_popularity_which_beats_random(logged: Platform) -> None:
    popularity = Popularity()
    popularity.learn(logged.log())
    twin = logged.fork(Random())
    twin.service.policy = RepeatRules(make_reference("oracle", twin.world, twin.service.sessions))
    oracle = float(twin.run(10).clicks.sum(axis=1).mean())
    popular, random = (_clicks_per_slate(logged, RepeatRules(policy)) for policy in (popularity, Random()))
    assert oracle > popular + 0.1
    assert popular > random


def test_the_oracle_shows_the_items_of_highest_true_utility(world: World) -> None:
    sessions = population_sessions(world, seed=0)
    rows = np.array([5, 60, 7])
    sessions.open(rows, np.array([0, 240, 480]))
    requests = sessions.observe(rows)
    oracle = Oracle(world).watch(sessions)
    answer = oracle.recommend(requests, 4, sessions.draws(rows))
    every = np.tile(np.arange(120, dtype=np.int32), (3, 1))
    utility, _ = world.true_utility(sessions.state, rows, every)
    np.testing.assert_array_equal(answer.items, np.argsort(-utility, axis=1)[:, :4])
    np.testing.assert_array_equal(oracle.scores(requests), utility)
    some = np.array([[3, 1], [2, 9], [0, 5]], np.int32)
    np.testing.assert_array_equal(oracle.scores(requests, some), np.take_along_axis(utility, some.astype(int), axis=1))
    assert oracle.name == "oracle" and answer.sources == ("oracle",)


def test_an_oracle_must_watch_somebody(world: World) -> None:
    sessions = population_sessions(world, seed=0)
    rows = np.arange(2)
    sessions.open(rows, np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="must watch the sessions it serves"):
        Oracle(world).scores(sessions.observe(rows))


def test_a_reference_of_each_name(logged: Platform) -> None:
    for name in REFERENCES:
        assert make_reference(name, logged.world, logged.service.sessions).name == name
    with pytest.raises(ValueError, match=r"reference must be one of oracle, oracle-appeal.*got 'delphi'"):
        make_reference("delphi", logged.world, logged.service.sessions)


def test_oracles_that_know_less_know_what_they_know(world: World) -> None:
    """Each component that is known moves scores between users of one request context, or leaves them alike."""
    sessions = population_sessions(world, seed=0)
    rows = np.arange(80)
    sessions.open(rows, np.zeros(80, np.int64))
    requests = sessions.observe(rows)
    spread = {
        name: make_reference(name, world, sessions).scores(requests).std(axis=0).mean()  # type: ignore[attr-defined]
        for name in ("oracle", *KNOWN)
    }
    assert spread["oracle-appeal"] < 1e-5
    for name in ("oracle-features", "oracle-latent", "oracle-intent"):
        assert 0.1 < spread[name] < spread["oracle"]


@pytest.mark.parametrize("rank", [0, 1, 3, 9])
def test_the_low_rank_fit_leaves_what_no_matrix_of_its_rank_explains(rank: int) -> None:
    rng = np.random.default_rng(0)
    utility = (rng.normal(size=(30, 4)) @ rng.normal(size=(4, 9)) + rng.normal(size=(30, 9))).astype(np.float32)
    fit = low_rank_fit(utility, rank)
    rest = utility - utility.mean(axis=0)
    assert np.linalg.matrix_rank(fit - utility.mean(axis=0), tol=1e-3) == min(rank, 9)
    # Eckart and Young: the squared error is the sum of the squared singular values left out.
    sizes = np.sqrt(np.linalg.eigvalsh(rest.T.astype(np.float64) @ rest)[::-1].clip(0))
    np.testing.assert_allclose(((utility - fit) ** 2).sum(), (sizes[rank:] ** 2).sum(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(fit.mean(axis=0), utility.mean(axis=0), atol=1e-5)


def test_fixed_scores_are_those_of_the_table(world: World) -> None:
    sessions = population_sessions(world, seed=0)
    rows = np.array([4, 9])
    sessions.open(rows, np.zeros(2, np.int64))
    table = np.random.default_rng(0).normal(size=(80, 120)).astype(np.float32)
    policy = FixedScores(table, "written down")
    np.testing.assert_array_equal(policy.scores(sessions.observe(rows)), table[[4, 9]])
    some = np.array([[3, 1], [2, 9]], np.int32)
    np.testing.assert_array_equal(policy.scores(sessions.observe(rows), some), table[np.array([[4], [9]]), some])
    assert policy.name == "written down"
