"""Rules that forbid: what is left, who gives way, and how often that was counted."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from agents.baselines import Popularity, Random
from agents.business_rules import BlockList, ClickRate, MinimumQuality, RepeatRules
from agents.registry import make_agent
from recsim_lab.evaluation.offline import requests_of_fold
from recsim_lab.evaluation.protocols import Fold, TemporalSplit
from recsim_lab.interaction_log import SLOT_COLUMNS
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy, check_propensities


def eligible(rules, observation, num_slots):
    return [np.flatnonzero(row).tolist() for row in rules.apply(observation, num_slots).eligible()]


def test_block_list(requests):
    rules = BlockList(Random(), [1, 3, 3])
    observation = requests([0, 1], 6, blocked=[[0], []])
    assert eligible(rules, observation, 3) == [[2, 4, 5], [0, 2, 4, 5]]
    assert rules.num_relaxed == 0
    # The first request has three others left: for a fourth slot, the list is given up.
    assert eligible(rules, observation, 4) == [[1, 2, 3, 4, 5], [0, 2, 4, 5]]
    assert rules.num_relaxed == 1
    assert eligible(BlockList(Random(), ()), observation, 3) == [[1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert eligible(BlockList(Random(), np.array([5])), observation, 3)[0] == [1, 2, 3, 4]


@pytest.mark.parametrize("items", [[[0, 1]], [0.5], ["a"]])
def test_lists_of_other_things_are_refused(items):
    # Where types are checked, as in tests, most are refused even earlier.
    with pytest.raises((ValueError, TypeError), match="items"):
        BlockList(Random(), items)


def test_negative_items_are_refused():
    with pytest.raises(ValueError, match="items must be whole numbers of at least 0, got"):
        BlockList(Random(), [3, -1])


def test_unknown_items_on_the_list(requests):
    with pytest.raises(ValueError, match=r"items must be in \[0, 6\), got 6"):
        BlockList(Random(), [2, 6]).apply(requests([0], 6), 2)


def test_minimum_of_a_field(fielded):
    observation = fielded([0, 1], 5, {"stars": [1.0, 2.0, np.nan, 3.0, 2.5]}, blocked=[[], [3]])
    rules = MinimumQuality(Random(), 2.5, "stars")
    # What is not known passes; the second request has two good items only.
    assert eligible(rules, observation, 2) == [[2, 3, 4], [2, 4]]
    assert eligible(rules, observation, 3) == [[2, 3, 4], [0, 1, 2, 4]]
    assert rules.num_relaxed == 1


@pytest.mark.parametrize("name", ["stars", "genre"])
def test_a_field_that_is_missing_is_named_with_those_there_are(name, fielded):
    observation = fielded([0], 3, {"genre": [0, 1, 0], "price": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=rf"numeric field.*got '{name}'.*genre \(categorical\), price \(numeric\)"):
        MinimumQuality(Random(), 1.0, name).apply(observation, 1)


@pytest.mark.parametrize("least", [float("nan"), float("inf")])
def test_least_is_checked(least):
    with pytest.raises(ValueError, match="least must be a finite number, got"):
        MinimumQuality(Random(), least)


def test_click_rates_are_checked():
    with pytest.raises(ValueError, match="prior_impressions must be at least 0, got -1"):
        ClickRate(prior_impressions=-1)
    with pytest.raises(ValueError, match="min_impressions must be at least 0, got -2"):
        ClickRate(min_impressions=-2)


def hand_made(log, slate, clicks):
    rows = log.take(slice(0, len(slate)))
    rows = replace(rows, **{name: getattr(rows, name)[:, : len(slate[0])] for name in SLOT_COLUMNS})
    return replace(rows, slate=np.array(slate, np.int32), clicks=np.array(clicks, bool))


def test_click_rate_by_hand(log, requests):
    # Ten impressions, four clicks: 0 was clicked twice of three times, 1 once of three, 2 once of four.
    slate = [[0, 1], [1, 2], [2, 0], [2, 1], [0, 2]]
    clicks = [[1, 0], [0, 1], [0, 1], [0, 1], [0, 0]]
    rate = ClickRate(prior_impressions=5, min_impressions=3)
    rules = MinimumQuality(Random(), 0.37, rate)
    observation = requests([0], 40)
    assert len(eligible(rules, observation, 3)[0]) == 40, "nothing is judged before anything was learned"
    rules.learn(hand_made(log, slate, clicks))
    np.testing.assert_allclose(rate.rate[:4], [(2 + 2) / 8, (1 + 2) / 8, (1 + 2) / 9, 0.4])
    assert eligible(rules, observation, 3)[0] == [0, 1, *range(3, 40)]
    rate.min_impressions = 5
    assert eligible(rules, observation, 3)[0] == list(range(40))
    with pytest.raises(ValueError, match="catalogue of 40 items"):
        rules.apply(requests([0], 12), 3)


def test_no_prior_and_no_impressions(log):
    rate = ClickRate(prior_impressions=0)
    rate.learn(hand_made(log, [[0, 1], [0, 2]], [[1, 0], [0, 0]]))
    np.testing.assert_allclose(rate.rate[:4], [0.5, 0, 0, 0.25])


def test_quality_is_learned_and_saved_with_the_policy(log, tmp_path):
    check_agent(lambda: MinimumQuality(make_agent("ease"), 0.2), log, tmp_path)
    check_agent(lambda: ClickRate(), log, tmp_path)
    rules, twin = (MinimumQuality(make_agent("ease"), 0.2) for _ in range(2))
    rules.learn(log)
    rules.save(tmp_path / "both")
    twin.load(tmp_path / "both")
    assert np.array_equal(twin.quality.num_clicks, rules.quality.num_clicks)
    assert np.array_equal(twin.policy.weights, rules.policy.weights)


def test_the_outer_rule_is_kept_longest(requests):
    observation = requests([0], 4, shown=[[0, 1]])
    outer, inner = BlockList(RepeatRules(Random()), [2]), RepeatRules(BlockList(Random(), [2]))
    slates = outer.recommend(observation, 3, draws_of(0, np.zeros(1, np.int64))).items
    assert sorted(slates[0].tolist()) == [0, 1, 3]
    assert (outer.num_relaxed, outer.policy.num_relaxed) == (0, 1)
    slates = inner.recommend(observation, 2, draws_of(0, np.zeros(1, np.int64))).items
    # The session's items stay forbidden; of the two others, one is on the list.
    assert sorted(slates[0].tolist()) == [2, 3]
    assert (inner.num_relaxed, inner.policy.num_relaxed) == (0, 1)


def test_requests_are_counted_once_and_copies_go_on(requests):
    rules = RepeatRules(Popularity())
    observation = requests([0, 1, 2], 5, shown=[[0], [0, 1, 2, 3], []])
    draws = draws_of(0, observation.user)
    slates = rules.recommend(observation, 3, draws).items
    assert rules.num_relaxed == 1
    rules.probabilities(observation, slates)
    rules.pair_probabilities(observation, np.tile(np.arange(5), (3, 1)), 3, 10)
    assert rules.num_relaxed == 1, "questions about slates are no requests"
    twin = deepcopy(rules)
    twin.apply(observation, 3)
    assert (rules.num_relaxed, twin.num_relaxed) == (1, 2)
    # Nothing was forbidden that could be allowed again: the catalogue itself is too small.
    with pytest.raises(ValueError, match="num_slots must be at most"):
        BlockList(Popularity(), ()).recommend(observation, 6, draws)


def test_the_same_rule_binds_offline(log):
    agent = make_agent("popularity")
    agent.learn(log)
    rules = BlockList(agent, [0, 2, 4, 5])
    every = np.ones(len(log), bool)
    requests = requests_of_fold(log, TemporalSplit(1), Fold(~every, every), rules.apply, max_requests=50)
    assert not requests.eligible[True][:, [0, 2, 4, 5]].any() and requests.eligible[True][:, 1].all()
    assert requests.eligible[False].all()
    draws = draws_of(0, requests.ruled.user)
    online = rules.recommend(requests.observation, 5, draws)
    offline = agent.recommend(requests.ruled, 5, draws)
    assert np.array_equal(online.items, offline.items)


def test_laws(log, fielded):
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    rules = BlockList(MinimumQuality(RepeatRules(make_agent("popularity:epsilon=0.3")), 0.2), [1, 2])
    rules.learn(log)
    check_policy(rules, observation, 5, draws_of(1, observation.user, 5, 2))
    request = fielded([0], 9, {"stars": [0.0, 1, 2, 3, 4, 5, 6, 7, 8]}, shown=[[7, 8]], blocked=[[4]])
    check_propensities(BlockList(MinimumQuality(RepeatRules(Random()), 2, "stars"), [3]), request, 2)
