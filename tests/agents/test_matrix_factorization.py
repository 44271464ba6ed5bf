"""Matrix factorisation: its score, what it does about the unknown, and what it finds."""

import math
from dataclasses import replace

import numpy as np
import pytest

from agents.base import LOWEST
from agents.matrix_factorization import MatrixFactorization
from recsim_lab.interaction_log import empty_log
from recsim_lab.streams import draws_of

A = np.ndarray


def tables(model: MatrixFactorization) -> tuple[A, A]:
    """Vectors and bias of users and of items, in the order of their ids after the unknown one's."""
    return model.network.users.detach().numpy(), model.network.items.detach().numpy()


def test_the_score_is_dot_product_and_biases(log, requests):
    model = MatrixFactorization(dim=3, epochs=2)
    model.learn(log)
    users, items = tables(model)
    scores = model.scores(requests([0, 31, 59], 40))
    for row, user in enumerate((0, 31, 59)):
        for item in range(40):
            products = [users[1 + user, k] * items[1 + item, k] for k in range(3)]
            literal = sum(products) + users[1 + user, 3] + items[1 + item, 3]
            assert scores[row, item] == pytest.approx(literal, abs=1e-5)


@pytest.mark.parametrize(
    "parameters, bias",
    [
        ({}, -math.log(4)),
        ({"num_negatives": 9}, -math.log(9)),
        ({"loss": "softmax"}, 0),
        ({"target": "impressions"}, 0),
    ],
)
def test_item_biases_start_at_the_odds_of_a_click(parameters, bias, log):
    model = MatrixFactorization(dim=3, epochs=1, learning_rate=1e-9, **parameters)
    model.learn(log)
    users, items = tables(model)
    assert items[:, -1] == pytest.approx(np.full(41, bias), abs=1e-5) and users[:, -1] == pytest.approx(0, abs=1e-5)


def test_unknown_users_and_items(log, requests):
    quiet = (log.user == 8) | (log.slate == 11).any(axis=1)
    model = MatrixFactorization(dim=4, epochs=3)
    model.learn(log.take(~quiet))
    scores = model.scores(requests([0, 8, 60, 10_000], 40))
    assert (scores[:, 11] == LOWEST).all() and (np.delete(scores, 11, axis=1) > LOWEST).all()
    np.testing.assert_allclose(scores[1:3], scores[2:4], atol=1e-6)
    users, items = tables(model)
    mean = users[1 + np.setdiff1d(np.arange(60), [8])].mean(axis=0)
    expected = items[1:, :-1] @ mean[:-1] + items[1:, -1] + mean[-1]
    np.testing.assert_allclose(np.delete(scores[2], 11), np.delete(expected, 11), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target, loss", [("catalogue", "bce"), ("impressions", "ranknet")])
def test_users_who_never_clicked_are_newcomers(target, loss, log, requests):
    clicks = log.clicks.copy()
    clicks[log.user == 8] = False
    model = MatrixFactorization(dim=4, epochs=2, target=target, loss=loss)
    model.learn(replace(log, clicks=clicks))
    scores = model.scores(requests([8, 77], 40))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)


def test_pointwise_losses_learn_from_users_who_were_shown_items_and_never_clicked(log, requests):
    clicks = log.clicks.copy()
    clicks[log.user == 8] = False
    model = MatrixFactorization(dim=4, epochs=5, target="impressions", loss="bce")
    model.learn(replace(log, clicks=clicks))
    silent, newcomer = model.scores(requests([8, 77], 40)).mean(axis=1)
    assert silent < newcomer


def test_learning_on_keeps_what_is_known(log, requests):
    model = MatrixFactorization(dim=4, epochs=30, warm_epochs=1)
    model.learn(log.take(log.user < 40))
    before = model.scores(requests(range(40), 40))
    newcomer = tables(model)[0][0].copy()
    model.learn(log)
    users, _ = tables(model)
    assert users.shape == (61, 5) and len(model.curve) == 1 and model.num_learned == 2
    after = model.scores(requests(range(40), 40))
    # One more pass over a few clicks moves little of what thirty built.
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.98
    # New users started as the newcomer and have begun to move.
    assert (np.abs(users[41:] - newcomer).max(axis=1) > 0).all()


def test_learning_on_finds_the_taste_of_new_users(log, requests):
    model = MatrixFactorization(dim=8, warm_epochs=10)
    model.learn(log.take(log.user < 50))
    for _ in range(3):
        model.learn(log)
    best = np.argsort(-model.scores(requests(range(50, 60), 40)), axis=1)[:, :10]
    assert (best % 2 == np.arange(50, 60)[:, None] % 2).mean() > 0.9


def test_smallest_logs(log, requests):
    model = MatrixFactorization(dim=2)
    model.learn(empty_log(requests([0], 5).features, 2, 3, 4))
    observation, draws = requests([0, 1], 5), draws_of(0, np.arange(2))
    assert model.recommend(observation, 3, draws).items.tolist() == [[0, 1, 2]] * 2
    one = replace(
        log.take(np.arange(1)),
        slate=np.zeros((1, 5), np.int32),
        clicks=np.ones((1, 5), bool),
        features=requests([0], 1).features,
    )
    for target in ("catalogue", "impressions"):
        model = MatrixFactorization(dim=2, target=target)
        model.learn(one)
        assert np.isfinite(model.scores(requests([0, 3], 1))).all()


@pytest.mark.parametrize("dim", [0, -1])
def test_parameters_are_checked(dim):
    with pytest.raises(ValueError, match=f"dim must be at least 1, got {dim}"):
        MatrixFactorization(dim=dim)
