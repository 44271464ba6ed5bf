"""The policy gradient is that of what slates earn, whoever showed them, and leads to where more is earned."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch

from agents.acting.diary import Diary
from agents.acting.experience import Experience
from agents.acting.live_users import LiveUsers
from agents.acting.reinforce import Reinforce, top_k_correction
from agents.acting.state import States
from agents.registry import make_agent
from recsim_lab.interaction_log import InteractionLog, empty_log
from recsim_lab.policy import Observation
from recsim_lab.testing import check_counts, check_propensities

A = np.ndarray
T = torch.Tensor
Requests = Callable[..., Observation]
SMALL: dict[str, Any] = {"dim": 8, "newest": 2}


# ---- the correction ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_slots", [1, 2, 5])
def test_the_correction_is_the_derivative_of_being_shown(num_slots: int) -> None:
    """d/dpi of 1 - (1 - pi)^K, the chance that K draws hold the item."""
    chance = torch.linspace(0.01, 0.99, 40 * num_slots, dtype=torch.float64).reshape(40, num_slots).requires_grad_()
    shown = 1 - (1 - chance) ** num_slots
    (slope,) = torch.autograd.grad(shown.sum(), chance)
    unknown = torch.full_like(chance, torch.nan)
    torch.testing.assert_close(top_k_correction(chance.detach(), unknown, 10.0), slope)
    as_logged = top_k_correction(chance.detach(), chance.detach(), 10.0)
    torch.testing.assert_close(as_logged, slope)


def test_weights_are_ratios_of_chances_up_to_the_most() -> None:
    """Of one slot the correction is the weight alone; what was not logged weighs 1, however likely it is now."""
    chance = torch.tensor([[0.2], [0.2], [0.9], [0.9]])
    logged = torch.tensor([[0.1], [0.4], [0.01], [torch.nan]])
    weights = top_k_correction(chance, logged, 5.0)
    assert weights[:, 0].tolist() == pytest.approx([2.0, 0.5, 5.0, 1.0])
    # Of two slots: 3 x 2 (1 - .3), and weights are cut before the second factor.
    two = top_k_correction(torch.tensor([[0.3, 0.3]]), torch.tensor([[0.1, 0.01]]), 4.0)
    assert two[0].tolist() == pytest.approx([3 * 1.4, 4 * 1.4])


def _gradients(agent: Reinforce, slates: A, chance: A, earned: A, size: int) -> T:
    """Gradients of the policy's loss by the item biases' weights, one for each batch of slates of the same request."""
    rows = len(slates)
    zeros = np.zeros((rows, 2), np.int32)
    states = States(zeros[:, 0], zeros[:, 0].astype(np.int64), zeros - 1, zeros.astype(np.int8), _numbers(rows))
    none = np.zeros((rows, 0), np.int32)
    parts = (slates, chance, earned > 0, earned, states, none, np.zeros(rows, bool))
    experience = Experience(states, *parts)
    losses: list[T] = []
    agent.take_step = losses.append  # type: ignore[method-assign]
    for start in range(0, rows, size):
        batch = slice(start, start + size)
        agent._step(experience.take(batch), earned[batch], np.zeros(size, np.float32), agent._table[0])
    weight = agent._network().bias.weight
    return torch.stack([torch.autograd.grad(loss, weight)[0][0] for loss in losses])


def _numbers(rows: int) -> A:
    return np.zeros((rows, 15), np.float32)


@pytest.mark.parametrize("num_slots", [1, 3])
def test_the_gradient_is_unbiased_whoever_showed_the_slates(num_slots: int, requests: Requests) -> None:
    """Six items of known worth, shown by another policy; 400 batches of 200 slates.

    The truth is the derivative of sum_a (1 - (1 - pi(a))^K) worth(a), divided by the slots. Eight means of two cases
    are compared with it within 5 standard errors: a right gradient fails with a chance of 1 in 200,000. Without
    the weights, the gradient is another one.
    """
    num_items, num_batches, size = 6, 400, 200
    generator = np.random.default_rng(num_slots)
    features = requests([0], num_items).features
    agent = Reinforce(**SMALL, seed=4, entropy=0.0, most_weight=1e9)
    agent.begin(features, num_slots)
    network, table = agent._network(), agent.table(features)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(4)
    worth = np.array([0.0, 1.0, 3.0, 0.5, 2.0, 0.2])
    showing = np.array([0.3, 0.05, 0.1, 0.25, 0.1, 0.2])
    slates = generator.choice(num_items, (num_batches * size, num_slots), p=showing).astype(np.int32)
    earned = (worth[slates] + generator.normal(size=slates.shape)).astype(np.float32)
    chance = showing[slates].astype(np.float32)

    one = np.zeros((1, 2), np.int32)
    state = States(one[:, 0], one[:, 0].astype(np.int64), one - 1, one.astype(np.int8), _numbers(1))
    policy = torch.softmax(network(state, table)[0][0], dim=0)
    value = ((1 - (1 - policy) ** num_slots) * torch.tensor(worth, dtype=torch.float32)).sum() / num_slots
    (truth,) = torch.autograd.grad(-value, network.bias.weight)
    assert truth.abs().max() > 1e-3

    def errors(logged: A) -> T:
        """How many standard errors the mean gradient is away from the truth."""
        gradients = _gradients(agent, slates, logged, earned, size)
        return (gradients.mean(dim=0) - truth[0]) / (gradients.std(dim=0) / num_batches**0.5)

    assert errors(chance).abs().max() < 5
    assert errors(np.full_like(chance, np.nan)).abs().max() > 20


# ---- acting -----------------------------------------------------------------------------------------------------


def test_slates_are_drawn_item_by_item(toy: Callable[..., Any]) -> None:
    """Ordered pairs come as often as drawing without replacement says: 12 pairs of 4 items, 40,000 slates."""
    agent = Reinforce(**SMALL, seed=1)
    users = LiveUsers(toy(40_000, 4, 2, "even"))
    agent.begin(users.features, 2)
    with torch.no_grad():
        agent._network().bias.weight.mul_(50)
    users.begin(0)
    policy = torch.softmax(torch.tensor(agent.scores(users.observation)[0]), dim=0).double().numpy()
    torch.manual_seed(0)
    experience, course = agent._act(users, 1)
    assert len(experience) == 40_000 and (course.following == -1).all()
    assert policy.max() > 1.5 * policy.min()
    np.testing.assert_allclose(experience.chance, policy[experience.slate], rtol=1e-5)
    pairs = list(permutations(range(4), 2))
    expected = [40_000 * policy[a] * policy[b] / (1 - policy[a]) for a, b in pairs]
    counts = [int((experience.slate == pair).all(axis=1).sum()) for pair in pairs]
    check_counts(np.array(counts), np.array(expected), "slates")


def test_items_that_are_not_on_offer_are_not_drawn(seats: Callable[..., Any]) -> None:
    agent, users = Reinforce(**SMALL), LiveUsers(seats(30))
    agent.begin(users.features, 3)
    users.begin(0)
    offered = users.observation.eligible()
    assert not offered.all()
    experience, _ = agent._act(users, 4)
    ticks = np.repeat(experience.states.tick[:, None], 3, axis=1)
    table = users.features
    assert ((table.release[experience.slate] <= ticks) & (ticks < table.withdrawal[experience.slate])).all()
    # And have no share in the policy: what is on offer sums to 1.
    chances = agent._log_chances(experience.states, table)[0].exp()
    torch.testing.assert_close(chances.sum(dim=1), torch.ones(len(experience)))
    assert not chances[torch.tensor(~table.on_offer(experience.states.tick))].any()


@pytest.mark.parametrize(("num_seats", "num_steps", "horizon"), [(1, 3, 1), (2, 5, 4), (3, 1, 16)])
def test_few_slates_are_learned_from(toy: Callable[..., Any], num_seats: int, num_steps: int, horizon: int) -> None:
    agent, steps = Reinforce(**SMALL, horizon=horizon), []
    agent.train(toy(num_seats, 4, 1, "even"), num_steps, Diary(report=lambda step, *others: steps.append(step)))
    assert steps == [*range(horizon, num_steps, horizon), num_steps]


# ---- learning ---------------------------------------------------------------------------------------------------


def test_it_finds_the_items_that_are_clicked(toy: Callable[..., Any], earns: Callable[..., float]) -> None:
    """3 of 10 items: random slots earn .3, those that it serves more than .95."""
    agent = make_agent("reinforce:discount=0,horizon=8,learning_rate=.02,dim=16,newest=2", seed=1)
    agent.train(toy(32, 10, 1, "first three"), 160)
    assert earns(agent, toy(64, 10, 1, "first three")) > 0.95


@pytest.mark.parametrize(("discount", "earned"), [(0.0, 1.0), (0.5, 2.0)])
def test_it_looks_as_far_ahead_as_its_discount(
    toy: Callable[..., Any], earns: Callable[..., float], discount: float, earned: float
) -> None:
    """In the chain a myopic policy earns 1 a slate, random items 1.5, the best policy 2."""
    agent = make_agent(f"reinforce:discount={discount},horizon=8,learning_rate=.02,dim=16,newest=2", seed=1)
    agent.train(toy(32, 2, 1, "chain"), 400)
    assert earns(agent, toy(64, 2, 1, "chain")) == pytest.approx(earned, abs=0.05)


def test_expectations_are_those_of_the_policy(toy: Callable[..., Any]) -> None:
    """Each slate earns 1 and a fifth leave after it: discounted by a half, .4 + .4^2 + ... = 2 / 3 is yet to come."""
    agent = Reinforce(**SMALL, discount=0.5, learning_rate=0.01, seed=2)
    env = toy(64, 3, 1, "mortal")
    agent.train(env, 400)
    observation = Observation.of(env.reset()[0], env.features)
    slots, later = agent._expected(States.of(observation, 2, 1), env.features)
    assert slots.mean() == pytest.approx(1, abs=0.05)
    assert agent.discount * later.mean() == pytest.approx(0.4 / 0.6, abs=0.07)


def test_it_learns_from_what_others_showed(toy: Callable[..., Any], played: Callable[..., InteractionLog]) -> None:
    """The log's policy shows the best items least: each of the three in 2% of the slots."""
    log = played(toy(40, 10, 1, "first three"), 30, np.array([0.02] * 3 + [0.94 / 7] * 7))
    agent = make_agent("reinforce:discount=0,learning_rate=.02,dim=16,newest=2,batch_size=100,epochs=10", seed=0)
    agent.learn(log)
    scores = agent.scores(log.observations(np.arange(40)))
    assert (scores[:, :3].min(axis=1) > scores[:, 3:].max(axis=1)).all()


def test_hidden_slots_teach_nothing(log: InteractionLog) -> None:
    """Half of the slots are hidden: those in which users clicked what is not their kind."""
    theirs = log.slate % 2 != log.user[:, None] % 2
    both = replace(log, source=theirs.astype(np.int16), sources=("mine", "theirs"))
    agent, other = (Reinforce(**SMALL, epochs=1, batch_size=200) for _ in range(2))
    agent.learn(both.only(["mine"]))
    # What stood in hidden slots is not looked at: with other items there, the same is learned.
    swapped = replace(both.only(["mine"]), slate=np.where(theirs, -1, log.slate).astype(np.int32))
    other.learn(swapped)
    for name, values in agent.state().items():
        np.testing.assert_array_equal(values, other.state()[name])
        assert np.isfinite(values).all()


def test_own_slots_alone_are_learned_from(log: InteractionLog) -> None:
    agent = make_agent("reinforce:dim=8,epochs=1,data=own")
    before = agent.policy.state()
    agent.learn(log)
    assert before == {} == agent.policy.state()  # the log's slots are those of random
    agent.learn(replace(log, sources=(agent.name,)))
    assert agent.policy.state()


def test_an_empty_log_teaches_nothing(log: InteractionLog) -> None:
    agent = Reinforce(**SMALL)
    agent.learn(empty_log(log.features, 5, 3, 4))
    agent.learn(log.take(np.arange(60)))  # one slate each: what followed is not known
    assert agent.state() == {}


# ---- serving ----------------------------------------------------------------------------------------------------


def test_served_as_it_learned_its_propensities_are_true(toy: Callable[..., Any], requests: Requests) -> None:
    spec = "reinforce:discount=0,learning_rate=.02,dim=8,newest=2,boltzmann=1,standardised=false"
    agent = make_agent(spec, seed=3)
    agent.policy.train(toy(16, 51, 2, "first three"), 48)
    request = requests([0], 51, clicked=[[1, 2]], blocked=[[5]])
    check_propensities(agent, request, 2, num_draws=40_000)
    policy = torch.softmax(torch.tensor(agent.policy.scores(request)[0]), dim=0).numpy()
    policy[5] = 0
    told = agent.probabilities(request, np.array([[1, 0]], np.int32))
    assert told.prefix[0, 0] == pytest.approx(policy[1] / policy.sum(), rel=1e-5)
