"""Labels stand near what they name and leave each other readable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from recsim_lab.reporting.figures.labels import place_labels, spread

FRAME = np.array([[0.0, 0.0], [300.0, 250.0]])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.floats(0.5, 10))
def test_spread_keeps_order_and_distance(places, gap):
    places = np.array(places)
    order = np.argsort(places, kind="stable")
    result = spread(places, gap)[order]
    assert (np.diff(result) >= gap - 1e-9).all()
    assert result.mean() == pytest.approx(places.mean(), abs=1e-8)
    if (np.diff(places[order]) >= gap).all():
        np.testing.assert_allclose(result, places[order], atol=1e-9)


def test_spread_is_the_nearest_such_arrangement():
    places, gap = np.array([0.0, 1.0, 1.5, 9.0, 9.1, 30.0]), 3.0
    constraints = {"type": "ineq", "fun": lambda x: np.diff(x) - gap}
    best = minimize(lambda x: ((x - places) ** 2).sum(), np.arange(6) * gap, constraints=constraints)
    np.testing.assert_allclose(spread(places, gap), best.x, atol=1e-4)


def boxes_overlap(middles: np.ndarray, sizes: np.ndarray) -> int:
    pairs = np.triu_indices(len(middles), 1)
    apart = np.abs(middles[pairs[0]] - middles[pairs[1]])
    return int((apart < (sizes[pairs[0]] + sizes[pairs[1]]) / 2 - 1e-9).all(axis=1).sum())


def test_labels_of_a_dozen_points_do_not_overlap_and_stay_inside():
    generator = np.random.default_rng(8)
    for _ in range(20):
        points = generator.uniform([20, 20], [280, 230], size=(12, 2))
        sizes = np.column_stack([generator.uniform(20, 70, 12), np.full(12, 9.0)])
        middles = place_labels(points, sizes, FRAME)
        assert boxes_overlap(middles, sizes) == 0
        assert (middles - sizes / 2 >= FRAME[0] - 1e-9).all() and (middles + sizes / 2 <= FRAME[1] + 1e-9).all()


def test_a_lone_label_stands_right_of_its_point_unless_something_is_there():
    point, size = np.array([[150.0, 100.0]]), np.array([[40.0, 9.0]])
    np.testing.assert_allclose(place_labels(point, size, FRAME), [[174.0, 100.0]])
    right = np.array([[[150.0, 98.0], [190.0, 102.0]]])
    np.testing.assert_allclose(place_labels(point, size, FRAME, right), [[126.0, 100.0]])


def test_no_points_no_labels():
    assert place_labels(np.empty((0, 2)), np.empty((0, 2)), FRAME).shape == (0, 2)
