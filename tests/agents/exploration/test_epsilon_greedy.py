"""Epsilon-greedy's propensities equal those of a tree of all its choices, at any epsilon and as it falls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.baselines import Random
from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy, EpsilonGreedySlate
from agents.exploration.epsilon_greedy import marginal_probability, places, prefix_probability
from agents.registry import make_agent
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_policy, check_propensities

A = np.ndarray


def tree(eligible: list[int], greedy: list[int], num_slots: int, epsilon: float) -> dict[tuple[int, ...], float]:
    """Every prefix of a slate that can be shown and its probability, choice by choice."""
    chances: dict[tuple[int, ...], float] = {(): 1.0}
    complete: dict[tuple[int, ...], float] = {}
    for slot in range(num_slots):
        longer: dict[tuple[int, ...], float] = {}
        for prefix, chance in chances.items():
            best = next(item for item in greedy if item not in prefix)
            for item in eligible:
                if item not in prefix:
                    p = epsilon / (len(eligible) - slot) + (1 - epsilon) * (item == best)
                    longer[(*prefix, item)] = chance * p
        chances = longer
        complete |= chances
    return complete


@settings(max_examples=40, deadline=None)
@given(
    num_items=st.integers(1, 6),
    num_slots=st.integers(1, 4),
    epsilon=st.sampled_from([0.0, 0.05, 0.3, 0.9, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_closed_form_is_the_sum_over_the_tree(num_items, num_slots, epsilon, seed):
    num_slots = min(num_slots, num_items)
    greedy = np.random.default_rng(seed).permutation(num_items)[:num_slots]
    chances = tree(list(range(num_items)), greedy.tolist(), num_slots, epsilon)
    slates = np.array([slate for slate in chances if len(slate) == num_slots])
    place = places(np.tile(greedy, (len(slates), 1)), slates)
    num_eligible, epsilons = np.full(len(slates), num_items), np.full(len(slates), epsilon)

    marginal = np.zeros((num_slots, num_items))
    for slate, chance in chances.items():
        marginal[len(slate) - 1, slate[-1]] += chance
    expected = marginal[np.arange(num_slots), slates]
    np.testing.assert_allclose(marginal_probability(place, num_eligible, epsilons), expected, atol=1e-12)
    prefixes = [[chances[tuple(slate[: k + 1])] for k in range(num_slots)] for slate in slates.tolist()]
    np.testing.assert_allclose(prefix_probability(place, num_eligible, epsilons), prefixes, atol=1e-12)


def test_slates_that_cannot_be_shown(requests, fixed):
    policy = EpsilonGreedy(fixed(np.array([5.0, 4, 3, 2, 1])), 0.5)
    observation = requests([0] * 3, 5, blocked=[[1]] * 3)
    told = policy.probabilities(observation, np.array([[1, 0], [0, 0], [0, 2]], np.int32))
    # Eligible: 0, 2, 3, 4, greedy slate 0, 2. The first slot shows 0 with 1/8 + 1/2.
    first = 0.5 / 4 + 0.5
    assert told.marginal[0, 0] == 0 and (told.prefix[0] == 0).all()
    assert told.prefix[1, 0] == pytest.approx(first) and told.prefix[1, 1] == 0
    assert told.prefix[2] == pytest.approx([first, first * (0.5 / 3 + 0.5)])


def test_sources_tell_explored_slots(requests, fixed):
    policy = EpsilonGreedy(fixed(np.arange(1000.0)), 0.25)
    observation = requests(range(4000), 1000)
    answer = policy.recommend(observation, 4, draws_of(5, observation.user))
    assert answer.sources == ("random", "fixed")
    explored = answer.source == 0
    # 16,000 slots: standard error .0034; the chance to fall outside four of them is 6e-5.
    assert abs(explored.mean() - 0.25) < 4 * 0.0034
    # Greedy slots hold the best items in order, whatever was explored between.
    ranks = np.where(explored, -1, 999 - answer.items)
    assert (ranks[~explored] < 4).all()
    whole = ~explored.any(axis=1)
    assert (answer.items[whole] == [999, 998, 997, 996]).all()


def test_sources_of_sources(requests, fixed):
    policy = EpsilonGreedy(EpsilonGreedy(fixed(np.arange(50.0)), 0.5), 0.5)
    answer = policy.recommend(requests(range(500), 50), 4, draws_of(5, np.arange(500)))
    assert answer.sources == ("random", "fixed")
    # A slot is greedy twice with probability 1/4: 2,000 slots, standard error about .01.
    assert abs((answer.source == 1).mean() - 0.25) < 0.05


def test_a_random_policy_inside_has_no_exact_propensities(requests):
    answer = EpsilonGreedy(Random(), 0.1).recommend(requests([0, 1], 20), 3, draws_of(0, np.arange(2)))
    assert np.isnan(answer.propensity).all() and np.isnan(answer.prefix_propensity).all()


def test_no_exploration_is_the_policy_itself(requests, fixed):
    inner = fixed(np.sin(np.arange(30.0)))
    observation = requests(range(20), 30, blocked=[[i] for i in range(20)])
    draws = draws_of(3, observation.user)
    plain, wrapped = (policy.recommend(observation, 6, draws) for policy in (inner, EpsilonGreedy(inner, 0.0)))
    assert np.array_equal(plain.items, wrapped.items)
    assert (wrapped.propensity == 1).all() and (wrapped.prefix_propensity == 1).all()


@pytest.mark.parametrize("epsilon", [-0.1, 1.3, float("nan")])
def test_epsilon_is_checked(epsilon):
    with pytest.raises(ValueError, match=r"epsilon must be in \[0, 1\], got"):
        EpsilonGreedy(Random(), epsilon)


def test_name_is_a_spec():
    assert make_agent("mf:dim=8,epsilon=.1").name == "mf:dim=8,epsilon=0.1"
    assert make_agent("ease:epsilon=.1").name == "ease:epsilon=0.1"


def test_epsilons_of_rows_are_their_own():
    place, num_eligible = np.tile([[2, 0, 5, 1, 5]], (4, 1)), np.array([9, 9, 7, 30])
    epsilons = np.array([0.0, 0.2, 0.9, 1.0])
    for formula in (marginal_probability, prefix_probability):
        together = formula(place, num_eligible, epsilons)
        for row in range(4):
            alone = formula(place[[row]], num_eligible[[row]], epsilons[[row]])
            np.testing.assert_array_equal(together[[row]], alone)
        assert len(np.unique(together[:, 0])) == 4


def test_epsilon_falls_by_half_in_a_half_life():
    policy = EpsilonGreedy(Random(), 0.5, half_life_days=10, floor=0.1)
    days = np.array([0, 10, 20, 5, 10_000])
    expected = [0.5, 0.3, 0.2, 0.1 + 0.4 / np.sqrt(2), 0.1]
    np.testing.assert_allclose(policy.epsilon_at(days * TICKS_PER_DAY), expected, atol=1e-12)
    assert (EpsilonGreedy(Random(), 0.3).epsilon_at(days * TICKS_PER_DAY) == 0.3).all()


def test_slots_are_explored_as_often_as_the_day_says(requests, fixed):
    policy = EpsilonGreedy(fixed(np.arange(1000.0)), 0.8, half_life_days=2)
    for day, epsilon in ((0, 0.8), (2, 0.4), (6, 0.1)):
        observation = requests(range(4000), 1000, tick=day * TICKS_PER_DAY)
        explored = policy.recommend(observation, 4, draws_of(day, observation.user)).source == 0
        # 16,000 slots: a standard error of at most .004; outside four and a half of them with chance 7e-6.
        assert abs(explored.mean() - epsilon) < 4.5 * 0.004


@pytest.mark.parametrize("kind", [EpsilonGreedy, EpsilonGreedySlate])
def test_what_falls_does_what_it_says(kind, requests, fixed):
    policy = kind(fixed([3.0, 1, 4, 1.5, 9, 2, 6]), 0.9, half_life_days=3, floor=0.2)
    check_propensities(policy, requests([0], 7, blocked=[[4]], tick=2 * TICKS_PER_DAY), 3)


def test_whole_slates_are_a_mixture(requests, fixed):
    policy = EpsilonGreedySlate(fixed(np.arange(5.0)), 0.3)
    slates = np.array([[4, 3], [3, 4], [4, 0], [4, 4], [0, 1]], np.int32)
    told = policy.probabilities(requests([0] * 5, 5, blocked=[[1]] * 5), slates)
    first, both = 0.3 / 4, 0.3 / 12
    assert told.exact.all()
    marginal = [[first + 0.7, first + 0.7], [first, first], [first + 0.7, first], [first + 0.7, first], [first, 0]]
    np.testing.assert_allclose(told.marginal, marginal, rtol=1e-6)
    prefix = [[first + 0.7, both + 0.7], [first, both], [first + 0.7, both], [first + 0.7, 0], [first, 0]]
    np.testing.assert_allclose(told.prefix, prefix, rtol=1e-6)


def test_a_slate_is_random_as_a_whole_or_not_at_all(requests, fixed):
    policy = EpsilonGreedySlate(fixed(np.arange(1000.0)), 0.25)
    observation = requests(range(10_000), 1000)
    answer = policy.recommend(observation, 4, draws_of(5, observation.user))
    assert answer.sources == ("random", "fixed")
    assert (answer.source == answer.source[:, :1]).all()
    greedy = answer.source[:, 0] == 1
    assert (answer.items[greedy] == [999, 998, 997, 996]).all()
    assert abs(greedy.mean() - 0.75) < 4.5 * np.sqrt(0.25 * 0.75 / 10_000)
    check_policy(policy, observation.take(np.arange(30)), 4, draws_of(2, np.arange(30)))


def test_a_random_policy_inside_is_mixed_as_exactly_as_it_is_known(requests, fixed):
    observation = requests([0, 1], 9)
    policy = EpsilonGreedySlate(EpsilonGreedy(fixed(np.arange(9.0)), 0.2), 0.5)
    answer = policy.recommend(observation, 3, draws_of(0, np.arange(2)))
    assert np.isnan(answer.propensity).all()
    assert policy.probabilities(observation, answer.items).exact.all()
    check_propensities(policy, requests([0], 9), 3)


def test_what_is_impossible_is_told_so_where_redraws_could_not(requests):
    policy = EpsilonGreedy(make_agent("random"), 0.5, redraws=20)
    told = policy.probabilities(requests([0, 0], 5, blocked=[[1], [1]]), np.array([[1, 0], [2, 2]], np.int32))
    assert told.marginal[0, 0] == 0 and (told.prefix[0] == 0).all() and told.prefix[1, 1] == 0


def test_rules_around_whole_slates_do_what_they_say(requests, fixed):
    policy = RepeatRules(EpsilonGreedySlate(fixed(np.arange(8.0)), 0.4), days=7)
    check_propensities(policy, requests([0], 8, clicked=[[1]], clicked_tick=[[99_000]]), 2)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"half_life_days": 0}, "half_life_days must be above 0 and finite, or None, got 0"),
        ({"floor": 0.05}, "floor must go with half_life_days"),
        ({"half_life_days": 3, "floor": 0.3}, r"floor must be in \[0, epsilon\], which is 0.2, got 0.3"),
        ({"redraws": 1}, "redraws must be at least 2, got 1"),
    ],
)
def test_parameters_are_checked(wrong, message):
    with pytest.raises(ValueError, match=message):
        EpsilonGreedy(Random(), 0.2, **wrong)
