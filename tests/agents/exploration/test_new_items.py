"""Explored slots go to rarely shown items, with the propensities of a tree of all choices."""

from dataclasses import replace

import numpy as np
import pytest

from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy, NewItemExploration
from agents.registry import make_agent
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy, check_propensities

A = np.ndarray
SHOWN = np.array([500.0, 0, 3, 40, 3, 9])


def explorer(fixed, epsilon: float, rarity_power: float = 1.0, **other: float) -> NewItemExploration:
    policy = NewItemExploration(fixed([5.0, 4, 3, 2, 1, 0]), epsilon, rarity_power=rarity_power, **other)
    policy.impressions = SHOWN
    return policy


def tree(weights: dict[int, float], greedy: list[int], num_slots: int, epsilon: float) -> dict[tuple[int, ...], float]:
    """Every prefix of a slate that can be shown and its probability, choice by choice."""
    chances: dict[tuple[int, ...], float] = {(): 1.0}
    complete: dict[tuple[int, ...], float] = {}
    for _ in range(num_slots):
        longer: dict[tuple[int, ...], float] = {}
        for prefix, chance in chances.items():
            best = next(item for item in greedy if item not in prefix)
            left = {item: weight for item, weight in weights.items() if item not in prefix}
            for item, weight in left.items():
                p = epsilon * weight / sum(left.values()) + (1 - epsilon) * (item == best)
                longer[(*prefix, item)] = chance * p
        chances = longer
        complete |= chances
    return complete


@pytest.mark.parametrize("epsilon, power", [(0.2, 1.0), (0.9, 0.5), (1.0, 2.0)])
def test_probabilities_are_those_of_the_tree(epsilon, power, requests, fixed):
    eligible = [0, 1, 2, 3, 5]
    weights = {item: (SHOWN[item] + 1) ** -power for item in eligible}
    chances = tree(weights, [0, 1, 2], 3, epsilon)
    slates = np.array([slate for slate in chances if len(slate) == 3], np.int32)
    policy = explorer(fixed, epsilon, power)
    told = policy.probabilities(requests([0] * len(slates), 6, blocked=[[4]] * len(slates)), slates)
    prefix = [[chances[tuple(slate[: k + 1])] for k in range(3)] for slate in slates.tolist()]
    np.testing.assert_allclose(told.prefix, prefix, rtol=1e-6)
    assert (told.prefix_error == 0).all() and (told.error[:, 0] == 0).all()
    marginal = np.zeros((3, 6))
    for slate, chance in chances.items():
        marginal[len(slate) - 1, slate[-1]] += chance
    expected, known = marginal[np.arange(3), slates], np.isfinite(told.marginal)
    assert known.mean() > 0.8
    np.testing.assert_allclose(told.marginal[:, 0], expected[:, 0], rtol=1e-6)
    # All rows share their redraws, so that there are ten different estimates.
    assert (np.abs(told.marginal - expected)[known] <= 4.5 * told.error[known] + 1e-6).all()


def test_it_does_what_it_says(requests, fixed):
    check_propensities(explorer(fixed, 0.3), requests([0], 6, blocked=[[4]]), 3)


def test_power_zero_is_epsilon_greedy(requests, fixed):
    policy, plain = explorer(fixed, 0.4, 0.0), EpsilonGreedy(fixed([5.0, 4, 3, 2, 1, 0]), 0.4)
    observation = requests(range(50), 6)
    answer = policy.recommend(observation, 3, draws_of(1, observation.user))
    told = plain.probabilities(observation, answer.items)
    np.testing.assert_allclose(answer.prefix_propensity, told.prefix, rtol=1e-9)
    np.testing.assert_allclose(answer.propensity[:, 0], told.marginal[:, 0], rtol=1e-6)
    assert np.isnan(answer.propensity[:, 1:]).all()


def test_new_items_come_first(log):
    seen = log.take(~(log.slate == 39).any(axis=1))
    policy = NewItemExploration(make_agent("popularity"), 0.5, rarity_power=1.0)
    policy.learn(seen)
    assert policy.impressions.sum() == seen.slate.size and policy.impressions[39] == 0
    observation = log.observations(np.arange(1000))
    answer = policy.recommend(observation, 5, draws_of(0, observation.user))
    explored = answer.source == answer.sources.index("random")
    assert abs(explored.mean() - 0.5) < 4.5 * np.sqrt(0.25 / explored.size)
    # Each other item was shown about 180 times.
    assert (answer.items[:, 0][explored[:, 0]] == 39).mean() > 0.7
    assert (answer.items[~explored] != 39).all()


def test_a_batch_is_its_requests(requests, fixed):
    observation = requests(range(30), 6, blocked=[[i % 6] for i in range(30)])
    check_policy(explorer(fixed, 0.5), observation, 3, draws_of(2, observation.user))


@pytest.mark.parametrize("spec", ["mf:dim=8,epochs=1", "random", "popularity:epsilon=0.1"])
def test_learning_and_state(spec, log, tmp_path):
    check_agent(lambda: NewItemExploration(make_agent(spec, seed=3), 0.5), log, tmp_path)


def test_files_of_others_are_refused(log, tmp_path):
    policy = make_agent("popularity:epsilon=0.5,rarity_power=1")
    policy.learn(log)
    policy.save(tmp_path / "policy")
    with pytest.raises(ValueError, match=r"must hold the policy popularity:epsilon=0.4.*got popularity:epsilon=0.5"):
        make_agent("popularity:epsilon=0.4,rarity_power=1").load(tmp_path / "policy")


def test_nestings_do_what_they_say(requests, fixed):
    inner = EpsilonGreedy(fixed([5.0, 4, 3, 2, 1, 0]), 0.3)
    policy = NewItemExploration(inner, 0.4, half_life_days=100, redraws=400)
    policy.impressions = SHOWN
    request = requests([0], 6, clicked=[[2]], clicked_tick=[[99_000]])
    check_propensities(RepeatRules(policy, days=7), request, 2)


def test_nestings_keep_the_laws(requests, fixed):
    policy = EpsilonGreedy(explorer(fixed, 0.3), 0.3, redraws=50)
    observation = requests(range(10), 6, blocked=[[i % 6] for i in range(10)])
    check_policy(policy, observation, 3, draws_of(1, observation.user))


def test_bad_input(log, requests, fixed):
    with pytest.raises(ValueError, match="rarity_power must be at least 0 and finite, got -1"):
        NewItemExploration(make_agent("random"), 0.1, rarity_power=-1)
    with pytest.raises(ValueError, match=r"epsilon must be in \[0, 1\], got 2"):
        NewItemExploration(make_agent("random"), 2)
    policy = NewItemExploration(make_agent("random"), 0.1)
    policy.learn(log)
    with pytest.raises(ValueError, match="catalogue of 40 items"):
        policy.recommend(requests([0], 6), 2, draws_of(0, np.arange(1)))
    empty = replace(policy, policy=make_agent("random"))
    assert empty.recommend(requests([0], 6), 2, draws_of(0, np.arange(1))).items.shape == (1, 2)
