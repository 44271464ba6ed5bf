"""The logged slate as a protocol: order within slates, and scores as probabilities."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsim_lab.evaluation.protocols.slates import calibration_error, log_loss, slate_metrics
from recsim_lab.policy import Scorer, gather
from recsim_lab.testing import planted_log


@dataclass(eq=False)
class Fixed(Scorer):
    """Scores that depend on the item alone."""

    values: np.ndarray

    @property
    def name(self) -> str:
        return "fixed"

    def scores(self, observation, items=None):
        return gather(np.broadcast_to(self.values, (len(observation), len(self.values))), items)


def of_clicks(policy, log, test, **options):
    return slate_metrics(policy, log, test, {"click": log.clicks.astype(np.float32)}, **options)["click"]


def test_literal_metrics():
    log = planted_log().take(slice(0, 40))
    values = np.random.default_rng(0).normal(size=log.features.num_items).astype(np.float32)
    test = np.arange(40) % 2 == 0
    found = of_clicks(Fixed(values), log, test, cutoffs=(3,), batch=7)
    losses, squares, aucs, pairs = [], [], [], []
    for row in np.flatnonzero(test):
        of_row = values[log.slate[row]].astype(np.float64)
        clicked = log.clicks[row]
        chance = 1 / (1 + np.exp(-of_row))
        losses += [-np.log(c if hit else 1 - c) for c, hit in zip(chance, clicked, strict=True)]
        squares += [(c - hit) ** 2 for c, hit in zip(chance, clicked, strict=True)]
        won = [(a > b) + (a == b) / 2 for a in of_row[clicked] for b in of_row[~clicked]]
        if won:
            aucs.append(np.mean(won))
        pairs += list(zip(of_row, clicked, strict=True))
    pooled = [(a > b) + (a == b) / 2 for a, hit in pairs if hit for b, other in pairs if not other]
    assert found["log_loss"] == pytest.approx(np.mean(losses))
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(squares)))
    assert found["auc"] == pytest.approx(np.mean(aucs))
    assert found["auc_pooled"] == pytest.approx(np.mean(pooled))
    assert 0 <= found["ndcg@3"] <= 1


def test_a_sample_of_slates_is_decided_by_the_seed():
    log = planted_log()
    values = np.arange(log.features.num_items, dtype=np.float32) / 10
    every = np.ones(len(log), bool)
    first, again, other = (of_clicks(Fixed(values), log, every, max_slates=50, seed=s) for s in (1, 1, 2))
    assert first == again != other


def test_a_policy_without_scores_has_no_metrics():
    from agents.baselines import Random

    log = planted_log()
    assert of_clicks(Random(), log, np.ones(len(log), bool)) == {}
    assert of_clicks(Fixed(np.zeros(log.features.num_items)), log, np.zeros(len(log), bool)) == {}


def test_each_target_is_judged_by_its_own_gains_where_they_are_known():
    log = planted_log()
    policy = Fixed(np.random.default_rng(1).normal(size=log.features.num_items).astype(np.float32))
    every, gains = np.ones(len(log), bool), log.clicks.astype(np.float32)
    some = gains.copy()
    some[::2] = np.nan
    told = slate_metrics(policy, log, every, {"all": gains, "odd": some, "none": np.full_like(gains, np.nan)})
    assert told["all"] == of_clicks(policy, log, every)
    assert told["odd"] == of_clicks(policy, log, np.arange(len(log)) % 2 == 1)
    assert told["none"] == {}


def test_true_chances_are_calibrated_and_wrong_ones_are_not():
    rng = np.random.default_rng(0)
    chance = rng.uniform(size=200_000)
    clicked = rng.uniform(size=chance.shape) < chance
    # 20 bins of 10,000: each is off by .005 at most in expectation.
    assert calibration_error(chance, clicked) < 0.01
    assert calibration_error(chance**3, clicked) > 0.1
    assert log_loss(chance, clicked) < log_loss(chance**3, clicked)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_calibration_lies_between_its_bounds(pairs):
    chance, clicked = (np.array(column) for column in zip(*pairs, strict=True))
    error = calibration_error(chance, clicked, num_bins=4)
    assert abs(chance.mean() - clicked.mean()) - 1e-9 <= error <= np.abs(chance - clicked).mean() + 1e-9


def test_the_chance_of_one_is_no_infinite_loss():
    log = replace(planted_log())
    found = of_clicks(Fixed(np.full(log.features.num_items, 1e6)), log, np.ones(len(log), bool))
    assert np.isfinite(found["log_loss"])
