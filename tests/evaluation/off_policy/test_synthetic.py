"""The synthetic bandit, and what its estimators are known for: dense rewards favour weights, sparse ones models."""

import numpy as np
import pytest
from scipy.special import softmax

from recsim_lab.evaluation.off_policy import Direct, DoublyRobust, InversePropensity, SelfNormalised, Shrink
from recsim_lab.evaluation.off_policy.synthetic import SyntheticBandit, draw

A = np.ndarray


def test_the_log_is_drawn_from_what_it_tells() -> None:
    bandit = SyntheticBandit(num_actions=6, seed=3)
    log = bandit.log(20_000)
    np.testing.assert_allclose(log.logging.sum(axis=1), 1)
    rows = np.arange(len(log))
    # Each in units of its standard error.
    for action in range(6):
        chosen, chance = log.action == action, log.logging[:, action]
        assert abs((chosen - chance).sum()) < 4.5 * np.sqrt((chance * (1 - chance)).sum())
    chance = log.expected[rows, log.action]
    assert abs((log.reward - chance).sum()) < 4.5 * np.sqrt((chance * (1 - chance)).sum())
    logits = np.log(log.expected / (1 - log.expected))
    assert logits.mean() == pytest.approx(0, abs=1e-9) and logits.std() == pytest.approx(1)
    # Bilinear: nothing is left of it once context, action and their product are taken out.
    design = np.concatenate([np.ones((len(log), 1)), log.context], axis=1)
    fit, *_ = np.linalg.lstsq(design, logits, rcond=None)
    np.testing.assert_allclose(design @ fit, logits, atol=1e-8)
    # The logging policy prefers what earns less.
    assert log.value(log.logging) < log.expected.mean() - 0.05
    np.testing.assert_allclose(log.logging, softmax(-3 * log.expected, axis=1))


def test_logs_of_one_bandit_differ_and_repeat() -> None:
    bandit = SyntheticBandit()
    first, again, other = bandit.log(50), bandit.log(50), bandit.log(50, 1)
    np.testing.assert_array_equal(first.reward, again.reward)
    assert (first.context != other.context).all()
    assert SyntheticBandit(mean_reward=0.004).log(5_000).expected.mean() == pytest.approx(0.0065, abs=0.002)


def test_draws_have_their_chances() -> None:
    chance = np.tile([0.2, 0.0, 0.5, 0.3], (50_000, 1))
    share = np.bincount(draw(chance, np.random.default_rng(0)), minlength=4) / 50_000
    assert share[1] == 0 and np.abs(share - chance[0]).max() < 0.01


def _errors(bandit: SyntheticBandit, sharpness: float, by_context: bool, prior_rows: float) -> dict[str, float]:
    """Mean relative errors over 20 logs; the model knows the action's smoothed mean reward alone."""
    estimators = (Direct(), InversePropensity(), SelfNormalised(), DoublyRobust(), DoublyRobust(change=Shrink()))
    errors: dict[str, list[float]] = {estimator.name: [] for estimator in estimators}
    for number in range(20):
        log = bandit.log(10_000, number)
        wanted = np.log(log.expected) if by_context else np.tile(np.roll(np.arange(30), number), (len(log), 1))
        target = softmax(sharpness * (wanted - wanted.mean(axis=1, keepdims=True)) / wanted.std(), axis=1)
        count, total = (np.bincount(log.action, weights, minlength=30) for weights in (None, log.reward))
        rate = (total + prior_rows * log.reward.mean()) / (count + prior_rows)
        logged = log.logged(target, np.broadcast_to(rate, target.shape))
        truth = log.value(target)
        for estimator in estimators:
            errors[estimator.name].append(abs(estimator.estimate(logged).value / truth - 1))
    return {name: float(np.mean(values)) for name, values in errors.items()}


def test_dense_rewards_favour_weights() -> None:
    mean = _errors(SyntheticBandit(), sharpness=4, by_context=True, prior_rows=10)
    assert mean["dr:independent"] < mean["ips:independent"] < mean["direct"] / 3, mean
    assert mean["snips:independent"] < mean["ips:independent"], mean


def test_sparse_rewards_favour_models() -> None:
    """Rewards of .4%, and a target that shows a few actions to all: its share of the log has a handful of rewards."""
    mean = _errors(SyntheticBandit(mean_reward=0.004), sharpness=20, by_context=False, prior_rows=500)
    for name in ("ips:independent", "snips:independent", "dr:independent"):
        assert max(mean["direct"], mean["dr-shrink:independent"]) < 0.8 * mean[name], mean
