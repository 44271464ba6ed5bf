"""Names with variants become agents, and wrong ones are told what there is."""

import pytest

from agents.base import parameters_of
from agents.baselines import Popularity
from agents.business_rules import Calibrated, Caps, FreshnessQuota, GreedyDPP, MaximalMarginalRelevance
from agents.ease import EASE
from agents.exploration import (
    BootstrappedEnsemble,
    EpsilonGreedy,
    EpsilonGreedySlate,
    LinUCB,
    NeuralLinear,
    NewItemExploration,
    PlackettLuce,
)
from agents.item_neighbours import ItemKNN
from agents.matrix_factorization import MatrixFactorization
from agents.registry import _AGENTS, _WRAPPED_BY, agent_names, family_of, make_agent, target_of


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


def test_policies_around_agents():
    falling = make_agent("ease:epsilon=0.5,half_life_days=10,floor=0.1")
    assert isinstance(falling, EpsilonGreedy) and (falling.half_life_days, falling.floor) == (10, 0.1)
    assert isinstance(make_agent("ease:epsilon=0.1,per=slate"), EpsilonGreedySlate)
    assert type(make_agent("ease:epsilon=0.1,per=slot")) is EpsilonGreedy
    new = make_agent("ease:epsilon=0.1,half_life_days=3,rarity_power=0.5")
    assert isinstance(new, NewItemExploration) and (new.half_life_days, new.rarity_power) == (3, 0.5)
    raw = make_agent("ease:boltzmann=0.3,standardised=false")
    assert isinstance(raw, PlackettLuce) and (raw.temperature, raw.standardised) == (0.3, False)
    assert isinstance(make_agent("linucb:alpha=2"), LinUCB)


@pytest.mark.parametrize(
    "spec, rule",
    [
        ("mf:epsilon=0.1,mmr=0.3", MaximalMarginalRelevance),
        ("ease:dpp=0.2", GreedyDPP),
        ("ease:boltzmann=0.3,calibrated=0.4", Calibrated),
        ("popularity:topic_cap=2,creator_cap=1", Caps),
        ("popularity:fresh=2,fresh_days=3", FreshnessQuota),
    ],
)
def test_rules_around_agents_keep_their_names(spec, rule):
    agent = make_agent(spec)
    assert isinstance(agent, rule)
    assert agent.name == spec and make_agent(agent.name).name == spec


def test_policies_around_policies_stand_in_one_order():
    outer = make_agent("mf:epsilon=0.1,ensemble=3,dim=8,thompson=0.5,prior=2,share=0.8", seed=5)
    assert isinstance(outer, EpsilonGreedy)
    ensemble = outer.policy
    assert isinstance(ensemble, BootstrappedEnsemble) and (len(ensemble.members), ensemble.share) == (3, 0.8)
    for member in ensemble.members:
        assert isinstance(member, NeuralLinear) and (member.scale, member.regularization) == (0.5, 2)
        assert isinstance(member.policy, MatrixFactorization) and member.policy.dim == 8
    assert outer.name == "mf:dim=8,thompson=0.5,prior=2.0,ensemble=3,share=0.8,epsilon=0.1"
    assert make_agent(outer.name).name == outer.name


def test_parameters_of_wrappers_are_no_agents():
    for entry in _AGENTS.values():
        assert not {f.name for f in parameters_of(entry.agent)} & set(_WRAPPED_BY), entry


def test_families():
    assert {family_of(name) for name in agent_names()} == set(agent_names()) - {"recent-popularity"}
    assert family_of("recent-popularity:window_days=2,epsilon=.3") == "popularity"
    assert family_of("mf:ensemble=3,boltzmann=.1") == "mf"


@pytest.mark.parametrize(
    ("spec", "target"),
    [
        ("random", "none"),
        ("popularity", "catalogue"),
        ("popularity:by=rate", "impressions"),
        ("ease:epsilon=0.1", "catalogue"),
        ("mf", "catalogue"),
        ("mf:target=impressions,epsilon=0.1", "impressions"),
        ("linucb", "impressions"),
        ("quota(7 mf:target=impressions; 3 ease)", "impressions"),
    ],
)
def test_targets(spec, target):
    assert target_of(spec) == target


@pytest.mark.parametrize(
    "spec, message",
    [
        ("bert", "agent must be one of random, popularity, .*, got 'bert'"),
        ("mf:dmi=8", "got 'dmi=8', which is near 'dim'; parameters of mf: "),
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
        ("mf:floor=.1,per=slate", "floor, per must go with epsilon, got 'mf:floor=.1,per=slate'"),
        ("mf:share=.9", "share must go with ensemble"),
        ("mf:epsilon=.1,per=day", "per must be slot or slate, got 'day'"),
        ("mf:epsilon=.1,per=slate,rarity_power=1", "rarity_power must go with per=slot"),
        ("mf:epsilon=.1,floor=.05", "floor must go with half_life_days"),
        ("mf:ensemble=0", "members must be at least one agent, got none"),
        ("ease:thompson=1", "policy must be an agent whose scores are dot products .*, got ease"),
        ("random:boltzmann=1", "policy must be a scorer.*, got random"),
        ("mf:thompson=1,boltzmann=1", "policy must be a scorer.*, got mf:thompson=1.0"),
    ],
)
def test_wrong_specs(spec, message):
    with pytest.raises(ValueError, match=message):
        make_agent(spec)
