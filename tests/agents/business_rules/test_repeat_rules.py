"""The repeat rules forbid what they should, and give way in order where too little is left."""

import numpy as np
import pytest

from agents.baselines import Random
from agents.business_rules import RepeatRules
from agents.registry import make_agent
from recsim_lab.policy import certain
from recsim_lab.streams import draws_of

DAY = 1440
NOW = 100_000


def eligible(rules, observation, num_slots):
    return [np.flatnonzero(row).tolist() for row in rules.apply(observation, num_slots).eligible()]


def test_recently_clicked_and_shown_items_are_forbidden(requests):
    observation = requests(
        [0, 1],
        8,
        clicked=[[1, 2, 3], [0]],
        clicked_tick=[[NOW - 8 * DAY, NOW - 7 * DAY, NOW - 7 * DAY + 1], [NOW]],
        shown=[[4], [5, 6]],
        blocked=[[7], []],
    )
    assert eligible(RepeatRules(Random()), observation, 2) == [[0, 1, 2, 5, 6], [1, 2, 3, 4, 7]]
    assert eligible(RepeatRules(Random(), days=0), observation, 2) == [[0, 1, 2, 3, 5, 6], [0, 1, 2, 3, 4, 7]]
    assert eligible(RepeatRules(Random(), days=100), observation, 2) == [[0, 5, 6], [1, 2, 3, 4, 7]]


def test_clicked_items_come_back_first_then_shown_ones_row_by_row(requests):
    observation = requests(
        [0, 1, 2], 6, clicked=[[0, 1]] * 3, clicked_tick=[[NOW, NOW]] * 3, shown=[[2], [2, 3], [2, 3, 4, 0]]
    )
    rules = RepeatRules(Random())
    # Left by the rules: 3, 4, 5 / 4, 5 / 5. Item 0 was clicked and shown: it stays forbidden as shown.
    assert eligible(rules, observation, 1) == [[3, 4, 5], [4, 5], [5]]
    assert eligible(rules, observation, 3) == [[3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert eligible(rules, observation, 2) == [[3, 4, 5], [4, 5], [1, 5]]


def test_items_not_on_offer_do_not_count_as_left(requests):
    observation = requests([0], 5, shown=[[0]], release=[0, 0, 0, 10**6, 10**6])
    assert eligible(RepeatRules(Random()), observation, 2) == [[1, 2]]
    assert eligible(RepeatRules(Random()), observation, 3) == [[0, 1, 2]]
    with pytest.raises(ValueError, match="num_slots must be at most"):
        RepeatRules(Random()).recommend(observation, 4, draws_of(0, np.arange(1)))


def test_probabilities_are_those_under_the_rules(log, requests):
    agent = make_agent("popularity")
    agent.learn(log)
    observation = requests([0, 1], 40, shown=[[3, 5, 7], []])
    rules = RepeatRules(agent)
    slates = rules.recommend(observation, 4, draws_of(0, observation.user)).items
    shown = certain(slates, slates[::-1].copy())
    told = rules.probabilities(observation, slates[::-1].copy())
    assert np.array_equal(told.marginal, shown.marginal) and np.array_equal(told.prefix, shown.prefix)


def test_name_and_state_are_those_of_the_policy_inside(log, tmp_path):
    rules = RepeatRules(make_agent("ease"))
    assert rules.name == "ease"
    rules.learn(log)
    rules.save(tmp_path / "a")
    plain = make_agent("ease")
    plain.load(tmp_path / "a")
    assert np.array_equal(plain.weights, rules.policy.weights)


def test_days_are_checked():
    for days in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="days must be at least 0"):
            RepeatRules(Random(), days)
