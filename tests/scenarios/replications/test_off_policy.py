"""Off-policy estimators on synthetic bandits: both published orders, the reward model's optimum, and Open Bandit."""

import numpy as np
import pytest
from scipy.special import expit

from recsim_lab.datasets import Impressions, OpenBandit
from scenarios.replications.logistic import crossed, fit, log_odds, one_hot, rewards_by_action
from scenarios.replications.off_policy import (
    DENSE,
    ESTIMATORS,
    compare,
    open_bandit_estimates,
    ratio_interval,
    shown_share,
    without_choice,
)


@pytest.fixture(scope="module")
def mean_errors():
    return {kind: compare(kind, 12).groupby("estimator")["relative_error"].mean() for kind in ("dense", "sparse")}


def test_frequent_rewards_favour_weights(mean_errors):
    mean = mean_errors["dense"]
    assert max(mean["SNIPW"], mean["DR"]) < mean["IPW"] < mean["DM"] / 3, mean


def test_rare_clicks_favour_models(mean_errors):
    mean = mean_errors["sparse"]
    assert max(mean["DM"], mean["DRos"]) < mean["IPW"], mean


def test_logging_without_choice_is_refused():
    logged = without_choice(DENSE.log(200))
    assert all(estimator.estimate(logged).refused for estimator in ESTIMATORS.values())


def test_regression_is_at_its_optimum_and_finds_what_was_drawn():
    rng = np.random.default_rng(1)
    design, truth = rng.standard_normal((40_000, 3)), np.array([0.5, -1.0, 0.0, -0.7])
    label = (rng.random(len(design)) < expit(design @ truth[:3] + truth[3])).astype(np.float64)
    weights = fit(design, label, ridge=2.0)
    residual = expit(design @ weights[:3] + weights[3]) - label
    np.testing.assert_allclose(design.T @ residual + 2.0 * weights[:3], 0, atol=1e-6)
    assert abs(residual.sum()) < 1e-6
    assert np.abs(weights - truth).max() < 4.5 * 2.5 / np.sqrt(len(design))
    with pytest.raises(ValueError, match="ridge must be above 0"):
        fit(design, label, ridge=0.0)


def test_log_odds_are_those_of_the_crossed_design():
    rng = np.random.default_rng(2)
    context, action = rng.standard_normal((6, 2)), np.array([0, 1, 2, 3, 1, 0])
    design = crossed(context, action, 4)
    weights = rng.standard_normal(design.shape[1] + 1)
    told = log_odds(weights, context)[np.arange(6), action]
    np.testing.assert_allclose(told, design @ weights[:-1] + weights[-1])


def test_no_row_is_predicted_by_a_model_that_knows_it():
    """Changing one row's reward changes the predictions of the other folds alone."""
    rng = np.random.default_rng(3)
    context, action = rng.standard_normal((60, 2)), rng.integers(3, size=60)
    reward = (rng.random(60) < 0.4).astype(np.float64)
    before = rewards_by_action(context, action, reward, 3, seed=4)
    reward[7] = 1 - reward[7]
    changed = (rewards_by_action(context, action, reward, 3, seed=4) != before).any(axis=1)
    fold = np.random.default_rng(4).permutation(60) % 3
    np.testing.assert_array_equal(changed, fold != fold[7])
    with pytest.raises(ValueError, match="num_folds must be in"):
        rewards_by_action(context, action, reward, 3, num_folds=1)


def test_a_ratio_of_means_and_its_interval():
    below = np.array([1.0, 2.0, 3.0])
    told = ratio_interval(2 * below, below)
    assert (told.low, told.estimate, told.high) == (2.0, 2.0, 2.0)
    np.testing.assert_array_equal(one_hot(np.array([1, 0]), 2), [[0, 1], [1, 0]])


def test_thompson_is_told_from_what_it_showed():
    """Item 1 alone is clicked, one time in two, and Thompson sampling shows it nine times in ten."""
    rng = np.random.default_rng(5)
    num_rows, position = 6_000, np.tile(np.arange(3), 2_000)

    def impressions(item, clicked):
        features = np.zeros((num_rows, 4), np.int32)
        return Impressions(item, position, clicked, np.full(num_rows, 0.5), features)

    item = rng.integers(2, size=num_rows)
    clicked = (item == 1) & (rng.random(num_rows) < 0.5)
    later = (rng.random(num_rows) < 0.9).astype(np.int64)
    campaign = OpenBandit(2, (1, 1, 1, 1), impressions(item, clicked), impressions(later, clicked))
    share = shown_share(campaign.thompson, 2)
    np.testing.assert_allclose(share.sum(axis=1), 1)
    truth = 0.5 * share[:, 1].mean()
    for name, estimate in open_bandit_estimates(campaign).items():
        assert abs(estimate.value - truth) < 4.5 * max(estimate.standard_error, 0.01), name
