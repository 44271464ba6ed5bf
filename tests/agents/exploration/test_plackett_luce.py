"""Plackett-Luce's propensities equal those of a tree of all its choices, and its luck is fine enough to be right."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agents.base import LOWEST
from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy, EpsilonGreedySlate, NewItemExploration, PlackettLuce
from agents.exploration.arrivals import arrival_probability
from agents.exploration.plackett_luce import standardised
from agents.exploration.race import Race, fine_uniform
from agents.registry import make_agent
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy, check_propensities

A = np.ndarray
SCORES = (2.0, -1.0, 0.5, 7.0, 0.5, 3.0)
SEED = st.integers(0, 10_000)


def tree(weights: dict[int, float], num_slots: int) -> dict[tuple[int, ...], float]:
    """Every prefix of a slate and its probability, choice by choice."""
    chances: dict[tuple[int, ...], float] = {(): 1.0}
    complete: dict[tuple[int, ...], float] = {}
    for _ in range(num_slots):
        longer: dict[tuple[int, ...], float] = {}
        for prefix, chance in chances.items():
            left = {item: weight for item, weight in weights.items() if item not in prefix}
            for item, weight in left.items():
                longer[(*prefix, item)] = chance * weight / sum(left.values())
        chances = longer
        complete |= chances
    return complete


def weights_of(scores: A, eligible: list[int], temperature: float) -> dict[int, float]:
    own = scores[eligible]
    return dict(zip(eligible, np.exp((own - own.mean()) / own.std() / temperature).tolist(), strict=True))


@settings(max_examples=25, deadline=None)
@given(num_items=st.integers(2, 6), num_slots=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_prefixes_are_those_of_the_tree(num_items, num_slots, seed):
    logits = np.random.default_rng(seed).normal(0, 4, num_items)
    num_slots = min(num_slots, num_items)
    chances = tree(dict(enumerate(np.exp(logits).tolist())), num_slots)
    slates = np.array([slate for slate in chances if len(slate) == num_slots])
    race = Race(np.tile(logits, (len(slates), 1)))
    expected = [[chances[tuple(slate[: k + 1])] for k in range(num_slots)] for slate in slates.tolist()]
    np.testing.assert_allclose(np.cumprod(race.next_probability(slates), axis=1), expected, rtol=1e-9)


def test_probabilities_are_those_of_the_tree(requests, fixed):
    policy = PlackettLuce(fixed(SCORES), 0.8)
    chances = tree(weights_of(np.array(SCORES), [0, 1, 3, 4, 5], 0.8), 3)
    slates = np.array([slate for slate in chances if len(slate) == 3], np.int32)
    told = policy.probabilities(requests([0] * len(slates), 6, blocked=[[2]] * len(slates)), slates)
    prefix = [[chances[tuple(slate[: k + 1])] for k in range(3)] for slate in slates.tolist()]
    np.testing.assert_allclose(told.prefix, prefix, rtol=1e-6)
    assert told.exact.all()
    marginal = np.zeros((3, 6))
    for slate, chance in chances.items():
        marginal[len(slate) - 1, slate[-1]] += chance
    expected = marginal[np.arange(3), slates]
    np.testing.assert_allclose(told.marginal, expected, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    num_items=st.integers(1, 7), num_slots=st.integers(1, 4), spread=st.sampled_from([0.0, 1.0, 5.0, 30.0]), seed=SEED
)
def test_arrivals_are_those_of_the_tree(num_items, num_slots, spread, seed):
    logits = np.random.default_rng(seed).normal(0, spread, num_items)
    num_slots = min(num_slots, num_items)
    marginal = np.zeros((num_slots, num_items))
    for slate, chance in tree(dict(enumerate(np.exp(logits - logits.max()).tolist())), num_slots).items():
        marginal[len(slate) - 1, slate[-1]] += chance
    slates = (np.arange(num_items)[:, None] + np.arange(num_slots)) % num_items
    told = arrival_probability(np.tile(logits, (num_items, 1)), slates)
    np.testing.assert_allclose(told, marginal[np.arange(num_slots), slates], rtol=2e-8, atol=1e-15)


def test_arrivals_of_a_large_race_sum_to_one_in_every_place():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 600)
    logits[::7] = -np.inf
    slates = (np.arange(600)[:, None] + np.arange(10)) % 600
    told = arrival_probability(np.tile(logits, (600, 1)), slates)
    np.testing.assert_allclose(told.sum(axis=0), 1, rtol=2e-8)
    assert (told[slates % 7 == 0] == 0).all() and (told[slates % 7 > 0] > 0).all()


@pytest.mark.parametrize("num_slots", [10, 20, 40])
def test_long_slates_are_as_exact(num_slots):
    # All alike: the sharpest timing, and each item is as likely in any place.
    slates = np.arange(num_slots)[None]
    told = arrival_probability(np.zeros((1, 60)), slates)
    np.testing.assert_allclose(told, 1 / 60, rtol=1e-8)


def test_what_is_hopeless_arrives_after_all_others():
    logits = np.array([[0.0, 1.0, -1e30, -1e30, -2e30, -np.inf]])
    told = arrival_probability(np.repeat(logits, 3, axis=0), np.array([[0, 1, 2], [2, 0, 3], [4, -1, 5]]))
    first = 1 / (1 + np.e)
    np.testing.assert_allclose(told, [[first, first, 0.5], [0, 1 - first, 0.5], [0, 0, 0]], rtol=2e-8)


def test_slates_that_cannot_be_shown(requests, fixed):
    policy = PlackettLuce(fixed(SCORES), 1.0)
    slates = np.array([[2, 0], [0, 0], [0, 2], [0, 6]], np.int32)
    told = policy.probabilities(requests([0] * 4, 6, blocked=[[2]] * 4), slates)
    assert told.marginal[0, 0] == 0 and told.marginal[2, 1] == 0 and told.marginal[3, 1] == 0
    assert (told.prefix[0] == 0).all() and (told.prefix[1:, 1] == 0).all() and (told.prefix[1:, 0] > 0).all()
    assert 0 < told.marginal[1, 1] < 1


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_it_does_what_it_says(temperature, requests, fixed):
    policy = PlackettLuce(fixed(SCORES), temperature)
    check_propensities(policy, requests([3], 6, blocked=[[4]]), 3)


def test_a_batch_is_its_requests(requests, fixed):
    observation = requests(range(40), 30, blocked=[[i % 30, 5] for i in range(40)])
    check_policy(PlackettLuce(fixed(np.sin(np.arange(30.0))), 0.5), observation, 4, draws_of(2, observation.user))


def test_pieces_make_no_difference(requests, fixed, monkeypatch):
    policy = PlackettLuce(fixed(np.sin(np.arange(30.0))), 0.5)
    observation = requests(range(40), 30, blocked=[[i % 30, 5] for i in range(40)])
    whole = policy.recommend(observation, 3, draws_of(2, observation.user))
    told = policy.probabilities(observation, whole.items)
    monkeypatch.setattr("agents.exploration.race._PAIRS_AT_ONCE", 100)
    parts = policy.recommend(observation, 3, draws_of(2, observation.user))
    assert np.array_equal(whole.items, parts.items)
    np.testing.assert_allclose(parts.prefix_propensity, whole.prefix_propensity)
    np.testing.assert_allclose(policy.probabilities(observation, whole.items).marginal, told.marginal)


def test_zero_and_unit_of_scores_do_not_matter(requests, fixed):
    scores = np.random.default_rng(0).normal(size=50)
    observation = requests(range(30), 50)
    draws = draws_of(1, observation.user)
    plain, moved = (PlackettLuce(fixed(s), 0.4).recommend(observation, 5, draws) for s in (scores, 200 * scores - 70))
    assert np.array_equal(plain.items, moved.items)
    np.testing.assert_allclose(plain.prefix_propensity, moved.prefix_propensity, rtol=1e-9)


def test_a_deviation_more_is_exp_of_one_over_temperature_times_as_likely(requests, fixed):
    scores = np.array([3.0, 3, 5, 5])  # a deviation of 1
    told = PlackettLuce(fixed(scores), 0.5).probabilities(requests([0, 0], 4), np.array([[2], [0]], np.int32))
    assert told.marginal[0, 0] / told.marginal[1, 0] == pytest.approx(np.exp(2 / 0.5), rel=1e-5)
    raw = PlackettLuce(fixed([0.0, np.log(3.0)]), 1.0, standardised=False)
    assert raw.probabilities(requests([0], 2), np.array([[1]], np.int32)).prefix[0, 0] == pytest.approx(0.75)


@pytest.mark.parametrize("level", [0.0, 0.1, -1e6 / 7])
def test_equal_scores_are_random(level, requests, fixed):
    scores = np.full(7, level, np.float32)
    told = PlackettLuce(fixed(scores), 0.01).probabilities(requests([0], 7), np.array([[3, 6]], np.int32))
    np.testing.assert_allclose(told.prefix, [[1 / 7, 1 / 42]], rtol=1e-3)


def test_what_cannot_be_judged_comes_last_and_moves_nothing(requests, fixed):
    known = [0.0, 1.0, 3.0]
    slates = np.array([[2, 0, 1], [1, 2, 0]], np.int32)
    few = PlackettLuce(fixed(known), 0.5).probabilities(requests([0, 0], 3), slates)
    more = PlackettLuce(fixed([*known, LOWEST, LOWEST]), 0.5)
    np.testing.assert_allclose(more.probabilities(requests([0, 0], 5), slates).prefix, few.prefix, rtol=1e-6)
    observation = requests(range(200), 5)
    items = more.recommend(observation, 4, draws_of(0, observation.user)).items
    assert (items[:, :3] < 3).all() and set(items[:, 3].tolist()) == {3, 4}
    told = more.probabilities(requests([0], 5), np.array([[2, 1, 0, 4]], np.int32))
    assert told.prefix[0, 3] == pytest.approx(told.prefix[0, 2] / 2)


def test_standard_scores():
    scores = np.array([[1.0, 2.0, 3.0, -1e9], [4.0, 8.0, 0.0, 0.0]])
    judged = scores != -1e9
    own = standardised(scores, judged)
    assert own[0, :3] == pytest.approx(np.array([-1, 0, 1]) / np.sqrt(2 / 3))
    assert own[1].mean() == pytest.approx(0) and own[1].std() == pytest.approx(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_know_what_is_left_beside_what_is_large(dtype):
    race = Race.of(np.array([[0.0, -103.0, -104.0]], dtype), np.ones((2_000, 3), bool))
    items, chance = race.draw(2, draws_of(0, np.arange(2_000)))
    first = items[:, 1] == 1
    np.testing.assert_allclose(chance[:, 1], np.where(first, 1 / (1 + np.exp(-1)), 1 / (1 + np.e)), rtol=1e-9)
    assert stats.binomtest(int(first.sum()), 2_000, 1 / (1 + np.exp(-1))).pvalue > 1e-4


def test_what_is_left_is_not_lost_beside_what_is_large():
    race = Race(np.array([[0.0, -50.0, -51.0, -900.0]]))
    chance = race.next_probability(np.array([[0, 1, 2, 3]]))[0]
    assert chance[0] == pytest.approx(1) and chance[1] == pytest.approx(1 / (1 + np.exp(-1)))
    assert chance[2] == pytest.approx(1) and chance[3] == 1


def one_after_the_other(logits: A, luck: A) -> tuple[list[int], list[float]]:
    """Items drawn in proportion to exp(logit) among what is left, and the chance of each, by sums over all items."""
    left, items, chances = list(range(len(logits))), [], []
    for number in luck:
        rates = np.exp(logits[left] - logits[left].max())
        place = min(int(np.searchsorted(np.cumsum(rates / rates.sum()), number, side="right")), len(left) - 1)
        items.append(left[place])
        chances.append(rates[place] / rates.sum())
        del left[place]
    return items, chances


@settings(max_examples=60, deadline=None)
@given(num_items=st.sampled_from([1, 2, 7, 64, 65, 300]), spread=st.sampled_from([0.0, 1.0, 30.0, 3_000.0]), seed=SEED)
def test_draws_are_those_of_drawing_one_after_the_other(num_items, spread, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (3, num_items))
    logits[:, num_items // 2 + 1 :: 3] = -np.inf
    num_slots = min(10, int((logits[0] > -np.inf).sum()))
    draws = draws_of(seed, np.arange(3))
    items, chance = Race(logits).draw(num_slots, draws)
    for row, luck in enumerate(fine_uniform(draws, num_slots)):
        expected = one_after_the_other(logits[row], luck)
        assert items[row].tolist() == expected[0]
        np.testing.assert_allclose(chance[row], expected[1], rtol=1e-9, atol=1e-200)
    np.testing.assert_allclose(chance, Race(logits).next_probability(items), rtol=1e-9, atol=1e-200)


def test_luck_is_fine_enough_for_what_is_rare():
    luck = fine_uniform(draws_of(4, np.arange(10_000)), 100)
    assert stats.kstest(luck.ravel(), "uniform").pvalue > 1e-4
    # Of 10^6 numbers with steps of 2^-46 two are equal with chance .007; with steps of 2^-23 some 58,000 pairs are.
    assert len(np.unique(luck)) == luck.size
    assert 0 < luck.min() < 2**-18


def test_scores_that_are_no_numbers(requests, fixed):
    policy = PlackettLuce(fixed([1.0, np.nan, 2.0]), 1.0)
    with pytest.raises(ValueError, match="scores must not be NaN"):
        policy.recommend(requests([0], 3), 2, draws_of(0, np.arange(1)))
    with pytest.raises(ValueError, match="scores must not be NaN"):
        policy.probabilities(requests([0], 3), np.array([[0, 2]], np.int32))
    with pytest.raises(ValueError, match="num_slots must be at most"):
        PlackettLuce(fixed([1.0, 2.0]), 1.0).recommend(requests([0], 2), 3, draws_of(0, np.arange(1)))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_temperature_is_checked(temperature, fixed):
    with pytest.raises(ValueError, match="temperature must be above 0 and finite, got"):
        PlackettLuce(fixed([1.0]), temperature)


def test_what_does_not_score_is_refused():
    with pytest.raises(ValueError, match=r"policy must be a scorer.*got random"):
        PlackettLuce(make_agent("random"), 1.0)


@pytest.mark.parametrize("spec", ["mf:dim=8,epochs=1,boltzmann=0.5", "ease:boltzmann=0.5,standardised=false"])
def test_it_learns_what_is_inside(spec, log, tmp_path):
    check_agent(lambda: make_agent(spec, seed=3), log, tmp_path)


def small(log):
    """The log on a catalogue of seven items."""
    slate = np.argsort(np.random.default_rng(0).random((len(log), 7)), axis=1)[:, :3].astype(np.int32)
    names = ("propensity", "prefix_propensity", "propensity_error", "source", "clicks", "dwell", "likes")
    features = replace(log.features, release=log.features.release[:7], withdrawal=log.features.withdrawal[:7])
    return replace(log, slate=slate, features=features, **{name: getattr(log, name)[:, :3] for name in names})


def test_rules_around_exploration_around_it_do_what_they_say(log, requests):
    policy = RepeatRules(EpsilonGreedy(make_agent("mf:dim=8,boltzmann=0.7"), 0.3, redraws=400), days=7)
    policy.learn(small(log))
    check_propensities(policy, requests([3], 7, clicked=[[1]], clicked_tick=[[99_000]]), 2)


@pytest.mark.parametrize("outside", [EpsilonGreedy, EpsilonGreedySlate, NewItemExploration])
def test_nestings_keep_the_laws(outside, log, requests):
    policy = RepeatRules(outside(make_agent("mf:dim=8,boltzmann=0.7"), 0.3, redraws=50), days=7)
    policy.learn(small(log))
    observation = requests(range(10), 7, clicked=[[i % 7] for i in range(10)], clicked_tick=[[99_000]] * 10)
    check_policy(policy, observation, 3, draws_of(1, observation.user))
