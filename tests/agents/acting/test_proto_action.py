"""The actor points into the space of items, the critic chooses among those around, and each learns its own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from agents.acting.experience import Experience, experience_of
from agents.acting.live_users import LiveUsers
from agents.acting.proto_action import Wolpertinger
from agents.acting.state import States
from agents.registry import make_agent
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation
from recsim_lab.streams import draws_of

A = np.ndarray
T = torch.Tensor
Toys = Callable[..., Any]
Requests = Callable[..., Observation]
SMALL: dict[str, Any] = {"dim": 8, "newest": 2, "batch_size": 64}


def _bold(agent: Wolpertinger, features: Any, num_slots: int) -> Wolpertinger:
    """Made for a catalogue, with weights large enough for points and values to differ."""
    agent.begin(features, num_slots)
    torch.manual_seed(agent.seed)
    with torch.no_grad():
        for parameter in agent._network().parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        agent._network().unit.fill_(2.0)
    return agent


def _seen(agent: Wolpertinger, observation: Observation) -> tuple[T, T, T]:
    """States, points and the space."""
    network, table = agent._network(), agent.table(observation.features)
    states = States.of(observation, agent.newest, agent.num_slots)
    with torch.no_grad():
        state, space = network.state(states, table), network.space(table)
        return state, network.point(state, space), space


# ---- the space --------------------------------------------------------------------------------------------------


def test_items_lie_where_their_features_say(featured_log: InteractionLog) -> None:
    """Coordinates of two topics, seven makers, five tags, of which each of k counts 1/k, and the price; four more tell
    items of the same features apart."""
    table = featured_log.features
    agent = Wolpertinger(**SMALL)
    agent.begin(table, 5)
    space = agent._network().space(agent.table(table)).numpy()
    price, tags = table.items["price"], table.items["tags"]
    expected = np.concatenate(
        [
            np.eye(2)[table.items["topic"]],
            np.eye(7)[table.items["maker"]],
            tags / np.maximum(tags.sum(axis=1, keepdims=True), 1),
            ((price - price.mean()) / price.std())[:, None],
        ],
        axis=1,
    )
    np.testing.assert_allclose(space[:, :-4], expected, atol=1e-5)
    assert len(np.unique(space[:, -4:], axis=0)) == len(space)


def test_points_lie_in_the_box_that_items_span(featured_log: InteractionLog) -> None:
    agent = _bold(Wolpertinger(**SMALL), featured_log.features, 5)
    _, point, space = _seen(agent, featured_log.observations(np.arange(200)))
    assert (point >= space.amin(dim=0)).all() and (point <= space.amax(dim=0)).all()
    assert point.std(dim=0).amax() > 0.05


# ---- choosing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbours", [1, 4, 30, 100])
def test_the_critic_orders_neighbours_and_nearness_the_rest(featured_log: InteractionLog, neighbours: int) -> None:
    """Against a loop over requests; with some items blocked, neighbours are those that are eligible."""
    agent = _bold(Wolpertinger(**SMALL, neighbours=neighbours), featured_log.features, 5)
    request = featured_log.observations(np.arange(40)).block(np.tile([0, 7, 9], (40, 1)))
    state, point, space = _seen(agent, request)
    scores, eligible = agent.scores(request), request.eligible()
    assert np.isfinite(scores).all()
    slates = agent.recommend(request, 6, draws_of(0, request.user)).items
    for row in range(40):
        distance = (space - point[row]).square().sum(dim=1).sqrt().numpy()
        may = np.flatnonzero(eligible[row])
        by_distance = may[np.argsort(distance[may])]
        near, far = by_distance[:neighbours], by_distance[neighbours:]
        with torch.no_grad():
            value = agent._network().value(state[row : row + 1], space[None])[0].numpy()
        np.testing.assert_allclose(scores[row, near], value[near], rtol=1e-4, atol=1e-5)
        expected = [*near[np.argsort(-value[near])], *far]
        assert slates[row].tolist() == expected[:6]
        assert np.argsort(-scores[row, may]).tolist() == [may.tolist().index(item) for item in expected]


def test_without_noise_it_shows_what_it_serves(toy: Toys) -> None:
    agent, users = Wolpertinger(**SMALL, neighbours=3, noise=0.0), LiveUsers(toy(30, 9, 2, "even"))
    _bold(agent, users.features, 2)
    users.begin(0)
    best = agent.recommend(users.observation, 2, draws_of(0, np.arange(30))).items
    new = agent.act(users, 0.0)
    np.testing.assert_array_equal(new.slate, best)
    assert np.isnan(new.chance).all() and new.candidates.shape == (30, 0)


def test_noise_falls_to_a_tenth(toy: Toys) -> None:
    """The nearest item of a point that was moved is another one: nearly always at first, seldom in the end."""
    agent, users = Wolpertinger(**SMALL, neighbours=1, noise=3.0), LiveUsers(toy(500, 9, 1, "even"))
    _bold(agent, users.features, 1)
    users.begin(0)
    torch.manual_seed(0)
    moved = []
    for progress, noise in ((0.0, 3.0), (0.5, 1.5), (0.95, 0.3)):
        _, point, space = _seen(agent, users.observation)
        width = space.amax(dim=0) - space.amin(dim=0)
        generator = torch.Generator().manual_seed(1)
        luck = torch.randn(point.shape, generator=generator)
        nearest = torch.cdist(point, space).argmin(dim=1)
        expected = (torch.cdist(point + noise * width * luck, space).argmin(dim=1) != nearest).float().mean()
        new = agent.act(users, progress)
        moved.append((new.slate[:, 0] != nearest.numpy()).mean())
        assert moved[-1] == pytest.approx(float(expected), abs=0.14)  # 4.5 standard errors of two samples of 500
    assert moved[0] > moved[2]


def test_all_it_shows_is_on_offer(seats: Callable[..., Any]) -> None:
    """Also where there are fewer neighbours than slots."""
    for neighbours in (1, 60):
        agent, users = Wolpertinger(**SMALL, neighbours=neighbours), LiveUsers(seats(30))
        _bold(agent, users.features, 3)
        users.begin(0)
        assert not users.observation.eligible().all()
        new = agent.act(users, 0.0)
        offered = users.features.on_offer(new.states.tick)
        assert np.take_along_axis(offered, new.slate.astype(np.int64), axis=1).all()
        assert (np.sort(new.slate, axis=1)[:, 1:] > np.sort(new.slate, axis=1)[:, :-1]).all()


# ---- learning ---------------------------------------------------------------------------------------------------


def _batch(log: InteractionLog) -> Experience:
    """Some slots hidden, some users gone for good."""
    experience, _ = experience_of(log, 2)
    generator = np.random.default_rng(0)
    batch = experience.take(slice(0, 64))
    batch.slate[generator.random(batch.slate.shape) < 0.3] = -1
    batch.slate[:, 0] = np.maximum(batch.slate[:, 0], 0)
    batch.ended[:] = generator.random(64) < 0.3
    return batch


@pytest.mark.parametrize("neighbours", [2, 20])
def test_the_critic_learns_what_slates_bring(featured_log: InteractionLog, neighbours: int) -> None:
    """Slate by slate; also with fewer neighbours than slots, of which the others are judged by the critic as well."""
    features, batch = featured_log.features, _batch(featured_log)
    agent, other = (
        _bold(Wolpertinger(**SMALL, neighbours=neighbours, discount=0.8, seed=seed), features, 5) for seed in (0, 1)
    )
    target, network, table = other._network(), agent._network(), agent.table(features)
    # The target is of another seed, and so its items are told apart at other places.
    target.apart.copy_(network.apart)
    errors, offered = [], features.on_offer(batch.after.tick)
    with torch.no_grad():
        space = network.space(table)
        state, after = network.state(batch.states, table), target.state(batch.after, table)
        point = target.point(after, space)
        mine = network.value(state, space.expand(64, -1, -1)).numpy()
        theirs = target.value(after, space.expand(64, -1, -1)).numpy()
        distance = torch.cdist(point, space).numpy()
    for row in range(64):
        may = np.flatnonzero(offered[row])
        by_distance = may[np.argsort(distance[row, may])]
        near = by_distance[:neighbours]
        best = [*near[np.argsort(-theirs[row, near])], *by_distance[neighbours:]][:5]
        future = 0.0 if batch.ended[row] else theirs[row, best].mean()
        seen = batch.slate[row][batch.slate[row] >= 0]
        errors.append((mine[row, seen].mean() - batch.reward[row] - 0.8 * future) / 2.0)
    agent.take_step = lambda loss: None  # type: ignore[method-assign]
    told = agent.update(batch, target, features)
    assert told["critic_loss"] == pytest.approx(np.mean(np.square(errors)), rel=1e-3)


def test_actor_and_critic_do_not_pull_each_other(featured_log: InteractionLog) -> None:
    """The critic's gradient and the state's are those of the critic's loss; the actor's is that of the values where it
    points, by a finite difference."""
    features, batch = featured_log.features, _batch(featured_log)
    agent = _bold(Wolpertinger(**SMALL, neighbours=10, discount=0.0), features, 5)
    network, table = agent._network(), agent.table(features)
    taken: list[T] = []
    agent.take_step = taken.append  # type: ignore[method-assign]
    agent.update(batch, network, features)
    taken[0].backward()
    found = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}

    network.zero_grad()
    space = network.space(table)
    state = network.state(batch.states, table)
    slate = torch.tensor(batch.slate).long()
    seen = (slate >= 0).float()
    value = (network.value(state, space[slate.clamp(min=0)]) * seen).sum(dim=1) / seen.sum(dim=1)
    ((value - torch.tensor(batch.reward)) / 2.0).square().mean().backward()
    for name, parameter in network.named_parameters():
        if parameter.grad is not None and not name.startswith("actor"):
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6)

    def worth() -> T:
        return (network.value(state, network.point(state, space)[:, None]) / 2.0).double().mean()

    weight = network.actor[2].bias
    with torch.no_grad():
        state = state.double()
        network.double()
        space = space.double()
        for place in (0, 5, 11):
            weight[place] += 1e-4
            above = worth()
            weight[place] -= 2e-4
            below = worth()
            weight[place] += 1e-4
            slope = float(above - below) / 2e-4
            assert found["actor.2.bias"][place].item() == pytest.approx(-slope, rel=1e-2, abs=1e-6)


def test_the_target_follows_by_a_share(featured_log: InteractionLog) -> None:
    agent = Wolpertinger(**SMALL, follow=0.25)
    agent.begin(featured_log.features, 5)
    target = agent._target({})
    with torch.no_grad():
        agent._network().actor[0].weight.add_(1)
    for share in (0.25, 1 - 0.75**2):
        agent.renew(target, 1)
        gap = target.actor[0].weight - (agent._network().actor[0].weight - 1)
        torch.testing.assert_close(gap, torch.full_like(gap, share), rtol=0, atol=1e-5)


def test_it_finds_the_items_that_are_clicked(toy: Toys, earns: Callable[..., float]) -> None:
    """3 of 10 items: random slots earn .3, those that it serves more than .95."""
    spec = "wolpertinger:discount=0,learning_rate=.005,neighbours=5,dim=16,newest=2,batch_size=128"
    agent = make_agent(spec, seed=1)
    agent.train(toy(32, 10, 1, "first three"), 150)
    assert earns(agent, toy(64, 10, 1, "first three")) > 0.95


def test_values_look_ahead(toy: Toys, earns: Callable[..., float]) -> None:
    """The chain's values are 8/3, 7/3 and 16/3, 11/3, to a tenth; it earns 2 a slate, a myopic agent 1, random 1.5."""
    spec = "wolpertinger:discount=.5,learning_rate=.01,neighbours=1,follow=.05,dim=16,newest=2,batch_size=128"
    agent = make_agent(spec, seed=0)
    env = toy(32, 2, 1, "chain")
    agent.train(env, 300)
    env.reset()
    env.mood[:16] = 1
    state, _, space = _seen(agent, Observation.of(env._fields(), env.features))
    with torch.no_grad():
        values = agent._network().value(state, space.expand(32, -1, -1)).numpy()
    assert values[16:].mean(axis=0) == pytest.approx([8 / 3, 7 / 3], rel=0.1)
    assert values[:16].mean(axis=0) == pytest.approx([16 / 3, 11 / 3], rel=0.1)
    assert earns(agent, toy(64, 2, 1, "chain")) == pytest.approx(2, abs=0.05)
