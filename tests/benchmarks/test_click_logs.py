"""Pairs become a log from which agents learn, and requests that add nothing to it."""

import numpy as np

from agents.ease import EASE
from agents.item_to_item import click_matrix
from benchmarks.real_data.clicks import click_log, requests_of


def test_pairs_become_clicks_in_their_order():
    user, item = np.array([2, 0, 2, 0, 4]), np.array([5, 1, 0, 3, 5])
    log = click_log(user, item, 7)
    matrix = np.zeros((5, 7))
    matrix[user, item] = 1
    assert np.array_equal(click_matrix(log).toarray(), matrix)
    assert log.user.tolist() == [0, 0, 2, 2, 4] and log.slate[:, 0].tolist() == [1, 3, 5, 0, 5]
    assert log.step.tolist() == [0, 1, 0, 1, 0] and log.left.tolist() == [False, True, False, True, True]
    assert log.features.num_items == 7 and np.isnan(log.propensity).all()


def test_no_pairs():
    nothing = np.zeros(0, np.int32)
    assert len(click_log(nothing, nothing, 3)) == 0


def test_requests_are_answered_from_what_was_learned():
    rng = np.random.default_rng(0)
    user, item = np.nonzero(rng.random((9, 6)) < 0.5)
    log = click_log(user, item, 6)
    agent = EASE()
    agent.learn(log)
    requests = requests_of(np.array([8, 3]), log)
    assert np.array_equal(agent.histories(requests).toarray(), click_matrix(log).toarray()[[8, 3]])
    assert requests.eligible().all()
