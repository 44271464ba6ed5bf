"""SlateQ learns how users choose and what a choice is worth, and shows the slates that are worth most."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agents.acting.experience import Experience, experience_of
from agents.acting.live_users import LiveUsers
from agents.acting.slate_optimisation import best_slate
from agents.acting.slate_q import SlateQ
from agents.acting.state import States
from agents.registry import make_agent
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_policy, check_propensities, planted_log

A = np.ndarray
T = torch.Tensor
Requests = Callable[..., Observation]
Toys = Callable[..., Any]
SMALL: dict[str, Any] = {"dim": 8, "newest": 2, "batch_size": 64}


def _worths(agent: SlateQ, observation: Observation) -> tuple[A, A, A]:
    """Attractions and values of all items, and the value of nothing."""
    states = States.of(observation, agent.newest, agent.num_slots)
    with torch.no_grad():
        worths = agent._network()(states, agent._all(states), agent.table(observation.features))
    logit, value, nothing = (worth.double().numpy() for worth in worths)
    return np.exp(logit), value, nothing


# ---- what it learns ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chooser() -> Callable[[Toys], tuple[SlateQ, Observation]]:
    """A myopic agent that has learned how users choose between two items and nothing, taught once."""
    taught: list[tuple[SlateQ, Observation]] = []

    def teach(toy: Toys) -> tuple[SlateQ, Observation]:
        if not taught:
            agent = SlateQ(dim=8, newest=2, batch_size=1024, discount=0.0, learning_rate=0.01, explore=1.0, seed=3)
            env = toy(512, 2, 1, "choice")
            agent.train(env, 200)
            env.visit[:] = 100
            taught.append((agent, Observation.of(env._fields(), env.features)))
        return taught[0]

    return teach


def test_immediate_values_are_those_of_choices(chooser: Any, toy: Toys) -> None:
    """Attractions 2 and .5, values 1 and 3, nothing is worth 0, to a fifth."""
    agent, request = chooser(toy)
    attraction, value, nothing = _worths(agent, request)
    assert attraction.mean(axis=0) == pytest.approx([2.0, 0.5], rel=0.2)
    assert value.mean(axis=0) == pytest.approx([1.0, 3.0], abs=0.2)
    assert nothing.mean() == pytest.approx(0.0, abs=0.1)
    np.testing.assert_allclose(agent.scores(request), attraction * value, rtol=1e-5)


def test_slates_are_chosen_as_a_whole(chooser: Any, toy: Toys, tmp_path: Any) -> None:
    """Item 1 alone is worth .5 x 3 / 1.5 = 1 a slate, item 0 just 2 / 3 though its attraction times value is higher."""
    agent, request = chooser(toy)
    agent.save(tmp_path / "agent")
    draws = draws_of(0, request.user)
    assert (agent.recommend(request, 1, draws).items == 1).all()
    assert (agent.scores(request)[:, 0] > agent.scores(request)[:, 1]).all()
    for optimise, item in (("greedy", 1), ("top", 0)):
        other = replace(agent, optimise=optimise)
        other.restore(agent.state())
        answer = other.recommend(request, 1, draws)
        assert (answer.items == item).all() and (answer.prefix_propensity == 1).all()
        told = other.probabilities(request, np.full((len(request), 1), 1, np.int32))
        assert (told.prefix == (item == 1)).all() and (told.prefix_error == 0).all()


def test_values_look_ahead(toy: Toys, earns: Callable[..., float]) -> None:
    """The chain's values are 8/3, 7/3 and 16/3, 11/3, to a tenth; it earns 2 a slate, a myopic agent 1, random 1.5."""
    agent = SlateQ(dim=16, newest=2, batch_size=256, discount=0.5, learning_rate=0.01, renew_every=10, seed=1)
    env = toy(32, 2, 1, "chain")
    agent.train(env, 400)
    env.reset()
    env.mood[:16] = 1
    values = _worths(agent, Observation.of(env._fields(), env.features))[1]
    assert values[16:].mean(axis=0) == pytest.approx([8 / 3, 7 / 3], rel=0.1)
    assert values[:16].mean(axis=0) == pytest.approx([16 / 3, 11 / 3], rel=0.1)
    assert earns(agent, toy(64, 2, 1, "chain")) == pytest.approx(2, abs=0.05)


def test_a_myopic_agent_stays_where_it_is_paid(toy: Toys, earns: Callable[..., float]) -> None:
    agent = SlateQ(dim=16, newest=2, batch_size=128, discount=0.0, learning_rate=0.01, seed=1)
    agent.train(toy(32, 2, 1, "chain"), 100)
    assert earns(agent, toy(64, 2, 1, "chain")) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("candidates", [0, 5])
def test_it_finds_the_items_that_are_clicked(toy: Toys, earns: Callable[..., float], candidates: int) -> None:
    """3 of 10 items: random slots earn .3, those served more than .95, or with one of the three among 5 of 10
    candidates, which 1 in 12 sets lack, .917 (within 4.5 standard errors of 1,280 slates)."""
    agent = SlateQ(**SMALL, candidates=candidates, discount=0.0, learning_rate=0.01, seed=1)
    agent.train(toy(32, 10, 1, "first three"), 100)
    earned = earns(agent, toy(64, 10, 1, "first three"))
    assert earned > 0.95 if not candidates else earned == pytest.approx(11 / 12, abs=0.035)


# ---- the losses -------------------------------------------------------------------------------------------------


def _losses(agent: SlateQ, target: Any, batch: Experience, table: Any) -> tuple[float, float]:
    """The definition, slate by slate and choice by choice."""
    discount, unit = agent.discount, float(agent._network().unit)
    every = torch.zeros((len(batch), 0), dtype=torch.long)
    with torch.no_grad():
        mine = [worth.double().numpy() for worth in agent._network()(batch.states, every, table)]
        theirs = [worth.double() for worth in target(batch.after, every, table)]
    choice, value, num = 0.0, 0.0, 0
    for row in range(len(batch)):
        logit, worth, nothing = (part[row] for part in mine)
        attraction, then, none = theirs[0][row].exp(), theirs[1][row], theirs[2][row]
        among = batch.candidates[row].tolist() or list(range(len(then)))
        best = best_slate(
            attraction[None, among], then[None, among], none[None], torch.ones((1, len(among)), dtype=bool), 2
        )
        slate = [among[place] for place in best[0]]
        weight, gain = attraction[slate], then[slate]
        future = 0.0
        if not batch.ended[row]:
            future = discount * float(((weight * gain).sum() + none) / (1 + weight.sum()))
        seen = [slot for slot in range(2) if batch.slate[row, slot] >= 0]
        total = 1 + sum(np.exp(logit[batch.slate[row, slot]]) for slot in seen)
        reward = float(batch.earned[row].sum())
        if not batch.clicks[row].any():
            choice += np.log(total)
            value += ((nothing - reward - future) / unit) ** 2
            num += 1
        for slot in seen:
            if batch.clicks[row, slot]:
                item = batch.slate[row, slot]
                choice += np.log(total) - logit[item]
                value += ((worth[item] - batch.earned[row, slot] - future) / unit) ** 2
                num += 1
    return choice / num, value / num


@pytest.mark.parametrize("candidates", [0, 4])
def test_losses_are_as_defined(candidates: int) -> None:
    """Slates with no click, one and several, some slots hidden, some users gone for good, candidates or none."""
    pairs = planted_log(num_slots=2)
    hidden = np.random.default_rng(0).random(pairs.slate.shape) < 0.2
    experience, _ = experience_of(replace(pairs, slate=np.where(hidden, -1, pairs.slate)), 2)
    experience = experience.take(np.flatnonzero((experience.slate >= 0).any(axis=1))[:300])
    generator = np.random.default_rng(1)
    drawn = generator.permuted(np.tile(np.arange(40, dtype=np.int32), (300, 1)), axis=1)[:, :candidates]
    batch = replace(experience, ended=generator.random(300) < 0.3, candidates=drawn)
    assert {0, 1, 2} == set(batch.clicks.sum(axis=1).tolist())
    assert (batch.clicks & (batch.slate < 0)).any()
    agent, other = (SlateQ(**SMALL, discount=0.8, seed=seed) for seed in (0, 1))
    for one in (agent, other):
        one.begin(pairs.features, 2)
        with torch.no_grad():
            for parameter in one._network().parameters():
                parameter.mul_(2)
            one._network().unit.fill_(3.0)
    expected = _losses(agent, other._network(), batch, agent.table(pairs.features))
    taken: list[T] = []
    agent.take_step = taken.append  # type: ignore[method-assign]
    figures = agent.update(batch, other._network(), pairs.features)
    assert (figures["choice_loss"], figures["value_loss"]) == pytest.approx(expected, rel=1e-4)
    assert float(taken[0].detach()) == pytest.approx(sum(expected), rel=1e-4)


def test_values_count_in_what_a_life_is_worth(log: InteractionLog) -> None:
    """The root mean square of rewards, 1 where there is none, as often as the discount leaves; told the target too."""
    experience, _ = experience_of(log, 2)
    for reward, unit in ((2.0, 20.0), (0.0, 10.0)):
        agent, other = (SlateQ(**SMALL, discount=0.9) for _ in range(2))
        for one in (agent, other):
            one.begin(log.features, 5)
        batch = experience.take(slice(0, 64))
        batch = replace(batch, earned=np.full(batch.earned.shape, reward / 5, np.float32))
        agent.learn_from(batch, other._network(), log.features)
        assert float(agent._network().unit) == float(other._network().unit) == pytest.approx(unit)


def test_the_target_follows_at_times(toy: Toys) -> None:
    agent = SlateQ(**SMALL, renew_every=3)
    agent.begin(toy(1, 5, 1, "even").features, 1)
    target = agent._target({})
    with torch.no_grad():
        agent._network().queries.weight.add_(1)
    for number, same in ((1, False), (2, False), (3, True)):
        agent.renew(target, number)
        assert torch.equal(target.queries.weight, agent._network().queries.weight) == same


# ---- exploring --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drawn", [False, True])
def test_explored_slots_hold_any_other_item(drawn: bool) -> None:
    """20,000 slates of two of five items, item 4 not on offer: a share of .3 of the slots is changed, either slot for
    items 2 and 3 alike, each within 4.5 standard errors."""
    torch.manual_seed(0)
    agent, rows = SlateQ(), 20_000
    slate = torch.tensor([[0, 1]], dtype=torch.int32).repeat(rows, 1)
    pool = torch.tensor([[3, 1, 0, 2]]).repeat(rows, 1) if drawn else torch.zeros((rows, 0), dtype=torch.long)
    offered = np.broadcast_to(np.array([True, True, True, True, False]), (rows, 5))
    explored = agent._explored(slate, pool, offered, 0.3)
    assert explored.dtype == torch.int32 and (explored[:, 0] != explored[:, 1]).all()
    for slot in range(2):
        counts = explored[:, slot].bincount(minlength=5).tolist()
        assert counts[slot] / rows == pytest.approx(0.7, abs=0.0146)
        assert counts[1 - slot] == counts[4] == 0
        assert [counts[2] / rows, counts[3] / rows] == pytest.approx([0.15, 0.15], abs=0.0114)
    assert (agent._explored(slate, pool, offered, 0.0) == slate).all()


@pytest.mark.parametrize("drawn", [False, True])
def test_where_there_is_no_other_item_nothing_is_explored(drawn: bool) -> None:
    """Items 0 and 2 are shown, 1 is not on offer, nor among the candidates; so just one slot at most can change."""
    slate = torch.tensor([[0, 2]], dtype=torch.int32).repeat(50, 1)
    pool = torch.tensor([[2, 0]]).repeat(50, 1) if drawn else torch.zeros((50, 0), dtype=torch.long)
    offered = np.tile([True, False, True], (50, 1))
    assert (SlateQ()._explored(slate, pool, offered, 1.0) == slate).all()
    offered = np.tile([True, True, True], (50, 1))
    explored = SlateQ()._explored(slate, pool, offered, 1.0)
    assert (explored[:, 0] != explored[:, 1]).all()
    assert ((explored != slate).sum(dim=1) == (0 if drawn else 1)).all()


def test_exploration_falls_to_its_last_share(toy: Toys) -> None:
    """Shares of slots that are not the best at 0, 10%, 20% and 90% of the steps: with 4 of 5 items to choose from, all,
    60%, and 20%; within 4.5 standard errors of 2,000 slates."""
    agent = SlateQ(**SMALL, explore=0.2, annealing=0.25)
    users = LiveUsers(toy(2000, 5, 1, "even"))
    agent.begin(users.features, 1)
    users.begin(0)
    torch.manual_seed(0)
    for progress, share in ((0.0, 1.0), (0.1, 0.6), (0.2, 0.2), (0.9, 0.2)):
        best = agent.recommend(users.observation, 1, draws_of(0, np.arange(2000))).items
        new = agent.act(users, progress)
        assert (new.slate != best).mean() == pytest.approx(share, abs=4.5 * np.sqrt(share * (1 - share) / 2000))


def test_all_it_does_is_on_offer(seats: Callable[..., Any]) -> None:
    """Slates, and the candidates that follow, in a world whose items come and go."""
    for candidates in (0, 6):
        agent, users = SlateQ(**SMALL, candidates=candidates), LiveUsers(seats(30))
        agent.begin(users.features, 3)
        users.begin(0)
        torch.manual_seed(0)
        for _ in range(3):
            assert not users.observation.eligible().all()
            new = agent.act(users, 0.0)
            for items, states in (
                (new.slate, new.states),
                (new.candidates, new.after),
            ):
                offered = users.features.on_offer(states.tick)
                assert np.take_along_axis(offered, items.astype(np.int64), axis=1).all()
            assert new.candidates.shape == (30, candidates)


# ---- serving ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(toy: Toys) -> Callable[..., SlateQ]:
    def make(**parameters: Any) -> SlateQ:
        agent = SlateQ(**SMALL, discount=0.0, seed=2, **parameters)
        agent.train(toy(16, 8, 2, "first three"), 10)
        return agent

    return make


@pytest.mark.parametrize("optimise", ["exact", "greedy", "top"])
def test_what_is_blocked_is_not_shown(small: Any, requests: Requests, optimise: str) -> None:
    agent = small(optimise=optimise)
    request = requests(range(6), 8, clicked=[[1, 2]] * 6)
    free = agent.recommend(request, 2, draws_of(0, np.arange(6))).items
    without = request.block(free[:, :1])
    answer = agent.recommend(without, 2, draws_of(0, np.arange(6)))
    assert not (answer.items == free[:, :1]).any()
    check_policy(agent, without, 2, draws_of(0, np.arange(6)))


def test_drawn_candidates_have_the_propensities_that_are_told(small: Any, requests: Requests) -> None:
    """`recommend` can't tell them, `probabilities` does by redraws."""
    agent = small(candidates=4)
    request = requests([0], 8, clicked=[[1, 2]], blocked=[[5]])
    answer = agent.recommend(request, 2, draws_of(0, np.arange(1)))
    assert np.isnan(answer.propensity).all() and np.isnan(answer.prefix_propensity).all()
    told = agent.probabilities(request, answer.items)
    assert 0 < told.marginal[0, 0] < 1 and told.error[0, 0] > 0
    check_propensities(agent, request, 2, num_draws=20_000)


def test_candidates_are_drawn_anew_for_each_request(small: Any, requests: Requests) -> None:
    agent, request = small(candidates=2), requests([0] * 400, 8)
    items = agent.recommend(request, 2, draws_of(0, np.arange(400))).items
    assert len({frozenset(slate) for slate in items.tolist()}) == 28  # all pairs of 8 items
    check_policy(agent, request.take(slice(0, 9)), 2, draws_of(0, np.arange(9)))


def test_candidates_must_suffice(small: Any, toy: Toys, requests: Requests) -> None:
    with pytest.raises(ValueError, match="candidates must be 0 or at least the 2 slots, got 1"):
        small(candidates=1)
    agent = small(candidates=3)
    draws = draws_of(0, np.arange(1))
    with pytest.raises(ValueError, match="candidates must be 0 or at least the 4 slots, got 3"):
        agent.recommend(requests([0], 8), 4, draws)
    with pytest.raises(ValueError, match="candidates must be at most the number of items on offer, got 3 of 2"):
        agent.recommend(requests([0], 8, blocked=[[0, 1, 2, 3, 4, 5]]), 2, draws)
    with pytest.raises(ValueError, match="num_slots must be at most the number of eligible items"):
        agent.recommend(requests([0], 8, blocked=[[0, 1, 2, 3, 4, 5]]), 3, draws)


def test_it_learns_a_planted_taste_from_a_log(log: InteractionLog) -> None:
    """Users of either kind click their own; half of random slots are of it, of those served more than nine tenths."""
    agent = make_agent("slate-q:discount=0,learning_rate=.02,epochs=10,dim=8,batch_size=128,newest=10", seed=0)
    agent.learn(log)
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    slates = agent.recommend(observation, 5, draws_of(0, observation.user)).items
    assert (slates % 2 == observation.user[:, None] % 2).mean() > 0.9
