"""The quota of fresh items is filled with the best of them, and nothing else is moved."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.baselines import Random
from agents.business_rules import FreshnessQuota
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.streams import draws_of
from tests.agents.business_rules.made_by_hand import Ordered, observation_of

NOW = 30 * TICKS_PER_DAY


def twin(order, fresh, num_slots, num_fresh):
    """As many of the best fresh ones as the quota asks for, filled up with the best of the others, in order."""
    kept = [item for item in order if fresh[item]][:num_fresh]
    rest = [item for item in order if item not in kept][: num_slots - len(kept)]
    return [item for item in order if item in kept + rest], len(kept) < num_fresh


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_slots=st.integers(1, 6),
    num_fresh=st.integers(1, 6),
    share=st.sampled_from([0.0, 0.1, 0.3, 1.0]),
)
def test_the_quota_is_kept_where_it_can_be(seed, num_slots, num_fresh, share):
    num_fresh = min(num_fresh, num_slots)
    rng = np.random.default_rng(seed)
    fresh = rng.random(20) < share
    # Old ones were there from the start, or came before the last seven days.
    release = np.where(fresh, NOW - rng.integers(7 * TICKS_PER_DAY, size=20), rng.choice([-1440, 0, 1440], 20))
    observation = observation_of({"genre": np.zeros(20, int)}, 6, release=release, tick=NOW)
    candidates = rng.permuted(np.tile(np.arange(20), (6, 1)), axis=1)[:, : num_slots + 5]
    places, unmet = FreshnessQuota(Random(), num_fresh).choose(observation, candidates, num_slots)
    slates = np.take_along_axis(candidates, places, axis=1)
    for row in range(6):
        assert (slates[row].tolist(), bool(unmet[row])) == twin(candidates[row].tolist(), fresh, num_slots, num_fresh)
        assert fresh[slates[row]].sum() >= min(num_fresh, fresh[candidates[row]].sum())


def test_ages_at_the_edge():
    release = np.array([0, 1, NOW - 2 * TICKS_PER_DAY, NOW - 2 * TICKS_PER_DAY + 1, NOW])
    observation = observation_of({"genre": np.zeros(5, int)}, 1, release=release, tick=NOW)
    policy = FreshnessQuota(Ordered(-np.arange(5.0)[None]), 1, days=2)
    draws = draws_of(0, observation.user)
    assert policy.recommend(observation, 2, draws).items.tolist() == [[0, 3]]
    assert FreshnessQuota(policy.policy, 2, 2).recommend(observation, 2, draws).items.tolist() == [[3, 4]]
    assert policy.num_unmet == 0


def test_too_few_fresh_ones_are_counted():
    observation = observation_of({"genre": np.zeros(5, int)}, 3, release=np.array([0, 0, 0, 0, NOW]), tick=NOW)
    policy = FreshnessQuota(Ordered(-np.arange(5.0)[None]), 2)
    assert policy.recommend(observation, 3, draws_of(0, observation.user)).items.tolist() == [[0, 1, 4]] * 3
    assert policy.num_unmet == 3


def test_what_is_given_is_checked():
    with pytest.raises(ValueError, match="num_fresh must be at least 1, got 0"):
        FreshnessQuota(Random(), 0)
    for days in (0, -1.5, float("nan")):
        with pytest.raises(ValueError, match="days must be above 0, got"):
            FreshnessQuota(Random(), 1, days)
    observation = observation_of({"genre": np.zeros(9, int)}, 2)
    with pytest.raises(ValueError, match="num_fresh must be at most the number of slots, 3, got 4"):
        FreshnessQuota(Random(), 4).recommend(observation, 3, draws_of(0, observation.user))
