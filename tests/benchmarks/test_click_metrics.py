"""ROC-AUC and log loss equal their definitions, pair by pair and row by row."""

import math

import numpy as np
import pytest

from benchmarks.real_data.metrics import log_loss, roc_auc


def test_auc_counts_pairs_in_order_and_half_the_ties():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(5, size=60).astype(np.float64), rng.random(60) < 0.3
    won = [np.sign(a - b) / 2 + 0.5 for a in scores[positive] for b in scores[~positive]]
    assert roc_auc(scores, positive) == pytest.approx(np.mean(won), abs=1e-12)
    assert roc_auc(np.zeros(60), positive) == 0.5
    assert roc_auc(positive.astype(np.float64), positive) == 1.0


def test_auc_needs_both_kinds():
    assert math.isnan(roc_auc(np.arange(3.0), np.ones(3, bool)))
    assert math.isnan(roc_auc(np.arange(3.0), np.zeros(3, bool)))


def test_log_loss_is_of_the_chance_given_to_what_happened():
    scores, positive = np.array([-3.0, 0.5, 2.0, 800.0]), np.array([False, True, False, True])
    chance = 1 / (1 + np.exp(-scores))
    given = np.where(positive, chance, 1 - chance)
    assert log_loss(scores, positive) == pytest.approx(-np.log(given).mean())
    assert log_loss(np.array([-800.0]), np.array([True])) == pytest.approx(800.0)
