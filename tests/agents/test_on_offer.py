"""What was not on offer when a click was made is nothing to learn from, whatever the family."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.fields import Schema
from agents.registry import make_agent
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.testing import planted_log

NUM_DAYS, NUM_ITEMS = 12, 40
LATE = np.arange(NUM_ITEMS) >= NUM_ITEMS // 2
RELEASE = np.where(LATE, (np.arange(NUM_ITEMS) - 19) * NUM_DAYS // 24 * TICKS_PER_DAY, 0)


@pytest.fixture(scope="module")
def growing() -> InteractionLog:
    """Half of the items come one after the other; once there, they are clicked as often as the others."""
    log = planted_log(num_days=NUM_DAYS, num_users=120)
    absent = RELEASE[log.slate] > log.tick[:, None]
    slate = np.where(absent, -1, log.slate).astype(np.int32)
    return replace(log, slate=slate, clicks=log.clicks & ~absent, features=replace(log.features, release=RELEASE))


@pytest.mark.parametrize("spec", ["mf:dim=8,loss=ce", "mf:dim=8,loss=softmax,negatives=mixed,logq=true"])
def test_items_that_came_late_are_not_taken_for_worse(spec, growing):
    """Against all items, a late one scores .7 less than an early one that is liked as much."""
    agent = make_agent(spec, seed=0)
    agent.learn(growing)
    last = np.flatnonzero(growing.day == NUM_DAYS - 1)
    scores = agent.scores(growing.observations(last))
    own = np.arange(NUM_ITEMS) % 2 == growing.user[last, None] % 2
    liked_late, liked_early = scores[own & LATE].mean(), scores[own & ~LATE].mean()
    assert abs(liked_late - liked_early) < 0.15 < 1 < scores[own].mean() - scores[~own].mean()


@pytest.mark.parametrize("spec", ["mf", "sasrec:max_length=7", "bert4rec:max_length=7"])
def test_every_click_is_on_offer_at_its_own_time(spec, growing):
    """Each item is clicked once: were the minute of a row that of another click, the item would not be there."""
    row, slot = np.nonzero(growing.clicks)
    item = growing.slate[row, slot]
    of_its_user = np.flatnonzero(growing.user[row] == 2 * (item % 4) + item % 2)
    some, first = np.unique(item[of_its_user], return_index=True)
    row, slot = row[of_its_user[first]], slot[of_its_user[first]]
    clicks = np.zeros_like(growing.clicks)
    clicks[row, slot] = True
    release, withdrawal = np.zeros(NUM_ITEMS, np.int64), np.zeros(NUM_ITEMS, np.int64)
    release[some], withdrawal[some] = growing.tick[row], growing.tick[row] + 1
    log = replace(growing, clicks=clicks, features=replace(growing.features, release=release, withdrawal=withdrawal))
    agent = make_agent(spec, seed=0)
    table = Schema.of(log.features, 120, 1).table(log.features, "cpu")
    torch.manual_seed(0)
    batches = list(agent.catalogue_examples(log, table, None).batches(4, shuffled=True))
    assert all(table.on_offer(batch.items, batch.tick).all() for batch in batches)
    assert len(some) > 30 and sum(len(batch.items) for batch in batches) >= 8
