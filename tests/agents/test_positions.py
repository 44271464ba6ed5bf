"""A click in a good place is not mistaken for a good item, where the place is told to the model."""

from dataclasses import replace

import numpy as np
import pytest

from agents.registry import make_agent
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.testing import planted_log


@pytest.fixture(scope="module")
def examined() -> InteractionLog:
    """Twenty items, all as good: clicked with probability .6 where examined, which slots are with 1 and .25.

    Items 0 to 9 stand mostly in the first slot, the others mostly in the second.
    """
    log = planted_log(num_users=50, num_items=20, num_slots=2, num_days=30)
    generator = np.random.default_rng(3)
    first, second = generator.integers(10, size=len(log)), generator.integers(10, 20, size=len(log))
    slate = np.stack([first, second], axis=1)
    turned = generator.random(len(log)) < 0.2
    slate[turned] = slate[turned][:, ::-1]
    clicks = generator.random(slate.shape) < 0.6 * np.array([1, 0.25])
    return replace(log, slate=slate.astype(np.int32), clicks=clicks)


@pytest.mark.parametrize("loss", ["bce", "softmax", "bpr"])
def test_positions_are_told_from_tastes(loss, examined):
    """Between items that are clicked alike when seen, scores differ by where they stood unless position is used."""
    gaps = {}
    for position in ("ignored", "feature", "weight"):
        agent = make_agent(
            f"mf:dim=1,weight_decay=0,target=impressions,loss={loss},position={position},epochs=12,batch_size=512,learning_rate=.03"
        )
        agent.learn(examined)
        scores = agent.scores(examined.observations(np.arange(50)))
        gaps[position] = scores[:, :10].mean() - scores[:, 10:].mean()
    assert gaps["ignored"] > 0.6 and abs(gaps["feature"]) < 0.25 * gaps["ignored"]
    # Of a pair, only the winner is weighted: what was not clicked may not have been examined either.
    assert abs(gaps["weight"]) < (0.6 if loss == "bpr" else 0.25) * gaps["ignored"]


def test_offsets_of_slots_are_what_positions_cost(examined):
    agent = make_agent("mf:dim=1,weight_decay=0,target=impressions,loss=bce,epochs=40,learning_rate=.03")
    agent.learn(examined)
    bias = agent.slot_bias.detach().numpy()
    odds = np.log(0.6 / 0.4) - np.log(0.15 / 0.85)
    # 12,000 clicks and non-clicks: the standard error of the log-odds ratio is .05.
    assert bias[0] - bias[1] == pytest.approx(odds, abs=0.25)
