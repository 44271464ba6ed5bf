"""Names with variants become agents, and wrong ones are told what there is."""

import pytest

from agents.baselines import Popularity
from agents.ease import EASE
from agents.exploration import EpsilonGreedy
from agents.item_neighbours import ItemKNN
from agents.matrix_factorization import MatrixFactorization
from agents.registry import agent_names, family_of, make_agent


def test_specs_become_agents():
    mf = make_agent("mf:dim=16,target=impressions,weight_decay=1e-3", seed=7)
    assert isinstance(mf, MatrixFactorization)
    assert (mf.dim, mf.target, mf.weight_decay, mf.seed) == (16, "impressions", 1e-3, 7)
    recent = make_agent("recent-popularity")
    assert isinstance(recent, Popularity) and recent.window_days == 7
    assert make_agent("recent-popularity:window_days=none").window_days is None
    assert make_agent("recent-popularity: window_days = 3").window_days == 3
    assert isinstance(make_agent("item-knn:num_neighbours=5"), ItemKNN)
    explorer = make_agent("ease:regularization=50,epsilon=.1")
    assert isinstance(explorer, EpsilonGreedy) and explorer.epsilon == 0.1
    assert isinstance(explorer.policy, EASE) and explorer.policy.regularization == 50


@pytest.mark.parametrize("spec", ["mf:dim=16,target=impressions", "ease:regularization=1e-07", "popularity", "random"])
def test_a_name_makes_the_same_agent(spec):
    agent = make_agent(spec)
    assert agent.name == spec
    assert make_agent(agent.name).parameters == agent.parameters


def test_families():
    assert {family_of(name) for name in agent_names()} == set(agent_names()) - {"recent-popularity"}
    assert family_of("recent-popularity:window_days=2,epsilon=.3") == "popularity"


@pytest.mark.parametrize(
    "spec, message",
    [
        ("bert", "agent must be one of random, popularity, .*, got 'bert'"),
        ("mf:depth=3", "parameter must be one that mf has.*got 'depth=3'; parameters of mf: .*dim: int"),
        ("mf:dim", "got 'dim'"),
        ("mf:dim=8,dim=9", "dim must be given once"),
        ("mf:dim=wide", "dim must be int, got 'wide'; parameters of mf"),
        ("mf:dim=1.5", "dim must be int, got '1.5'"),
        ("mf:target=all", "target must be catalogue or impressions, got 'all'"),
        ("mf:seed=3", "parameter must be one that mf has"),
        ("mf:dim=0", "dim must be at least 1, got 0"),
        ("popularity:window_days=week", "window_days must be float or none, got 'week'"),
        ("ease:epsilon=2", r"epsilon must be in \[0, 1\], got 2"),
        ("", "agent must be one of"),
    ],
)
def test_wrong_specs(spec, message):
    with pytest.raises(ValueError, match=message):
        make_agent(spec)
