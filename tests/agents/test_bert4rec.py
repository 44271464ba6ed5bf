"""BERT4Rec finds an item from what is left of it and from what is right of it, and answers with the next."""

import numpy as np
import pytest
import torch

from agents.bert4rec import BERT4Rec
from agents.sequences import MASKED, Sequences
from agents.transformer import pack
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import NEVER, TICKS_PER_DAY, FeatureTable
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy

NUM_ITEMS = 20
NEXT = np.random.default_rng(8).permutation(NUM_ITEMS)
FAST = {"dim": 32, "num_blocks": 1, "epochs": 50, "learning_rate": 0.004, "batch_size": 32, "dropout": 0.1}


def chain(num_users: int, num_clicks: int, seed: int) -> InteractionLog:
    """Every user clicks, a day after the last click, with probability .9 the item that follows it."""
    generator = np.random.default_rng(seed)
    clicked = generator.integers(NUM_ITEMS, size=(num_clicks, num_users)).astype(np.int32)
    for day in range(1, num_clicks):
        follows = generator.random(num_users) < 0.9
        clicked[day, follows] = NEXT[clicked[day - 1, follows]]
    num = clicked.size
    day, user = (index.ravel() for index in np.indices(clicked.shape))
    one = np.ones((num, 1), np.float32)
    never = np.full(NUM_ITEMS, NEVER)
    return InteractionLog(
        tick=day * TICKS_PER_DAY,
        user=user.astype(np.int32),
        session=day.astype(np.int32),
        step=np.zeros(num, np.int32),
        device=np.zeros(num, np.int8),
        reward=one[:, 0],
        left=np.ones(num, bool),
        slate=clicked.reshape(num, 1),
        propensity=one,
        prefix_propensity=one.astype(np.float64),
        propensity_error=0 * one,
        source=np.zeros((num, 1), np.int16),
        clicks=np.ones((num, 1), bool),
        dwell=one,
        likes=np.zeros((num, 1), bool),
        features=FeatureTable((), (), {}, {}, release=np.zeros_like(never), withdrawal=never),
        sources=("nobody",),
        history=num_clicks,
        shown=1,
    )


@pytest.fixture(scope="module")
def taught() -> BERT4Rec:
    agent = BERT4Rec(**FAST)
    agent.learn(chain(400, 10, seed=0))
    return agent


def share_found(agent: BERT4Rec, log: InteractionLog) -> float:
    """Of the later clicks, how many the agent puts first."""
    later = np.flatnonzero(log.session >= 3)
    return float((agent.scores(log.observations(later)).argmax(axis=1) == log.slate[later, 0]).mean())


def test_the_next_is_found(taught):
    # Of 20 items one follows with probability .905; popularity finds .05.
    assert share_found(taught, chain(100, 10, seed=1)) > 0.8


@pytest.mark.parametrize(
    "changes",
    [{"loss": "softmax", "num_negatives": 15}, {"last_probability": 0.3}],
    ids=str,
)
def test_the_next_is_found_in_other_ways(changes):
    agent = BERT4Rec(**FAST | changes)
    agent.learn(chain(400, 10, seed=0))
    assert share_found(agent, chain(100, 10, seed=1)) > 0.6


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_masked_item_is_found_from_either_side(taught, side):
    """Three items of a chain of five are known; the one beside them is masked."""
    first = np.arange(NUM_ITEMS)
    second = NEXT[first]
    third = NEXT[second]
    fourth = NEXT[third]
    rows = [first, second, third, fourth]
    hidden = 3 if side == "left" else 0
    truth = rows[hidden]
    rows[hidden] = np.full(NUM_ITEMS, MASKED)
    token = torch.tensor(np.stack(rows, axis=1).ravel())
    wanted = torch.nonzero(token == MASKED)[:, 0]
    packing = pack(torch.full((NUM_ITEMS,), 4))
    sequences = Sequences(token, torch.zeros_like(token), packing, wanted)
    with torch.no_grad():
        scores = taught.network.encode(sequences) @ taught.network.items[1:].T
    assert (scores.argmax(dim=1).numpy() == truth).mean() >= 0.8


def test_training_is_deterministic():
    log = chain(30, 8, seed=0)
    agents = [BERT4Rec(**FAST | {"epochs": 2, "seed": seed}) for seed in (1, 1, 2)]
    for agent in agents:
        agent.learn(log)
    first, same, other = (agent.scores(log.observations()) for agent in agents)
    assert np.array_equal(first, same) and not np.allclose(first, other)


@pytest.mark.parametrize(
    "changes",
    [{}, {"loss": "bpr", "target": "impressions", "max_length": 5, "batch_size": 128}],
    ids=str,
)
def test_learning_and_state(changes, log, tmp_path):
    check_agent(lambda: BERT4Rec(**FAST | {"epochs": 2} | changes), log, tmp_path)


@pytest.mark.parametrize("is_taught", [False, True], ids=["untaught", "taught"])
def test_answers(is_taught, log):
    agent = BERT4Rec(**FAST | {"epochs": 2, "max_length": 7})
    if is_taught:
        agent.learn(log)
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    check_policy(agent, observation, 5, draws_of(1, observation.user, 5, 2))


def test_planted_taste_is_found(log):
    agent = BERT4Rec(**FAST)
    agent.learn(log)
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    slates = agent.recommend(observation, 5, draws_of(0, observation.user)).items
    assert (slates % 2 == observation.user[:, None] % 2).mean() > 0.95


def test_training_stops_where_the_newest_clicks_are_best_foretold():
    agent = BERT4Rec(**FAST | {"validation": 0.1, "patience": 2, "epochs": 200})
    agent.learn(chain(60, 10, seed=0))
    validation = [epoch.validation for epoch in agent.curve]
    assert len(validation) < 200 and np.argmax(validation) == len(validation) - 3


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"mask_probability": 1.5}, r"mask_probability must be in \[0, 1\], got 1.5"),
        ({"last_probability": -0.5}, r"last_probability must be in \[0, 1\], got -0.5"),
        ({"target": "impressions", "loss": "softmax", "mask_probability": 0.5}, "mask_probability must be left out"),
        ({"last_probability": 1.0, "mask_probability": 0.5}, "mask_probability must be left out unless last_prob"),
        ({"num_heads": 3}, "dim must be a multiple of num_heads"),
    ],
)
def test_wrong_parameters_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        BERT4Rec(**changes)
