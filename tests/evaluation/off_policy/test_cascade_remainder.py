"""What Cascade-DR asks of a model, against a literal sum over all items that the target may show next."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest

from agents.exploration import EpsilonGreedy
from recsim_lab.evaluation.off_policy import Predictions
from recsim_lab.evaluation.off_policy.cascade_remainder import cascade_remainder
from recsim_lab.evaluation.off_policy.own_slates import OwnSlates, expected_predictions
from recsim_lab.policy import Observation, Policy
from recsim_lab.probabilities import Probabilities, redraw
from tests.evaluation.off_policy.served import by_taste, serve

A = np.ndarray
NUM_ROWS, NUM_SLOTS = 12, 3


@dataclass(frozen=True)
class Case:
    observation: Observation
    slates: A
    target: Policy
    table: A
    """What each item earns in each slot, by user."""

    def expected(self, observation: Observation, slates: A, rows: A) -> A:
        assert np.array_equal(observation.user, self.observation.user[rows])
        return self.table[observation.user[:, None], np.arange(NUM_SLOTS), slates]

    @cached_property
    def known(self) -> tuple[OwnSlates, Predictions, Probabilities]:
        every = np.arange(len(self.slates))
        own = OwnSlates.of(self.target, self.observation, NUM_SLOTS, 10)
        of_own = np.stack([self.expected(self.observation, items, every) for items in own.items])
        model = expected_predictions(self.expected(self.observation, self.slates, every), own, of_own)
        return own, model, self.target.probabilities(self.observation, self.slates)

    def remainder(self, seed: int) -> tuple[Predictions | str, Predictions, Probabilities]:
        own, model, told = self.known
        found = cascade_remainder(
            self.target, self.observation, self.slates, told, own, model, self.expected, np.random.default_rng(seed)
        )
        return found, model, told

    def literal(self, model: Predictions, row: int, slot: int) -> float:
        """The expectation over the next item, by asking for each in turn, plus what is expected below."""
        num_items = self.observation.features.num_items
        above = self.slates[row, :slot].tolist()
        total, mass = 0.0, 0.0
        reached = 1.0
        for item in range(num_items):
            if item in above:
                continue
            rest = [other for other in range(num_items) if other not in (*above, item)][: NUM_SLOTS - slot - 1]
            slate = np.array([[*above, item, *rest]], np.int32)
            prefix = self.target.probabilities(self.observation.take(np.array([row])), slate).prefix[0]
            reached = prefix[slot - 1] if slot else 1.0
            chance = prefix[slot] / reached
            total += chance * self.table[self.observation.user[row], slot, item]
            mass += chance
        assert mass == pytest.approx(1.0)
        return total + model.target[row, slot + 1 :].sum()


def _case(target: Policy, num_items: int) -> Case:
    log = serve(EpsilonGreedy(by_taste(1.0, num_items), 0.5), num_items, NUM_SLOTS, num_days=1).take(
        np.arange(NUM_ROWS)
    )
    table = np.random.default_rng(0).random((60, NUM_SLOTS, num_items))
    return Case(log.observations(), log.slate, target, table)


def test_it_is_the_sum_over_all_items_where_these_are_few() -> None:
    case = _case(EpsilonGreedy(by_taste(1.0, 7), 0.4), 7)
    found, model, told = case.remainder(0)
    assert isinstance(found, Predictions)
    for row in range(NUM_ROWS):
        for slot in range(1, NUM_SLOTS):
            assert told.prefix[row, slot - 1] > 0
            assert found.target[row, slot] == pytest.approx(case.literal(model, row, slot), rel=1e-6)
            assert found.target_error[row, slot] == 0
    np.testing.assert_allclose(found.target[:, 0], model.target.sum(axis=1))
    np.testing.assert_allclose(found.target_error[:, 0], model.target_error[:, 0])
    below = np.stack([model.target[:, slot + 1 :].sum(axis=1) for slot in range(NUM_SLOTS)], axis=1)
    np.testing.assert_allclose(found.logged, model.logged + below)


def test_it_is_right_in_the_mean_where_items_are_many() -> None:
    case = _case(EpsilonGreedy(by_taste(1.0, 60), 0.6), 60)
    draws = []
    for seed in range(60):
        found, model, _ = case.remainder(seed)
        assert isinstance(found, Predictions)
        draws.append(found.target[:, 1:])
    mean, error = np.mean(draws, axis=0), np.std(draws, axis=0, ddof=1) / np.sqrt(60)
    exact = np.array([[case.literal(model, row, slot) for slot in (1, 2)] for row in range(NUM_ROWS)])
    assert error.max() > 0
    # 24 means, each beyond 5.5 standard errors with a chance of about 1e-6 (t, 59 degrees).
    assert (np.abs(mean - exact) < 5.5 * error + 1e-9).all()


def test_a_deterministic_target_goes_on_where_it_was_followed() -> None:
    target = by_taste(1.0, 7)
    case = _case(target, 7)
    slates = case.slates.copy()
    slates[:4] = target.recommend(case.observation, NUM_SLOTS, redraw(case.observation, 0)).items[:4]
    case = Case(case.observation, slates, target, case.table)
    found, model, told = case.remainder(0)
    assert isinstance(found, Predictions)
    np.testing.assert_allclose(found.target[:4], np.cumsum(model.target[:4, ::-1], axis=1)[:, ::-1])
    for row in range(NUM_ROWS):
        for slot in range(1, NUM_SLOTS):
            if told.prefix[row, slot - 1] == 0:
                assert found.target[row, slot] == 0
            else:
                assert found.target[row, slot] == pytest.approx(case.literal(model, row, slot), rel=1e-9)


def test_a_target_without_exact_probabilities_is_refused() -> None:
    case = _case(EpsilonGreedy(EpsilonGreedy(by_taste(1.0, 7), 0.4), 0.4, redraws=50), 7)
    found, _, _ = case.remainder(0)
    assert found == "the target's probabilities of slates are not exact"
