"""What learns from impressions leaves hidden slots alone, whatever it is."""

from dataclasses import replace

import numpy as np
import pytest

from agents.business_rules import ClickRate
from agents.exploration.design import Design
from agents.exploration.linear_bandit import evidence_of
from agents.exploration.neural_linear import NeuralLinear
from agents.registry import make_agent
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.propensities import inverse_propensities
from recsim_lab.testing import planted_log


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    """Every other slot is somebody else's."""
    whole = planted_log()
    source = np.tile(np.arange(whole.num_slots, dtype=np.int16) % 2, (len(whole), 1))
    return InteractionLog(**{**vars(whole), "source": source, "sources": ("mine", "other")})


def test_click_rates_count_what_is_not_hidden(log):
    rate, num_items = ClickRate(), log.features.num_items
    rate.learn(log.only(["mine"]))
    mine = log.slate[:, ::2]
    assert np.array_equal(rate.num_impressions, np.bincount(mine.ravel(), minlength=num_items))
    assert np.array_equal(rate.num_clicks, np.bincount(mine[log.clicks[:, ::2]], minlength=num_items))


def test_linear_evidence_of_both_halves_is_that_of_the_whole(log):
    design = Design.of(log.features)
    whole, *halves = (evidence_of(part, design) for part in (log, log.only(["mine"]), log.only(["other"])))
    for name in ("gram", "moment", "num_impressions", "num_clicks"):
        total = sum(getattr(half, name) for half in halves)
        np.testing.assert_allclose(total, getattr(whole, name), rtol=1e-9, atol=1e-9)


def test_the_last_layer_counts_what_is_not_hidden(log):
    thompson = make_agent("mf:thompson=1,dim=4,epochs=1")
    assert isinstance(thompson, NeuralLinear)
    thompson.learn(log.only(["mine"]))
    assert thompson.evidence is not None
    assert thompson.evidence.num_impressions == log.slate[:, ::2].size
    assert thompson.evidence.num_clicks == log.clicks[:, ::2].sum()


def test_new_items_are_those_that_nobody_showed(log):
    explorer = make_agent("popularity:epsilon=0.1,rarity_power=1")
    explorer.learn(log.only(["mine"]))
    assert explorer.impressions.sum() == log.slate.size


def test_weights_of_what_is_not_hidden_stay(log):
    weights, hidden = (inverse_propensities(part, whole=False) for part in (log, log.only(["mine"])))
    np.testing.assert_allclose(hidden[:, ::2] / hidden[0, 0], weights[:, ::2] / weights[0, 0])


def test_slates_that_are_not_hidden_keep_their_weight_as_a_whole(log):
    prefix = log.prefix_propensity * (1 + np.arange(len(log)) % 7)[:, None]
    by_row = np.repeat(np.arange(len(log), dtype=np.int16)[:, None] % 2, log.num_slots, axis=1)
    log = replace(log, source=by_row, prefix_propensity=prefix)
    mine = inverse_propensities(log.only(["mine"]), whole=True)
    assert np.array_equal(mine[::2], inverse_propensities(log.take(slice(None, None, 2)), whole=True))
    assert not mine[1::2].any() and (mine[::2] > 0).all()


def test_slates_with_hidden_slots_have_no_weight_as_a_whole(log):
    part = log.only(["mine"])
    with pytest.raises(
        ValueError, match=rf"must be whole to be weighted.*got {len(log)} of {len(log)} with slots.*bce"
    ):
        inverse_propensities(part, whole=True)
    spec = "mf:target=impressions,weighting=snips,dim=2,epochs=1,loss="
    with pytest.raises(ValueError, match="slates must be whole to be weighted as a whole"):
        make_agent(spec + "softmax").learn(part)
    agent = make_agent(spec + "bce")
    agent.learn(part)
    assert agent.num_learned == 1
