"""Inverse propensities undo a choice of what to rate, weights have no scale, and nothing is chosen on test ratings."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.real_data import coat as benchmark
from benchmarks.real_data.coat import Settings, choose, train
from recsim_lab.datasets.coat import Coat, RatedPairs

ALIKE = Settings(dim=1, weight_decay=3.0, epochs=40)


@pytest.fixture(scope="module")
def world():
    """Users rate what they like ten times as often as what they don't; ratings are 1 or 5 at random."""
    rng = np.random.default_rng(0)
    shape = (60, 50)
    rating = np.where(rng.random(shape) < 0.5, 5.0, 1.0).astype(np.float32)
    propensities = np.where(rating > 3, 0.5, 0.05).astype(np.float32)
    in_train = rng.random(shape) < propensities
    in_test = ~in_train & (rng.random(shape) < 0.5)

    def pairs(chosen):
        user, item = np.nonzero(chosen)
        return RatedPairs(user.astype(np.int32), item.astype(np.int32), rating[chosen])

    nothing = np.zeros((60, 0), bool), np.zeros((50, 0), bool)
    return Coat(pairs(in_train), pairs(in_test), propensities, *nothing)


def everywhere(num_users=60, num_items=50):
    user, item = np.nonzero(np.ones((num_users, num_items)))
    return RatedPairs(user.astype(np.int32), item.astype(np.int32), np.zeros(len(user), np.float32))


def test_inverse_propensities_undo_the_choice(world):
    naive = train(world, world.train, np.ones(len(world.train.rating)), ALIKE, seed=0)[0](everywhere())
    weighted = train(world, world.train, 1 / world.train_propensities, ALIKE, seed=0)[0](everywhere())
    # All ratings have mean 3; of the chosen ones, 10 of 11 are 5, which is a mean of 4.6.
    assert naive.mean() == pytest.approx(4.6, abs=0.15)
    assert weighted.mean() == pytest.approx(3.0, abs=0.5)


def test_weights_have_no_scale_and_seeds_decide(world):
    weights = 1 / world.train_propensities.astype(np.float64)
    one, same, other = (
        train(world, world.train, w, ALIKE, seed)[0](world.test)
        for w, seed in ((weights, 3), (8 * weights, 3), (weights, 4))
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0


def test_settings_are_those_of_the_least_held_out_error_without_the_test(world, monkeypatch):
    monkeypatch.setattr(benchmark, "DIMS", (2,))
    monkeypatch.setattr(benchmark, "WEIGHT_DECAYS", (0.01, 0.5))
    monkeypatch.setattr(benchmark, "MOST_EPOCHS", 12)
    asked = []

    def errors(coat, weights, settings, held_out):
        asked.append((settings.weight_decay, held_out))
        return [1.0, 0.7 if settings.weight_decay == 0.5 else 0.9, 0.8]

    blind = replace(world, test=RatedPairs(*(np.zeros(0, t) for t in (np.int32, np.int32, np.float32))))
    found = choose(blind, np.ones(len(world.train.rating)))
    assert found.weight_decay in (0.01, 0.5) and 1 <= found.epochs <= 12
    monkeypatch.setattr(benchmark, "_held_out", errors)
    assert choose(blind, np.ones(len(world.train.rating))) == Settings(2, 0.5, 2)
    # Each rating is held out once for each of the two settings.
    np.testing.assert_array_equal(sum(held_out.astype(int) for _, held_out in asked), 2)
