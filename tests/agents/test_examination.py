"""Where the truth is known, examination is found again: from random slates, from exploration, and from repeats."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.optimize import minimize

from agents.exploration import EpsilonGreedy
from agents.registry import make_agent
from recsim_lab.examination import Examination, by_propensities, by_rates, by_repeats, examine
from recsim_lab.interaction_log import InteractionLog, concatenate, record
from recsim_lab.policy import Policy, Scorer, gather
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.examination import Examination as Curve
from recsim_lab.simulation.examination import Geometric, MixedReaders
from recsim_lab.simulation.population import AVERAGE_HABIT
from recsim_lab.streams import draws_of
from recsim_lab.testing import planted_log

A = np.ndarray

NUM_USERS, NUM_ITEMS, NUM_SLOTS = 400, 12, 4
SURE = 1 - 1e-5
UTILITY = np.random.default_rng(0).normal(-0.7, 1.3, (NUM_USERS, NUM_ITEMS)).astype(np.float32)


@dataclass
class Taste(Scorer):
    """Shows users what they like best; twisted, in an order that has little to do with it."""

    twisted: bool = False

    @property
    def name(self):
        return "taste"

    def scores(self, observation, items=None):
        utility = UTILITY[observation.user]
        return gather(np.sin(3 * utility) if self.twisted else utility, items)


@pytest.fixture
def serve(requests) -> Callable[..., InteractionLog]:
    """What a policy shows and users click who look at slots by a curve: so many users by chance, or given ones."""

    def make(policy: Policy, users: int | A, curve: Curve = Geometric(0.7), seed: int = 0) -> InteractionLog:
        if not isinstance(users, np.ndarray):
            users = np.random.default_rng(seed).integers(NUM_USERS, size=users)
        num_rows = len(users)
        observation = requests(users.tolist(), NUM_ITEMS)
        answer = policy.recommend(observation, NUM_SLOTS, draws_of(seed, np.arange(num_rows), 0))
        utility = np.take_along_axis(UTILITY[observation.user], answer.items.astype(np.int64), axis=1)
        habit = np.full(num_rows, AVERAGE_HABIT, np.int32)
        clicks = PositionBased(curve).sample_clicks(utility, habit, draws_of(seed, np.arange(num_rows), 1))
        outcome = {
            "clicks": clicks,
            "dwell": clicks.astype(np.float32),
            "likes": np.zeros_like(clicks),
            "reward": clicks.sum(axis=1).astype(np.float32),
            "left": np.ones(num_rows, bool),
        }
        return record(observation, answer, outcome)

    return make


def without_propensities(log: InteractionLog) -> InteractionLog:
    unknown = np.full(log.slate.shape, np.nan, np.float32)
    return replace(log, propensity=unknown, prefix_propensity=unknown)


def covers(found: Examination, curve: Curve) -> bool:
    truth = curve.curve(NUM_SLOTS)
    low, high = found.interval(SURE)
    return bool(((low <= truth / truth.max()) & (truth / truth.max() <= high)).all())


def check_found(found: Examination, curve: Curve, most_error: float) -> None:
    """The truth is in intervals that say something: false alarms come in 3 of 100,000 runs."""
    assert found.relative.max() == 1 and found.error[found.relative.argmax()] == 0
    assert (found.error <= most_error).all(), found.error
    assert covers(found, curve), found


@pytest.mark.parametrize("curve", [Geometric(0.7), MixedReaders(0.5, 0.7)], ids=repr)
def test_random_slates_tell_examination_by_click_rates(curve, serve):
    log = serve(make_agent("random"), 30_000, curve)
    check_found(by_rates(without_propensities(log)), curve, 0.03)
    check_found(by_propensities(log), curve, 0.03)
    check_found(by_repeats(log), curve, 0.03)
    check_found(by_repeats(log, of="items"), curve, 0.03)
    rates, weighted = by_rates(log), by_propensities(log)
    np.testing.assert_allclose(rates.relative, weighted.relative, rtol=1e-6)
    np.testing.assert_allclose(rates.error, weighted.error, rtol=1e-6)


def test_exploration_tells_examination_by_propensities(serve):
    """Greed puts each user's favourites first, which click rates take for examination."""
    curve = Geometric(0.7)
    log = serve(EpsilonGreedy(Taste(), 0.3), 60_000, curve)
    assert not np.isnan(log.propensity).any()
    check_found(by_propensities(log), curve, 0.06)
    check_found(by_repeats(without_propensities(log)), curve, 0.05)
    rates = by_rates(log)
    assert not covers(rates, curve) and rates.relative[3] < 0.75 * curve.curve(4)[3]
    # All users of an item are not alike to a ranker of their tastes.
    assert not covers(by_repeats(log, of="items"), curve)


def test_a_bound_on_weights_gives_some_of_the_bias_back(serve):
    log = serve(EpsilonGreedy(Taste(), 0.3), 60_000)
    free, bound, rates = by_propensities(log), by_propensities(log, most_weight=1.0), by_rates(log)
    assert rates.relative[3] < bound.relative[3] < free.relative[3]
    assert (bound.error[1:] < free.error[1:]).all()
    assert np.array_equal(examine(log, "propensities", 1.0).relative, bound.relative)
    assert np.array_equal(examine(log, "rates").relative, rates.relative)
    assert np.array_equal(examine(log, "repeats").relative, by_repeats(log).relative)


def test_rankers_that_alternate_tell_examination_without_any_randomness(serve):
    curve = MixedReaders(0.6, 0.2)
    rankers = [serve(Taste(twisted), 30_000, curve, seed) for seed, twisted in enumerate((False, True))]
    log = without_propensities(concatenate(rankers))
    check_found(by_repeats(log), curve, 0.1)
    assert not covers(by_rates(log), curve)


@pytest.mark.parametrize("by", ["rates", "propensities", "repeats"])
def test_standard_errors_are_those_of_repeated_logs(by, serve):
    curve, num_logs, num_rows = Geometric(0.7), 100, 3000
    policy = EpsilonGreedy(Taste(), 0.5) if by != "rates" else make_agent("random")
    # Each log has a hundred users of its own: what differs between users is part of the error.
    chosen = np.random.default_rng(7)
    users = np.concatenate([np.repeat(chosen.choice(NUM_USERS, 100), num_rows // 100) for _ in range(num_logs)])
    whole = serve(policy, users, curve)
    found = [examine(whole.take(slice(num_rows * i, num_rows * (i + 1))), by) for i in range(num_logs)]
    assert all(f.relative[0] == 1 for f in found)
    deviation = np.stack([np.log(f.relative / curve.curve(NUM_SLOTS))[1:] / f.error[1:] for f in found])
    # 5 standard errors of a standard deviation and of a mean.
    assert np.abs(deviation.std(axis=0) - 1).max() < 5 / np.sqrt(2 * num_logs)
    assert np.abs(deviation.mean(axis=0)).max() < 5 / np.sqrt(num_logs)


def small_log() -> InteractionLog:
    """Two users, three items, three slots."""
    log = planted_log(num_users=2, num_items=3, num_slots=3, num_days=25, seed=4)
    clicks = np.random.default_rng(1).random(log.slate.shape) < np.array([0.6, 0.4, 0.2])
    return replace(log, clicks=clicks)


@pytest.mark.parametrize("of", ["pairs", "items"])
def test_repeats_maximise_the_likelihood_of_clicks_given_their_number(of):
    log = small_log()
    cells: dict = {}
    for row in range(len(log)):
        for slot in range(3):
            key = (int(log.user[row]) if of == "pairs" else 0, int(log.slate[row, slot]))
            shown, clicks = cells.setdefault(key, (np.zeros(3), np.zeros(3)))
            shown[slot] += 1
            clicks[slot] += log.clicks[row, slot]

    def minus_likelihood(free: A) -> float:
        strength = np.exp(np.append(0.0, free))
        return -sum(
            clicks[slot] * np.log(shown[slot] * strength[slot] / (shown @ strength))
            for shown, clicks in cells.values()
            for slot in range(3)
            if clicks[slot]
        )

    best = minimize(minus_likelihood, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
    expected = np.exp(np.append(0.0, best))
    np.testing.assert_allclose(by_repeats(log, of=of).relative, expected / expected.max(), rtol=1e-5)


def test_rates_and_their_weights_by_hand():
    log = planted_log().take(slice(100))
    clicks = np.zeros((100, 5), bool)
    for slot, num_clicks in enumerate((40, 80, 20, 4, 0)):
        clicks[:num_clicks, slot] = True
    log = replace(log, clicks=clicks)
    found = by_rates(log)
    assert found.relative.tolist() == pytest.approx([0.5, 1, 0.25, 0.05, 0])
    assert found.weights().tolist() == pytest.approx([2, 1, 4, 10, 10])
    assert found.weights(3.0).tolist() == pytest.approx([2, 1, 3, 3, 3])
    # A slot that was never clicked has no standard error; for the log of others the log cannot tell it.
    assert np.isnan(found.error[4]) and np.isfinite(found.error[:4]).all()
    low, high = found.interval()
    assert np.isnan(low[4]) and (low[:4] <= found.relative[:4]).all() and (found.relative[:4] <= high[:4]).all()
    # The impressions of slot 1 count three times and so do its clicks: SNIPS rates stay what they are.
    third = replace(log, propensity=np.where(np.arange(5) == 1, 1 / 120, 1 / 40) * np.ones((100, 1)))
    np.testing.assert_allclose(by_propensities(third).relative, found.relative, rtol=1e-6)


@pytest.mark.parametrize("by", ["rates", "propensities", "repeats"])
def test_what_tells_nothing_leaves_all_slots_alike(by):
    log = planted_log()
    for silent in (replace(log, clicks=np.zeros_like(log.clicks)), log.take(slice(0))):
        found = examine(silent, by)
        assert found.weights().tolist() == [1] * 5 and np.isnan(found.error).all()


def test_a_slot_that_was_never_clicked_is_not_examined():
    log = small_log()
    clicks = log.clicks.copy()
    clicks[:, 1] = False
    found = by_repeats(replace(log, clicks=clicks))
    assert found.relative[1] == 0 and np.isnan(found.error[1]) and np.isfinite(found.error[[0, 2]]).all()
    assert found.weights()[1] == 10


def test_what_cannot_be_told_is_refused():
    log = small_log()
    fixed = replace(log, slate=np.tile(np.arange(3, dtype=np.int32), (len(log), 1)))
    with pytest.raises(ValueError, match=r"slots must be linked by clicked pairs .* between slots \[0\] and \[1, 2\]"):
        by_repeats(fixed)
    turned = fixed.slate.copy()
    turned[::2, :2] = [1, 0]
    with pytest.raises(ValueError, match=r"clicked items .* between slots \[0, 1\] and \[2\]"):
        by_repeats(replace(fixed, slate=turned), of="items")
    with pytest.raises(ValueError, match="of must be 'pairs' or 'items', got 'users'"):
        inspect.unwrap(by_repeats)(log, of="users")  # past the type checker, which is off outside tests
    with pytest.raises(ValueError, match="propensity must be known to weight by it, got NaN in 600 of 600"):
        by_propensities(without_propensities(log))
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\), got 1.0"):
        by_rates(log).interval(1.0)
