"""Team drafts: their probabilities are sums over all orders of picking, and credit goes to who picked."""

import itertools

import numpy as np
import pytest

from agents.baselines import Random
from agents.exploration import EpsilonGreedy
from agents.mixing import TeamDraft
from agents.mixing.team_draft import draft, marginal_probability, prefix_probability
from recsim_lab.streams import draws_of

A = np.ndarray


def drafts(inner: list[list[int]], num_slots: int) -> dict[tuple[int, ...], float]:
    """Every slate and its probability, order of picking by order of picking."""
    orders = list(itertools.permutations(range(len(inner))))
    num_rounds = -(-num_slots // len(inner))
    chances: dict[tuple[int, ...], float] = {}
    for rounds in itertools.product(orders, repeat=num_rounds):
        slate: list[int] = []
        for policy in list(itertools.chain(*rounds))[:num_slots]:
            slate.append(next(item for item in inner[policy] if item not in slate))
        chances[tuple(slate)] = chances.get(tuple(slate), 0.0) + len(orders) ** -num_rounds
    return chances


@pytest.mark.parametrize("num_policies, num_slots", [(2, 1), (2, 2), (2, 5), (2, 10), (3, 4), (3, 7), (4, 5)])
@pytest.mark.parametrize("num_items", [0, 3], ids=["same items", "some others"])
def test_probabilities_are_sums_over_all_orders_of_picking(num_policies, num_slots, num_items):
    generator = np.random.default_rng(num_slots)
    for _ in range(4):
        inner = [generator.permutation(num_slots + num_items)[:num_slots].tolist() for _ in range(num_policies)]
        chances = drafts(inner, num_slots)
        possible = np.array(list(chances), np.int32)
        # As many slates that can't be shown, or not to their ends.
        others = np.array([generator.permutation(num_slots + num_items)[:num_slots] for _ in range(20)], np.int32)
        slates = np.concatenate([possible, others])
        chance = np.array(list(chances.values()))
        prefix, marginal = np.empty(slates.shape), np.empty(slates.shape)
        for slot in range(num_slots):
            same = slates[:, None, : slot + 1] == possible[None, :, : slot + 1]
            prefix[:, slot], marginal[:, slot] = same.all(axis=2) @ chance, same[:, :, slot] @ chance
        repeated = np.tile(np.array(inner, np.int32), (len(slates), 1, 1))
        np.testing.assert_allclose(prefix_probability(repeated, slates), prefix, atol=1e-12)
        np.testing.assert_allclose(marginal_probability(repeated, slates), marginal, atol=1e-12)


def test_states_are_few_where_orders_are_many():
    """Twenty slots have 1,024 orders of picking; what they leave is told at once for a thousand requests."""
    generator = np.random.default_rng(0)
    inner = np.stack([generator.permuted(np.tile(np.arange(25), (1_000, 1)), axis=1)[:, :20] for _ in range(2)], axis=1)
    team, place = draft(inner, generator.random((1_000, 20)))
    items = inner[np.arange(1_000)[:, None], team, place]
    for row in range(3):
        chances = drafts(inner[row].tolist(), 20)
        last = sum(chance for slate, chance in chances.items() if slate[-1] == items[row, -1])
        assert marginal_probability(inner[row : row + 1], items[row : row + 1])[0, -1] == pytest.approx(last)
    assert (marginal_probability(inner, items) >= prefix_probability(inner, items) - 1e-12).all()


def test_a_hand_made_draft(fixed, requests):
    policy = TeamDraft((fixed("one", 0, 1, 2), fixed("two", 0, 3, 1)))
    observation = requests(range(4_000), 9)
    answer = policy.recommend(observation, 3, draws_of(0, observation.user))
    # Who picks first gets 0, the other one its next; then whoever is first picks its best that is left.
    drawn = {
        tuple(items): chance
        for items, chance in zip(answer.items.tolist(), answer.prefix_propensity[:, -1], strict=True)
    }
    assert drawn == {(0, 3, 1): 0.5, (0, 1, 2): 0.25, (0, 1, 3): 0.25}
    after_3 = answer.items[:, 1] == 3
    assert (answer.propensity[after_3] == [1, 0.5, 0.5]).all()
    sources = np.array(answer.sources)[answer.source]
    assert (sources[after_3, :2] == ["one", "two"]).all() and (sources[~after_3, :2] == ["two", "one"]).all()
    assert set(sources[after_3, 2]) == {"one", "two"}  # either would show 1
    # In each round each picks once, and each comes first as often as not: standard error .008.
    assert abs(after_3.mean() - 0.5) < 4 * 0.008


def test_each_policy_picks_once_in_every_round(fixed, requests):
    policies = tuple(fixed(name, *order) for name, order in (("a", (3, 1)), ("b", (3, 2)), ("c", (1, 2, 3))))
    observation = requests(range(3_000), 15)
    answer = TeamDraft(policies).recommend(observation, 7, draws_of(1, observation.user))
    assert (np.sort(answer.source[:, :3], axis=1) == [0, 1, 2]).all()
    assert (np.sort(answer.source[:, 3:6], axis=1) == [0, 1, 2]).all()
    for slot in range(7):
        share = np.bincount(answer.source[:, slot], minlength=3) / 3_000
        assert np.abs(share - 1 / 3).max() < 4.5 * (2 / 9 / 3_000) ** 0.5


def test_what_was_explored_is_its_policys_pick(fixed, requests):
    policy = TeamDraft((fixed("one"), EpsilonGreedy(fixed("two"), 0.5)))
    answer = policy.recommend(requests(range(200), 30), 4, draws_of(0, np.arange(200)))
    assert answer.sources == ("one", "two:epsilon=0.5/random", "two:epsilon=0.5/two")
    assert np.isnan(answer.propensity).all()
    assert ((answer.source == 0).sum(axis=1) == 2).all()


def test_the_same_policy_twice_is_certain_of_its_slate(fixed, requests):
    policy = TeamDraft((fixed("one", 4, 2), fixed("two", 4, 2)))
    answer = policy.recommend(requests([0, 1], 9), 5, draws_of(0, np.arange(2)))
    assert (answer.items == [4, 2, 0, 1, 3]).all() and np.allclose(answer.prefix_propensity, 1)


def test_bad_drafts_are_refused(fixed, requests):
    with pytest.raises(ValueError, match="policies must be at most 6, got 7"):
        TeamDraft(tuple(fixed(str(number)) for number in range(7)))
    with pytest.raises(ValueError, match="different names"):
        TeamDraft((Random(), Random()))
    with pytest.raises(ValueError, match="num_slots must be at most"):
        TeamDraft((fixed("one"), fixed("two"))).recommend(requests([0], 3), 4, draws_of(0, np.arange(1)))
