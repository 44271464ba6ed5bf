"""Epsilon-greedy's propensities equal those of a tree of all its choices."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.baselines import Random
from agents.exploration import EpsilonGreedy, marginal_probability, places, prefix_probability
from agents.registry import make_agent
from recsim_lab.policy import Observation, Scorer, gather
from recsim_lab.streams import draws_of

A = np.ndarray


@dataclass
class Fixed(Scorer):
    """The same scores for every request."""

    values: A

    @property
    def name(self) -> str:
        return "fixed"

    def scores(self, observation: Observation, items: A | None = None) -> A:
        return gather(np.tile(self.values, (len(observation), 1)), items)


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
    num_eligible = np.full(len(slates), num_items)

    marginal = np.zeros((num_slots, num_items))
    for slate, chance in chances.items():
        marginal[len(slate) - 1, slate[-1]] += chance
    expected = marginal[np.arange(num_slots), slates]
    np.testing.assert_allclose(marginal_probability(place, num_eligible, epsilon), expected, atol=1e-12)
    prefixes = [[chances[tuple(slate[: k + 1])] for k in range(num_slots)] for slate in slates.tolist()]
    np.testing.assert_allclose(prefix_probability(place, num_eligible, epsilon), prefixes, atol=1e-12)


def test_slates_that_cannot_be_shown(requests):
    policy = EpsilonGreedy(Fixed(np.array([5.0, 4, 3, 2, 1])), 0.5)
    observation = requests([0] * 3, 5, blocked=[[1]] * 3)
    told = policy.probabilities(observation, np.array([[1, 0], [0, 0], [0, 2]], np.int32))
    # Eligible: 0, 2, 3, 4, greedy slate 0, 2. The first slot shows 0 with 1/8 + 1/2.
    first = 0.5 / 4 + 0.5
    assert told.marginal[0, 0] == 0 and (told.prefix[0] == 0).all()
    assert told.prefix[1, 0] == pytest.approx(first) and told.prefix[1, 1] == 0
    assert told.prefix[2] == pytest.approx([first, first * (0.5 / 3 + 0.5)])


def test_sources_tell_explored_slots(requests):
    policy = EpsilonGreedy(Fixed(np.arange(1000.0)), 0.25)
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


def test_sources_of_sources(requests):
    policy = EpsilonGreedy(EpsilonGreedy(Fixed(np.arange(50.0)), 0.5), 0.5)
    answer = policy.recommend(requests(range(500), 50), 4, draws_of(5, np.arange(500)))
    assert answer.sources == ("random", "fixed")
    # A slot is greedy twice with probability 1/4: 2,000 slots, standard error about .01.
    assert abs((answer.source == 1).mean() - 0.25) < 0.05


def test_a_random_policy_inside_has_no_exact_propensities(requests):
    answer = EpsilonGreedy(Random(), 0.1).recommend(requests([0, 1], 20), 3, draws_of(0, np.arange(2)))
    assert np.isnan(answer.propensity).all() and np.isnan(answer.prefix_propensity).all()


def test_no_exploration_is_the_policy_itself(requests):
    inner = Fixed(np.sin(np.arange(30.0)))
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
