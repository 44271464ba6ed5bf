"""Off-policy estimators on synthetic bandits: published orders, gates, the reward model's optimum, and Open Bandit."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from recsim_lab.datasets import Impressions, OpenBandit
from scenarios.replications import off_policy
from scenarios.replications.logistic import crossed, fit, log_odds, one_hot, rewards_by_action
from scenarios.replications.off_policy import (
    DENSE,
    ESTIMATORS,
    NUM_ROWS,
    PUBLISHED_ERRORS,
    compare,
    honesty_findings,
    open_bandit_estimates,
    ratio_interval,
    regime_findings,
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


GATES = {
    "dense: error of IPW less SNIPW's",
    "dense: error of SNIPW less DR's",
    "dense: error of DM over IPW's",
    "sparse: error of IPW less DM's",
    "sparse: error of IPW less DRos's",
    "dense: mean error of IPW, in standard errors",
    "sparse: mean error of IPW, in standard errors",
    "dense: coverage of IPW's 95% interval",
    "deterministic logging: share of estimators that refuse",
}


def made_errors(kind, num_logs=100, progress=None):
    """Estimates as far from the truth as published, by turns above and below it; intervals miss one time in 20."""
    return pd.DataFrame(
        [
            {
                "regime": kind,
                "log": log,
                "estimator": name,
                "truth": 0.5,
                "value": 0.5 * (1 + error * (-1) ** log),
                "relative_error": error,
                "covers": float(log % 20 > 0),
            }
            for log in range(num_logs)
            for name, error in PUBLISHED_ERRORS[kind].items()
        ]
    )


def made_findings(errors):
    return regime_findings(errors) + honesty_findings(errors)


@pytest.fixture
def errors():
    return pd.concat([made_errors("dense"), made_errors("sparse")], ignore_index=True)


def test_gates_are_those_of_the_published_findings_and_hold_for_what_was_published(errors):
    findings = made_findings(errors)
    gates = [finding for finding in findings if finding.gate]
    assert {finding.quantity for finding in gates} == GATES and all(finding.holds for finding in gates)
    assert {finding.verdict for finding in findings if not finding.gate} == {""}


@pytest.mark.parametrize(
    "kind, estimator, column, change, gate",
    [
        ("dense", "SNIPW", "relative_error", lambda _: 0.01, "dense: error of IPW less SNIPW's"),
        ("dense", "DR", "relative_error", lambda _: 0.007, "dense: error of SNIPW less DR's"),
        ("dense", "DM", "relative_error", lambda _: 2.9 * 0.0095, "dense: error of DM over IPW's"),
        ("sparse", "DM", "relative_error", lambda _: 0.32, "sparse: error of IPW less DM's"),
        ("sparse", "DRos", "relative_error", lambda _: 0.32, "sparse: error of IPW less DRos's"),
        ("dense", "IPW", "value", lambda old: old + 0.3 * 0.5 * 0.0095, "dense: mean error of IPW, in standard errors"),
        (
            "sparse",
            "IPW",
            "value",
            lambda old: old - 0.3 * 0.5 * 0.311,
            "sparse: mean error of IPW, in standard errors",
        ),
        ("dense", "IPW", "covers", lambda _: 1.0, "dense: coverage of IPW's 95% interval"),
    ],
)
def test_each_gate_can_fail(errors, kind, estimator, column, change, gate):
    rows = (errors["regime"] == kind) & (errors["estimator"] == estimator)
    errors.loc[rows, column] = change(errors.loc[rows, column])
    assert [finding.quantity for finding in made_findings(errors) if finding.gate and not finding.holds] == [gate]


def test_the_gate_on_refusals_can_fail(errors, monkeypatch):
    served = DENSE.log(50)
    monkeypatch.setattr(off_policy, "without_choice", lambda log: served.logged(served.logging, served.expected))
    failed = [finding for finding in made_findings(errors) if finding.gate and not finding.holds]
    assert [finding.quantity for finding in failed] == ["deterministic logging: share of estimators that refuse"]
    assert failed[0].measured.estimate == 0


def test_what_was_set_after_a_first_look_stands_in_the_row(errors):
    """Of every finding that rests on a target policy."""
    for finding in made_findings(errors):
        if finding.quantity.startswith("sparse"):
            assert "after a first look" in finding.note and f"learned from {NUM_ROWS:,} rows" in finding.note
        elif finding.quantity.startswith("dense"):
            assert "after a first look" in finding.note and "expected rewards" in finding.note
        else:
            assert finding.note == ""


def test_the_command_ends_with_status_1_if_a_gate_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSIM_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["off_policy"])
    monkeypatch.setattr(off_policy, "compare", made_errors)
    off_policy.main()
    assert "Open Bandit is left out" in (words := capsys.readouterr().out) and "gate not met" not in words

    def swapped(kind, num_logs, progress):
        made = made_errors(kind, num_logs)
        return made.replace({"estimator": {"IPW": "DM", "DM": "IPW"}}) if kind == "sparse" else made

    monkeypatch.setattr(off_policy, "compare", swapped)
    with pytest.raises(SystemExit, match="1"):
        off_policy.main()
    assert "gate not met: sparse: error of IPW less DM's (fails)" in capsys.readouterr().out
    folder = tmp_path / "runs" / "replications.off_policy" / "demo"
    findings = pd.read_csv(folder / "findings.csv")
    assert set(findings.loc[findings["gate"], "quantity"]) == GATES and len(pd.read_csv(folder / "errors.csv")) == 1200
