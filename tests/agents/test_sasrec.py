"""SASRec finds what only the order of clicks and the time between them tell, and learns what it says it does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.sasrec import SASRec
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import NEVER, TICKS_PER_DAY, FeatureTable
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy

A = np.ndarray

NUM_ITEMS = 20
NEXT = np.random.default_rng(8).permutation(NUM_ITEMS)
AFTER_A_DAY = np.random.default_rng(9).permutation(NUM_ITEMS)
FAST = {
    "dim": 32,
    "num_blocks": 1,
    "embeddings": "position",
    "loss": "softmax",
    "epochs": 12,
    "learning_rate": 0.01,
    "batch_size": 16,
    "num_negatives": 15,
}


def fast(changes: dict[str, object]) -> SASRec:
    """A small one; with as many negatives as there are items, where it draws any."""
    settings = FAST | changes
    if settings["loss"] == "ce" or settings.get("target") == "impressions":
        settings.pop("num_negatives")
    return SASRec(**settings)


def chain(num_users: int, num_clicks: int, seed: int, timed: bool = False) -> InteractionLog:
    """Of the two items of each slate every user clicks the first: with probability .9 the one that follows the last
    click, which is another after a day than after a minute (`timed`)."""
    generator = np.random.default_rng(seed)
    shape = (num_users, num_clicks)
    waits = generator.random(shape) < (0.5 if timed else 0.0)
    strays = generator.random(shape) >= 0.9
    clicked = generator.integers(NUM_ITEMS, size=shape)
    for step in range(1, num_clicks):
        last = clicked[:, step - 1]
        follows = np.where(waits[:, step], AFTER_A_DAY[last], NEXT[last])
        clicked[:, step] = np.where(strays[:, step], clicked[:, step], follows)
    other = (clicked + generator.integers(1, NUM_ITEMS, size=shape)) % NUM_ITEMS
    slate = np.stack([clicked, other], axis=-1).reshape(-1, 2)
    user, session = (index.ravel() for index in np.indices(shape))
    certain = np.ones(slate.shape, np.float32)
    never = np.full(NUM_ITEMS, NEVER)
    log = InteractionLog(
        tick=np.cumsum(np.where(waits, TICKS_PER_DAY, 1), axis=1).ravel(),
        user=user.astype(np.int32),
        session=session.astype(np.int32),
        step=np.zeros(len(user), np.int32),
        device=np.zeros(len(user), np.int8),
        reward=certain[:, 0],
        left=np.ones(len(user), bool),
        slate=slate.astype(np.int32),
        propensity=certain,
        prefix_propensity=certain.astype(np.float64),
        propensity_error=0 * certain,
        source=np.zeros(slate.shape, np.int16),
        clicks=np.tile([True, False], (len(user), 1)),
        dwell=certain,
        likes=np.zeros(slate.shape, bool),
        features=FeatureTable((), (), {}, {}, release=np.zeros_like(never), withdrawal=never),
        sources=("nobody",),
        history=num_clicks,
        shown=2,
    )
    return log.take(np.argsort(log.tick, kind="stable"))


def share_found(agent, log, num_before: int = 3) -> float:
    """Of the later clicks, how many the agent puts first."""
    later = np.flatnonzero(log.session >= num_before)
    best = agent.scores(log.observations(later)).argmax(axis=1)
    return float((best == log.slate[later, 0]).mean())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "ce"},
        {"loss": "bce", "num_negatives": 4, "shared": False},
        {"loss": "gbce", "num_negatives": 4, "shared": False, "epochs": 40},
        {"loss": "bpr", "num_negatives": 4, "shared": False},
        {"negatives": "mixed", "logq": True, "num_negatives": 8},
        {"embeddings": "both"},
    ],
    ids=str,
)
def test_order_is_found(changes):
    agent = fast(changes)
    agent.learn(chain(100, 10, seed=0))
    # Of 20 items one follows with probability .905; popularity finds .05.
    assert share_found(agent, chain(60, 10, seed=1)) > 0.7


def test_what_is_clicked_of_a_slate_is_found():
    agent = fast({"target": "impressions", "epochs": 4, "batch_size": 64})
    agent.learn(chain(100, 10, seed=0))
    log = chain(60, 10, seed=1)
    scores = agent.scores(log.observations(), log.slate)[log.session >= 3]
    # The item that follows wins; where none of the two does, half of the guesses are right.
    assert (scores[:, 0] > scores[:, 1]).mean() > 0.85


@pytest.mark.parametrize("embeddings, finds", [("position", False), ("time", True), ("both", True)])
def test_time_is_found_by_its_embedding(embeddings, finds):
    agent = fast({"embeddings": embeddings, "loss": "ce", "epochs": 20})
    agent.learn(chain(150, 10, seed=0, timed=True))
    share = share_found(agent, chain(60, 10, seed=1, timed=True))
    # Who does not know whether a day has passed is right half of the time.
    assert share > 0.7 if finds else share < 0.6


def test_training_is_deterministic_and_leaves_torch_alone():
    log = chain(30, 8, seed=0)
    torch.manual_seed(5)
    expected = torch.rand(3)
    agents = [fast({"epochs": 2, "seed": seed}) for seed in (1, 1, 2)]
    torch.manual_seed(5)
    for agent in agents:
        agent.learn(log)
    assert torch.equal(torch.rand(3), expected)
    first, same, other = (agent.scores(log.observations()) for agent in agents)
    assert np.array_equal(first, same) and not np.allclose(first, other)


@pytest.mark.parametrize(
    "changes",
    [{}, {"embeddings": "time"}, {"target": "impressions", "max_length": 5, "batch_size": 128}, {"validation": 0.2}],
    ids=str,
)
def test_learning_and_state(changes, log, tmp_path):
    check_agent(lambda: fast({"epochs": 2} | changes), log, tmp_path)


@pytest.mark.parametrize("changes", [{}, {"embeddings": "both", "max_length": 7}], ids=str)
@pytest.mark.parametrize("taught", [False, True], ids=["untaught", "taught"])
def test_answers(changes, taught, log):
    agent = fast({"epochs": 2} | changes)
    if taught:
        agent.learn(log)
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    check_policy(agent, observation, 5, draws_of(1, observation.user, 5, 2))


def test_planted_taste_is_found(log):
    agent = fast({"epochs": 40, "learning_rate": 0.004})
    agent.learn(log)
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    slates = agent.recommend(observation, 5, draws_of(0, observation.user)).items
    assert (slates % 2 == observation.user[:, None] % 2).mean() > 0.95


def test_whoever_has_clicked_nothing_is_answered_by_what_users_click_first():
    log = chain(150, 4, seed=0)
    opening = np.where(log.session == 0, 7, log.slate[:, 0])
    log = replace(log, slate=np.stack([opening, log.slate[:, 1]], axis=1).astype(np.int32))
    agent = fast({})
    agent.learn(log)
    newcomers = log.observations(np.flatnonzero(log.session == 0)[:5])
    assert (agent.scores(newcomers).argmax(axis=1) == 7).all()


def test_held_out_clicks_are_not_learned_from():
    """The newest clicks show another rule than the older ones: who learned from them would know."""
    log = chain(100, 12, seed=0)
    newest = np.argsort(log.tick, kind="stable")[-100:]
    slate = log.slate.copy()
    slate[newest] = [[0, 1]]
    log = replace(log, slate=slate)
    agent = fast({"validation": 100 / len(log), "patience": 100, "epochs": 8})
    agent.learn(log)
    losses = np.array([[epoch.loss, -epoch.validation] for epoch in agent.curve])
    assert np.isfinite(losses).all() and losses[-1, 0] < losses[0, 0] - 0.3
    assert losses[-1, 1] > losses[-1, 0] + 1


def test_learning_on_is_quick():
    log = chain(100, 10, seed=0)
    agent = fast({"warm_epochs": 1})
    agent.learn(log)
    before = share_found(agent, chain(50, 12, seed=3))
    agent.learn(chain(150, 12, seed=2))
    assert len(agent.curve) == 1 and share_found(agent, chain(50, 12, seed=3)) > before - 0.05


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"num_heads": 3}, "dim must be a multiple of num_heads"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\), got -0.1"),
    ],
)
def test_wrong_parameters_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SASRec(**changes)
