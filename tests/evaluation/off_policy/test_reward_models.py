"""Reward models learn what items earn, and cross-fitting keeps each row from the model that predicts it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.special import expit, logit

from agents.baselines import Random
from recsim_lab.evaluation.off_policy import CalibratedScores, Expectation, RewardModel, SmoothedRates
from recsim_lab.evaluation.off_policy.reward_model import cross_fit
from recsim_lab.interaction_log import InteractionLog
from tests.evaluation.off_policy.served import by_taste, click_chance, serve

A = np.ndarray
LOG = serve(Random(), num_items=10, num_slots=3, num_days=20)
SCORER = by_taste(3.0, 10)


def _of_scores(log: InteractionLog, factor: A) -> tuple[A, A]:
    """Chances that rise with the score and fall with the slot, and clicks by them."""
    chance = expit(SCORER.scores(log.observations(), log.slate) - 2) * factor
    return chance, (np.random.default_rng(0).random(chance.shape) < chance).astype(np.float64)


MODELS = [SmoothedRates(), CalibratedScores(SCORER), CalibratedScores(SCORER, "platt")]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_predictions_add_up_to_what_each_slot_earned(model: RewardModel) -> None:
    _, reward = _of_scores(LOG, np.array([1.0, 0.7, 0.4]))
    fitted = model.fit(LOG.observations(), LOG.slate, reward)
    expected = fitted.predict(LOG.observations(), LOG.slate)
    np.testing.assert_allclose(expected.sum(axis=0), reward.sum(axis=0), rtol=0.02)
    np.testing.assert_allclose(
        expected[::-1], fitted.predict(LOG.take(np.arange(len(LOG))[::-1]).observations(), LOG.slate[::-1])
    )


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_calibrated_scores_are_the_chances(method: str) -> None:
    # Platt's slots shift the logit; isotonic factors scale the chance.
    observation, slots = LOG.observations(), np.array([0.0, -0.5, -1.0])
    scores = SCORER.scores(observation, LOG.slate)
    chance = expit(scores - 2 + slots) if method == "platt" else expit(scores - 2) * np.exp(slots)
    reward = (np.random.default_rng(1).random(chance.shape) < chance).astype(np.float64)
    fitted = CalibratedScores(SCORER, method).fit(observation, LOG.slate, reward)
    off = fitted.predict(observation, LOG.slate) - chance
    assert np.sqrt((off**2).mean()) < 0.03
    if method == "platt":
        assert fitted.slope == pytest.approx(1.0, abs=0.1)
        np.testing.assert_allclose(fitted.constant, slots - 2, atol=0.15)


def test_isotonic_is_the_best_step_function() -> None:
    """Against pooling adjacent violators one by one."""
    few = LOG.take(np.arange(40))
    reward = np.random.default_rng(2).normal(size=few.slate.shape)
    fitted = CalibratedScores(SCORER).fit(few.observations(), few.slate, reward)
    scores = SCORER.scores(few.observations(), few.slate)
    levels = np.unique(scores)
    blocks = [[reward[scores == level].tolist(), [level]] for level in levels]
    place = 0
    while place + 1 < len(blocks):
        if np.mean(blocks[place][0]) > np.mean(blocks[place + 1][0]):
            blocks[place] = [blocks[place][0] + blocks[place + 1][0], blocks[place][1] + blocks[place + 1][1]]
            del blocks[place + 1]
            place = max(place - 1, 0)
        else:
            place += 1
    literal = {level: np.mean(values) for values, at in blocks for level in at}
    expected = np.array([literal[level] for level in levels])
    np.testing.assert_allclose(np.interp(levels, fitted.knots, fitted.heights), expected, atol=1e-9)


def test_platt_is_where_the_gradient_vanishes() -> None:
    few = LOG.take(np.arange(30))
    _, reward = _of_scores(few, np.ones(3))
    fitted = CalibratedScores(SCORER, "platt").fit(few.observations(), few.slate, reward)
    scores = SCORER.scores(few.observations(), few.slate).astype(np.float64)
    off = fitted.predict(few.observations(), few.slate) - reward
    standard = (scores - scores.mean()) / scores.std()
    assert (off * standard).sum() + fitted.slope * scores.std() == pytest.approx(0, abs=1e-8)
    at_centre = fitted.constant + fitted.slope * scores.mean()
    np.testing.assert_allclose(off.sum(axis=0) + expit(at_centre) - 0.5, 0, atol=1e-8)
    nobody = CalibratedScores(SCORER, "platt").fit(few.observations(), few.slate, np.zeros_like(reward))
    assert np.isfinite(nobody.constant).all() and logit(0.5 / 31) - 3 < nobody.constant.min()


def test_rates_tell_items_users_and_slots_apart() -> None:
    observation, users = LOG.observations(), 1 + LOG.user % 3
    of_item, of_slot = np.linspace(0.02, 0.2, 10), np.array([1.0, 0.6, 0.3])
    chance = of_item[LOG.slate] * of_slot * users[:, None]
    reward = np.random.default_rng(3).poisson(chance).astype(np.float64)
    fitted = SmoothedRates(prior=1.0).fit(observation, LOG.slate, reward)
    off = fitted.predict(observation, LOG.slate) / chance - 1
    assert np.sqrt((off**2).mean()) < 0.3
    assert abs(np.log(fitted.of_slot[0] / fitted.of_slot[2]) - np.log(1 / 0.3)) < 0.15
    # Who was not learned from is like all others.
    strange = replace(observation.take(np.arange(1)), user=np.array([10**6], np.int32))
    np.testing.assert_allclose(fitted.predict(strange, LOG.slate[:1])[0], fitted.of_slot * fitted.of_item[LOG.slate[0]])


def test_smoothing_pulls_few_rewards_towards_the_mean() -> None:
    few = LOG.take(np.arange(20))
    reward = few.clicks.astype(np.float64)
    spread = [
        SmoothedRates(prior=prior).fit(few.observations(), few.slate, reward).of_item.std() for prior in (0.1, 5.0, 1e6)
    ]
    assert spread[0] > 2 * spread[1] > 0 and spread[2] < 1e-3


@dataclass(frozen=True)
class Remembers(RewardModel):
    """Says 1 of requests that it has learned from."""

    name: str = "remembers"

    def fit(self, observation, slates, reward):
        return Remembered({(int(u), int(t)) for u, t in zip(observation.user, observation.tick, strict=True)})


@dataclass(frozen=True)
class Remembered(Expectation):
    known: set

    def predict(self, observation, slates):
        seen = [(int(u), int(t)) in self.known for u, t in zip(observation.user, observation.tick, strict=True)]
        return np.repeat(np.array(seen, np.float64)[:, None], slates.shape[1], axis=1)


def test_no_row_is_predicted_by_a_model_that_knows_it() -> None:
    observation, reward = LOG.observations(), LOG.clicks.astype(np.float64)
    fitted = cross_fit(Remembers(), observation, LOG.slate, reward, num_folds=4)
    every = np.arange(len(LOG))
    assert fitted.predict(observation, LOG.slate, every).max() == 0
    known = sum(model.predict(observation, LOG.slate)[:, 0] for model in fitted.models)
    assert (known == 3).all()
    assert np.bincount(fitted.fold).tolist() == [len(LOG) // 4] * 4
    some = np.array([5, 5, 17])
    assert fitted.take(some).predict(observation.take(some), LOG.slate[some], np.arange(3)).max() == 0


def test_a_model_lowers_the_error_of_what_it_corrects() -> None:
    truth = click_chance(LOG, LOG.slate)
    fitted = cross_fit(SmoothedRates(), LOG.observations(), LOG.slate, LOG.clicks.astype(np.float64))
    expected = fitted.predict(LOG.observations(), LOG.slate, np.arange(len(LOG)))
    # Better than a mean of the slot, though it cannot know that even users like even items.
    assert ((expected - truth) ** 2).mean() < 0.95 * truth.var(axis=0).mean()


def test_wrong_parameters_are_named() -> None:
    observation = LOG.observations()
    with pytest.raises(ValueError, match="prior must be above 0 and finite, got 0"):
        SmoothedRates(prior=0.0)
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        SmoothedRates(rounds=0)
    with pytest.raises((ValueError, TypeError), match="'linear'"):
        CalibratedScores(SCORER, "linear")
    with pytest.raises(ValueError, match=r"reward must be at least 0 for smoothed rates, got -1\.0"):
        SmoothedRates().fit(observation, LOG.slate, -np.ones(LOG.slate.shape))
    with pytest.raises(ValueError, match=r"reward must be in \[0, 1\] for platt, got 2\.0 to 2\.0"):
        CalibratedScores(SCORER, "platt").fit(observation, LOG.slate, np.full(LOG.slate.shape, 2.0))
    with pytest.raises(ValueError, match=r"num_folds must be in \[2, number of rows\], which is 2, got 3"):
        two = LOG.take(np.arange(2))
        cross_fit(SmoothedRates(), two.observations(), two.slate, two.clicks.astype(np.float64))
