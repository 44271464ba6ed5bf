"""iALS against literal least squares: each half step is the minimum, and requests are answered by such a step."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from agents import implicit_als
from agents.implicit_als import ImplicitALS, batches
from agents.item_to_item import click_matrix
from recsim_lab.interaction_log import empty_log
from recsim_lab.streams import draws_of


def random_clicks(seed: int, num_users: int = 15, num_items: int = 9, share: float = 0.3) -> csr_array:
    return csr_array((np.random.default_rng(seed).random((num_users, num_items)) < share).astype(np.float32))


def random_vectors(seed: int, num: int, dim: int):
    return np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)


def objective(agent: ImplicitALS, clicks: csr_array, users, items) -> float:
    """What the model minimises, term by term."""
    scores, known = users.astype(np.float64) @ items.T.astype(np.float64), clicks.toarray()
    total = (known * (1 - scores) ** 2).sum() + agent.unobserved_weight * (scores**2).sum()
    for vectors, count, num_others in ((users, known.sum(axis=1), len(items)), (items, known.sum(axis=0), len(users))):
        penalty = agent.regularization * (count + agent.unobserved_weight * num_others) ** agent.frequency_exponent
        total += (penalty * (vectors.astype(np.float64) ** 2).sum(axis=1)).sum()
    return total


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    dim=st.integers(1, 6),
    weight=st.sampled_from([0.01, 0.3, 2.0]),
    exponent=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_half_step_is_weighted_least_squares(seed, dim, weight, exponent):
    """Row by row: a click is a target of 1 with weight 1, every pair a target of 0 with the unobserved weight."""
    clicks, items = random_clicks(seed), random_vectors(seed, 9, dim)
    agent = ImplicitALS(dim=dim, unobserved_weight=weight, frequency_exponent=exponent, regularization=0.05)
    expected = np.zeros((15, dim))
    for user, known in enumerate(clicks.toarray()):
        penalty = 0.05 * (known.sum() + weight * 9) ** exponent
        design = np.concatenate([items[known > 0], np.sqrt(weight) * items, np.sqrt(penalty) * np.eye(dim)])
        target = np.concatenate([np.ones(int(known.sum())), np.zeros(9 + dim)])
        expected[user] = np.linalg.lstsq(design, target)[0]
    np.testing.assert_allclose(agent.solve(clicks, items), expected, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
@pytest.mark.parametrize("dim", [3, 20])
def test_the_objective_falls_with_every_half_step(dim, exponent):
    clicks = random_clicks(1, 60, 40, 0.15)
    agent = ImplicitALS(dim=dim, frequency_exponent=exponent, regularization=0.02)
    items, by_item = random_vectors(2, 40, dim), csr_array(clicks.T)
    values = []
    for _ in range(6):
        users = agent.solve(clicks, items)
        values.append(objective(agent, clicks, users, items))
        items = agent.solve(by_item, users)
        values.append(objective(agent, clicks, users, items))
    steps = np.diff(values) / values[0]
    assert (steps < 1e-6).all() and steps[0] < -1e-3


def test_learning_is_alternating_least_squares(log):
    clicks = click_matrix(log)
    agent = ImplicitALS(dim=5, epochs=3, initial_scale=2.0, seed=4)
    agent.learn(log)
    first = np.random.default_rng(4).standard_normal((40, 5), np.float32)
    items = (first * np.float32(2.0 / np.sqrt(5))).astype(np.float32)
    for _ in range(3):
        items = agent.solve(csr_array(clicks.T), agent.solve(clicks, items))
    np.testing.assert_allclose(agent.items, items, rtol=1e-4, atol=1e-6)


def test_known_users_are_folded_in_to_the_vectors_they_were_learned_with(log, requests):
    """After convergence users and items solve each other's equations, and requests are answered by these users."""
    agent = ImplicitALS(dim=4, epochs=500, regularization=0.02)
    agent.learn(log)
    clicks = click_matrix(log)
    users = agent.solve(clicks, agent.items)
    np.testing.assert_allclose(agent.solve(csr_array(clicks.T), users), agent.items, atol=2e-4)
    scores = agent.scores(requests(range(60), 40))
    np.testing.assert_allclose(scores, users @ agent.items.T, atol=1e-5)
    assert scores.std() > 0.05


def test_new_clicks_are_answered_without_learning(log, requests):
    """A request's clicks are as good as the log's, whoever the user is, and repeated ones count once."""
    agent = ImplicitALS(dim=6)
    agent.learn(log)
    known = np.flatnonzero(click_matrix(log).toarray()[7])
    new, old = agent.scores(requests([900, 7], 40, clicked=[[*known, 4, 4], [4]]))
    np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-6)
    assert (agent.scores(requests([7], 40))[0] != old).any()


def test_numbers_of_users_mean_nothing(log):
    """As each item's penalty counts the users, those who clicked nothing must not be among them."""
    agents = []
    for user in (log.user, 7 * log.user):
        agents.append(ImplicitALS(dim=6, frequency_exponent=1.0))
        agents[-1].learn(replace(log, user=user.astype(log.user.dtype)))
    assert np.array_equal(agents[0].items, agents[1].items)


def test_users_without_clicks_get_popularity(log, requests):
    agent = ImplicitALS(dim=6)
    agent.learn(log)
    count = click_matrix(log).sum(axis=0)
    np.testing.assert_allclose(agent.scores(requests([77], 40))[0], count / count.sum(), rtol=1e-6)


def test_items_without_clicks_score_zero(log, requests):
    agent = ImplicitALS(dim=6)
    agent.learn(replace(log, clicks=log.clicks & (log.slate != 6)))
    scores = agent.scores(requests([0, 1], 40))
    assert (scores[:, 6] == 0).all() and (scores[:, 7] != 0).all()


def test_a_seed_is_a_run(log, requests):
    """Equal seeds agree to the bit, `learn` starts anew, and other seeds lead elsewhere."""
    scores = {}
    for name, seed, times in (("one", 1, 1), ("again", 1, 1), ("twice", 1, 2), ("other", 2, 1)):
        agent = ImplicitALS(dim=6, epochs=3, seed=seed)
        for _ in range(times):
            agent.learn(log)
        scores[name] = agent.scores(requests(range(60), 40))
    assert np.array_equal(scores["one"], scores["again"]) and np.array_equal(scores["one"], scores["twice"])
    assert not np.allclose(scores["one"], scores["other"], atol=1e-4)


def test_scores_do_not_depend_on_the_batch(log):
    agent = ImplicitALS(dim=12)
    agent.learn(log)
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    whole = agent.scores(observation)
    for row in range(0, 60, 7):
        np.testing.assert_allclose(agent.scores(observation.take(np.array([row])))[0], whole[row], atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), dim=st.sampled_from([1, 7, 128]), largest=st.sampled_from([0, 3, 50, 40_000]))
def test_every_row_with_clicks_is_in_one_batch(seed, dim, largest):
    count = np.random.default_rng(seed).integers(largest + 1, size=300)
    seen = []
    for rows, longest in batches(count, dim):
        assert longest == count[rows].max()
        assert len(rows) == 1 or len(rows) * max(longest, dim) <= implicit_als._BATCH_PAIRS
        seen.extend(rows.tolist())
    assert sorted(seen) == np.flatnonzero(count).tolist()


def test_smallest_logs(log, requests):
    agent = ImplicitALS()
    agent.learn(empty_log(requests([0], 5).features, 2, 3, 4))
    answer = agent.recommend(requests([0, 1], 5, clicked=[[3], []]), 3, draws_of(0, np.arange(2)))
    assert answer.items.tolist() == [[0, 1, 2]] * 2
    one = replace(log.take(np.arange(1)), slate=np.zeros((1, 5), np.int32), features=requests([0], 1).features)
    agent.learn(one)
    assert agent.recommend(requests([0, 9], 1), 1, draws_of(0, np.arange(2))).items.tolist() == [[0], [0]]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"unobserved_weight": 0.0}, "unobserved_weight must be above 0 and finite, got 0.0"),
        ({"regularization": float("nan")}, "regularization must be above 0 and finite, got nan"),
        ({"initial_scale": float("inf")}, "initial_scale must be above 0 and finite, got inf"),
        ({"frequency_exponent": 1.5}, r"frequency_exponent must be in \[0, 1\], got 1.5"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_parameters_are_checked(wrong, message):
    with pytest.raises(ValueError, match=message):
        ImplicitALS(**wrong)


def test_too_little_regularization_is_said():
    agent = ImplicitALS(dim=30, regularization=1e-30)
    with pytest.raises(ValueError, match="regularization must make the equations positive definite in float32"):
        agent.solve(random_clicks(0), np.ones((9, 30), np.float32))
