"""Quotas and slots: who stands where, what is shown where two want the same, and how likely it was."""

import itertools

import numpy as np
import pytest

from agents.baselines import Popularity, Random
from agents.exploration import EpsilonGreedy
from agents.mixing import BySlot, Quota
from recsim_lab.streams import draws_of

A = np.ndarray


def shown(policy, observation, num_slots: int) -> tuple[list[int], list[str]]:
    answer = policy.recommend(observation, num_slots, draws_of(0, observation.user))
    return answer.items[0].tolist(), [answer.sources[number] for number in answer.source[0]]


def test_each_supplies_its_quota_and_the_main_one_chooses_first(fixed, requests):
    one, two = fixed("one", 5, 2, 7), fixed("two", 2, 5, 8, 1)
    items, sources = shown(Quota((one, two), (3, 2)), requests([0], 10), 5)
    # Two's best, 2 and 5, are among one's three: it shows its next best.
    assert items == [5, 8, 2, 1, 7] and sources == ["one", "two", "one", "two", "one"]
    items, sources = shown(Quota((one, two), (3, 2), layout="in-order"), requests([0], 10, blocked=[[8]]), 5)
    assert items == [5, 2, 7, 1, 0] and sources == ["one"] * 3 + ["two"] * 2


@pytest.mark.parametrize(
    "quotas, owners",
    [
        ((7, 3), "0100010010"),
        ((5, 5), "0101010101"),
        ((8, 2), "0010000100"),
        ((2, 2, 2), "012012"),
        ((1, 4), "11011"),
    ],
)
def test_slots_are_spread_evenly(quotas, owners, fixed):
    policies = tuple(fixed(f"policy {place}") for place in range(len(quotas)))
    laid_out = Quota(policies, quotas).owners(sum(quotas)).tolist()
    assert "".join(map(str, laid_out)) == owners
    # Every policy's share of each beginning is within one of its share of the whole.
    for place, quota in enumerate(quotas):
        share = np.cumsum(np.array(laid_out) == place) - quota / sum(quotas) * np.arange(1, sum(quotas) + 1)
        assert (np.abs(share) <= 1).all()


@pytest.mark.parametrize("layout, owners", [("spread", "01010 01010 01"), ("in-order", "00011 00011 00")])
def test_longer_slates_repeat_the_layout(fixed, requests, layout, owners):
    one, two = fixed("one", 5, 2, 7, 9), fixed("two", 2, 5, 8, 1)
    quota = Quota((one, two), (3, 2), layout)
    expected = [int(owner) for owner in owners.replace(" ", "")]
    assert quota.owners(12).tolist() == expected
    _, sources = shown(quota, requests([0], 20), 12)
    assert sources == [("one", "two")[owner] for owner in expected]


def test_named_slots_belong_to_the_named(fixed, requests):
    policy = BySlot((fixed("main", 5, 2), fixed("two", 9, 5), fixed("three", 8, 9)), ((0,), (-1, 2)))
    items, sources = shown(policy, requests([0], 10), 5)
    # The main one has slots 1 and 3, and chooses first; then two, who wanted 9; then three.
    assert items == [9, 5, 8, 2, 0] and sources == ["two", "main", "three", "main", "three"]


def test_random_slots_only_in_the_last_positions(fixed, requests):
    policy = BySlot((fixed("main", 5, 2, 7, 4), Random()), ((-2, -1),))
    answer = policy.recommend(requests(range(2_000), 12), 5, draws_of(0, np.arange(2_000)))
    assert (answer.items[:, :3] == [5, 2, 7]).all() and answer.sources == ("main", "random")
    assert (answer.source == [0, 0, 0, 1, 1]).all()
    assert np.array_equal(np.unique(answer.items[:, 3:]), [0, 1, 3, 4, 6, 8, 9, 10, 11])
    assert np.allclose(answer.propensity, [1, 1, 1, 1 / 9, 1 / 9])
    assert np.allclose(answer.prefix_propensity, [1, 1, 1, 1 / 9, 1 / 72])


def tree(policies: list[tuple[list[int], float, list[int]]], num_items: int) -> dict[tuple[int, ...], float]:
    """Every slate and its probability when each policy in turn fills its slots, epsilon-greedily over its order."""
    chances: dict[tuple[int, ...], float] = {(-1,) * sum(len(slots) for *_, slots in policies): 1.0}
    for order, epsilon, slots in policies:
        taken_before = {slate: set(slate) for slate in chances}
        by_slate: dict[tuple[int, ...], float] = {}
        for slate, chance in chances.items():
            left = [item for item in range(num_items) if item not in taken_before[slate]]
            for picks in itertools.permutations(left, len(slots)):
                probability, placed = chance, []
                for pick in picks:
                    best = next(item for item in order if item in left and item not in placed)
                    probability *= epsilon / (len(left) - len(placed)) + (1 - epsilon) * (pick == best)
                    placed.append(pick)
                filled = list(slate)
                for slot, pick in zip(slots, picks, strict=True):
                    filled[slot] = pick
                by_slate[tuple(filled)] = by_slate.get(tuple(filled), 0.0) + probability
        chances = by_slate
    return chances


@pytest.mark.parametrize("slots", [(2,), (0,), (1,), (0, 2)], ids=str)
@pytest.mark.parametrize("epsilons", [(0.0, 0.4), (0.4, 0.0), (0.4, 1.0)], ids=str)
def test_probabilities_are_those_of_a_tree_of_all_choices(slots, epsilons, fixed, requests):
    orders = [[3, 1, 4, 0, 2], [1, 2, 3, 0, 4]]
    main, other = (
        EpsilonGreedy(fixed(name, *order), epsilon)
        for name, order, epsilon in zip(("main", "other"), orders, epsilons, strict=True)
    )
    own = [slot for slot in range(3) if slot not in slots]
    chances = tree([(orders[0], epsilons[0], own), (orders[1], epsilons[1], list(slots))], 5)
    slates = np.array(list(itertools.permutations(range(5), 3)), np.int32)
    expected = np.array([chances.get(tuple(slate), 0.0) for slate in slates.tolist()])
    prefix, marginal = np.empty(slates.shape), np.empty(slates.shape)
    for slot in range(3):
        prefix[:, slot] = ((slates[:, None, : slot + 1] == slates[None, :, : slot + 1]).all(axis=2) * expected).sum(1)
        marginal[:, slot] = ((slates[:, None, slot] == slates[None, :, slot]) * expected).sum(axis=1)

    policy = BySlot((main, other), (slots,), redraws=250)
    observation = requests([0] * len(slates), 5)
    told = policy.probabilities(observation, slates)
    if epsilons[0] == 0:  # the main one is certain
        assert told.exact.all()
    if slots == (2,):  # its slots come first
        assert ((told.prefix_error == 0) & ~np.isnan(told.prefix)).all()
    assert (told.error[:, own] == 0).all()
    for value, error, true in (
        (told.marginal, told.error, marginal),
        (told.prefix, told.prefix_error, prefix),
    ):
        known = ~np.isnan(value)
        assert known.mean() > 0.4
        # Some hundred distinct values: five and a half standard errors, false alarms below 1e-5.
        assert (np.abs(value - true) <= 5.5 * error + 1e-6)[known].all()
    answer = policy.recommend(observation, 3, draws_of(3, np.arange(len(slates))))
    row = [slates.tolist().index(items) for items in answer.items.tolist()]
    for mine, true in ((answer.propensity, marginal[row]), (answer.prefix_propensity, prefix[row])):
        assert (np.isclose(mine, true, rtol=1e-5) | np.isnan(mine)).all()
    if epsilons[0] == 0 or slots == (2,):
        assert not np.isnan(answer.prefix_propensity).any()


def test_the_main_policy_has_the_same_luck_in_every_mix(fixed, requests):
    main, other = EpsilonGreedy(fixed("main", 3, 1), 0.5), fixed("other", 8, 9)
    observation = requests(range(50), 20)
    draws = draws_of(2, observation.user)
    first = BySlot((main, other), ((-1,),)).recommend(observation, 4, draws).items
    second = BySlot((main, other, Random()), ((-2,), (0,))).recommend(observation, 5, draws).items
    assert np.array_equal(first[:, :2], second[:, 1:3])


def test_the_ranker_is_the_main_policys(fixed):
    main, other = fixed("main"), fixed("other")
    assert Quota((EpsilonGreedy(main, 0.1), other), (1, 1)).ranker is main
    assert BySlot((Random(), main), ((0,),)).ranker is None


def test_quotas_are_checked(fixed, requests):
    one, two = fixed("one"), fixed("two")
    with pytest.raises(ValueError, match=r"add up to the number of slots at most, got 7 \+ 3 = 10 for 8 slots"):
        shown(Quota((one, two), (7, 3)), requests([0], 20), 8)
    with pytest.raises(ValueError, match=r"quotas must be one for each of 2 policies, got \(1, 2, 3\)"):
        Quota((one, two), (1, 2, 3))
    with pytest.raises(ValueError, match=r"quotas must be at least 1, got \(2, 0\)"):
        Quota((one, two), (2, 0))
    with pytest.raises((ValueError, TypeError), match="layout"):
        Quota((one, two), (2, 1), layout="even")
    with pytest.raises(ValueError, match="asked for 5, a request has 4 of 6"):
        shown(Quota((one, two), (3, 2)), requests([0], 6, blocked=[[1, 2]]), 5)


def test_slots_are_checked(fixed, requests):
    one, two = fixed("one"), fixed("two")
    for slots in ((5,), (-6,)):
        with pytest.raises(ValueError, match=r"slots must be in \[-5, 5\), got"):
            shown(BySlot((one, two), (slots,)), requests([0], 9), 5)
    with pytest.raises(ValueError, match="slots must be named once, got"):
        shown(BySlot((one, two), ((4, -1),)), requests([0], 9), 5)
    with pytest.raises(ValueError, match="slots must be given for each policy but the main one"):
        BySlot((one, two), ((0,), (1,)))
    with pytest.raises(ValueError, match="slots must name at least one for each policy"):
        BySlot((one, two), ((),))


def test_names_must_tell_the_policies_apart(fixed):
    with pytest.raises(ValueError, match=r"policies must have different names.*\['popularity', 'popularity'\]"):
        Quota((Popularity(), Popularity()), (1, 1))
    with pytest.raises(ValueError, match=r"policies must be at least two, got \['one'\]"):
        Quota((fixed("one"),), (1,))
    with pytest.raises(ValueError, match="without '/'"):
        BySlot((fixed("a/b"), fixed("c")), ((0,),))


def test_names_say_what_is_mixed(fixed):
    one, two = fixed("one"), fixed("two")
    assert Quota((one, two), (7, 3)).name == "quota(7 one; 3 two)"
    assert BySlot((one, two), ((-2, -1),)).name == "by-slot(one; two at -2 -1)"
