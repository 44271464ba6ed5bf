"""EASE and ItemKNN against literal twins, and the histories they score."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from agents.ease import EASE, ease_weights
from agents.item_neighbours import ItemKNN, nearest_neighbours
from agents.item_to_item import click_matrix
from recsim_lab.interaction_log import empty_log
from recsim_lab.streams import draws_of


def random_clicks(seed: int, num_users: int = 12, num_items: int = 7):
    return (np.random.default_rng(seed).random((num_users, num_items)) < 0.4).astype(np.float32)


def test_click_matrix_counts_a_pair_once(log):
    expected = np.zeros((60, 40))
    for user, slate, clicks in zip(log.user, log.slate, log.clicks, strict=True):
        expected[user, slate[clicks]] = 1
    assert log.clicks.sum() > expected.sum()
    assert np.array_equal(click_matrix(log).toarray(), expected)


def test_histories_join_the_log_and_the_request(log, requests):
    agent = EASE()
    agent.learn(log)
    known = click_matrix(log).toarray()
    recent = [[int(np.flatnonzero(known[5])[0]), 3], [7, 7], [], [1], [38, 39]]
    users = [5, 59, 0, 60, 1_000]
    histories = agent.histories(requests(users, 40, clicked=recent)).toarray()
    for row, user in enumerate(users):
        expected = known[user].copy() if user < 60 else np.zeros(40)
        expected[recent[row]] = 1
        assert np.array_equal(histories[row], expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), shrinkage=st.sampled_from([0.0, 2.5]), num_neighbours=st.integers(1, 8))
def test_neighbours_against_a_literal_twin(seed, shrinkage, num_neighbours):
    clicks = random_clicks(seed)
    similarity = np.zeros((7, 7))
    for i in range(7):
        for j in range(7):
            common = (clicks[:, i] * clicks[:, j]).sum()
            if i != j and common:
                similarity[i, j] = common / (np.sqrt(clicks[:, i].sum() * clicks[:, j].sum()) + shrinkage)
    expected = np.zeros((7, 7))
    for item in range(7):
        nearest = np.argsort(-similarity[item], kind="stable")
        kept = [j for j in nearest if j != item][:num_neighbours]
        expected[kept, item] = similarity[item, kept]
    weights = nearest_neighbours(csr_array(clicks), num_neighbours, shrinkage)
    assert weights.dtype == np.float32
    # Which of two neighbours of nearly equal similarity is kept may depend on rounding, how much they sum to not.
    ours = weights.toarray()
    np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(expected, axis=0), rtol=1e-5)
    np.testing.assert_allclose(ours[ours > 0], similarity.T[ours > 0], rtol=1e-5)


@pytest.mark.parametrize("agent", [EASE(regularization=2.0), ItemKNN(num_neighbours=4)], ids=["ease", "item-knn"])
def test_scores_sum_weights_over_the_history(agent, log, requests):
    agent.learn(log)
    known = click_matrix(log).toarray()
    if isinstance(agent, EASE):
        gram = known.T @ known + 2.0 * np.eye(40)
        inverse = np.linalg.inv(gram)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
    else:
        weights = nearest_neighbours(csr_array(known.astype(np.float32)), 4, agent.shrinkage).toarray()
    history = known[9].copy()
    history[2] = 1
    scores = agent.scores(requests([9], 40, clicked=[[2]]))
    np.testing.assert_allclose(scores[0], history @ weights, rtol=1e-3, atol=1e-4)
    chosen = np.array([[4, 0, 39]])
    assert np.array_equal(agent.scores(requests([9], 40, clicked=[[2]]), chosen), scores[:, chosen[0]])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_ease_is_the_minimum(seed):
    """No weight off the diagonal can be changed to lower the loss: its gradient is zero there."""
    clicks = random_clicks(seed).astype(np.float64)
    weights = ease_weights(clicks.T @ clicks, 3.0).astype(np.float64)
    gradient = clicks.T @ (clicks @ weights - clicks) + 3.0 * weights
    np.testing.assert_allclose(gradient[~np.eye(7, dtype=bool)], 0, atol=2e-4)
    assert (np.diag(weights) == 0).all()


@pytest.mark.parametrize("agent", [EASE(), ItemKNN()], ids=["ease", "item-knn"])
def test_items_without_clicks_score_zero(agent, log, requests):
    agent.learn(replace(log, clicks=log.clicks & (log.slate != 6)))
    scores = agent.scores(requests([0, 1], 40))
    assert (scores[:, 6] == 0).all() and (scores[:, 7] != 0).all()


@pytest.mark.parametrize("agent", [EASE(), ItemKNN()], ids=["ease", "item-knn"])
def test_new_users_get_popularity_until_they_click(agent, log, requests):
    agent.learn(log)
    count = click_matrix(log).sum(axis=0)
    new = agent.scores(requests([77, 78], 40, clicked=[[], [2, 4]]))
    np.testing.assert_allclose(new[0], count / count.sum(), rtol=1e-6)
    best = np.argsort(-new[1])[:5]
    assert (best % 2 == 0).all()


@pytest.mark.parametrize("agent", [EASE(), ItemKNN()], ids=["ease", "item-knn"])
def test_scores_do_not_depend_on_the_batch(agent, log):
    agent.learn(log)
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    whole = agent.scores(observation)
    for row in range(0, 60, 7):
        assert np.array_equal(agent.scores(observation.take(np.array([row])))[0], whole[row])


@pytest.mark.parametrize("agent", [EASE(), ItemKNN()], ids=["ease", "item-knn"])
def test_smallest_logs(agent, log, requests):
    agent.learn(empty_log(requests([0], 5).features, 2, 3, 4))
    answer = agent.recommend(requests([0, 1], 5, clicked=[[3], []]), 3, draws_of(0, np.arange(2)))
    assert answer.items.tolist() == [[0, 1, 2]] * 2
    one = replace(log.take(np.arange(1)), slate=np.zeros((1, 5), np.int32), features=requests([0], 1).features)
    agent.learn(one)
    assert agent.recommend(requests([0, 9], 1), 1, draws_of(0, np.arange(2))).items.tolist() == [[0], [0]]


def test_parameters_are_checked():
    for wrong in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="regularization must be above 0"):
            EASE(regularization=wrong)
    with pytest.raises(ValueError, match="num_neighbours must be at least 1, got 0"):
        ItemKNN(num_neighbours=0)
    with pytest.raises(ValueError, match="shrinkage must be at least 0"):
        ItemKNN(shrinkage=-1.0)
