"""Ratings as a log: visits, features, and requests that know only the past."""

import numpy as np

from recsim_lab.datasets import load_sample
from recsim_lab.evaluation.rating_log import rating_log
from recsim_lab.policy import NEVER


def test_the_sample_as_a_log():
    ratings = load_sample()
    log = rating_log(ratings)
    assert len(log) == ratings.num_ratings and log.clicks.all()
    assert np.array_equal(log.slate[:, 0], ratings.item) and np.array_equal(log.reward, ratings.rating)
    assert np.isnan(log.propensity).all() and (np.diff(log.tick) >= 0).all()
    assert np.array_equal(log.likes[:, 0], ratings.rating >= 4)
    rated = np.bincount(ratings.item, minlength=ratings.num_items) > 0
    assert (log.features.release[~rated] == NEVER).all() and (log.features.release[log.slate[:, 0]] <= log.tick).all()


def test_visits_end_where_a_day_passes():
    ratings = load_sample()
    log = rating_log(ratings)
    for user in (0, 17, 400):
        rows = np.flatnonzero(log.user == user)
        session, step = 0, 0
        for before, row in zip([None, *rows[:-1]], rows, strict=True):
            if before is not None:
                new = log.tick[row] - log.tick[before] > 1440
                session, step = (session + 1, 0) if new else (session, step + 1)
            assert (log.session[row], log.step[row]) == (session, step)


def test_requests_know_what_was_rated_before_and_nothing_later():
    log = rating_log(load_sample())
    rows = np.flatnonzero(log.user == 3)
    observation = log.observations(rows)
    for place in (0, 1, len(rows) - 1):
        clicked = observation.clicked[place]
        expected = log.slate[rows[:place], 0][-log.history :]
        assert np.array_equal(clicked[clicked >= 0], expected)
