"""Specs with brackets become mixes and two stages, nest, keep their names, and say what was expected."""

import numpy as np
import pytest

from agents.base import parameter_types
from agents.baselines import Popularity, Random
from agents.business_rules import Caps
from agents.combinations import COMBINATIONS, HOW
from agents.ease import EASE
from agents.exploration import BootstrappedEnsemble, EpsilonGreedy, PlackettLuce
from agents.item_neighbours import ItemKNN
from agents.matrix_factorization import MatrixFactorization
from agents.mixing import Bandit, BySlot, Quota, TeamDraft, TrainedOn
from agents.registry import _AGENTS, _WRAPPED_BY, family_of, make_agent
from agents.specs import Spec, parameters_taken
from agents.two_stage import ByEmbeddings, ByScores, Fresh, Neighbours, Popular, TwoStage
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy

NAMES = [
    "quota(7 mf; 3 popularity)",
    "quota(2 mf:dim=8,target=impressions; 1 random; 2 ease):layout=in-order",
    "by-slot(mf; random at -2 -1)",
    "by-slot(mf; popularity at 0; by-slot(ease; random at 0) at 2 3)",
    "team-draft(mf; ease)",
    "team-draft(mf; ease:epsilon=0.2):topic_cap=3",
    "bandit(mf; ease)",
    "bandit(mf; ease):by=epsilon-greedy,arm_epsilon=0.2,arm_per=slate,prior_successes=2,prior_failures=9",
    "bandit(mf; ease):by=epsilon-greedy,epsilon=0.2,per=slate",
    "bandit(team-draft(mf; popularity:window_days=7); quota(4 ease; 1 random):epsilon=0.1):epsilon=0.3",
    "by-slot(mf:data=own; random at -1)",
    "mf:dim=8,thompson=0.5,data=own,epsilon=0.1",
    "mf:boltzmann=0.3,data=random",
    "two-stage(200 mf; 50 popularity; dlrm)",
    "two-stage(9 two-tower; 3 neighbours:num_neighbours=5,newest=2; 2 fresh:days=3; 4 ease; mlp):told=false",
    "two-stage(9 mf; 3 neighbours; 2 fresh; mlp:target=impressions):ranked_share=0.3,epsilon=0.1,topic_cap=2",
    "team-draft(two-stage(9 mf; popularity); two-stage(3 popularity; two-stage(5 mf; ease)))",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_makes_the_same_policy(name):
    agent = make_agent(name)
    assert agent.name == name and make_agent(agent.name).name == name


def test_what_stands_in_brackets_becomes_parts():
    quota = make_agent(" quota( 2 mf:dim=4 ;1 team-draft(ease;random) ) : layout = in-order", seed=7)
    assert isinstance(quota, Quota) and quota.quotas == (2, 1) and quota.layout == "in-order"
    mf, draft = quota.policies
    assert isinstance(mf, MatrixFactorization) and (mf.dim, mf.seed) == (4, 7)
    assert isinstance(draft, TeamDraft) and [type(part) for part in draft.policies] == [EASE, Random]
    slots = make_agent("by-slot(mf; random at -2 -1; ease at 0)")
    assert isinstance(slots, BySlot) and slots.slots == ((-2, -1), (0,))
    bandit = make_agent("bandit(mf; ease):by=epsilon-greedy,arm_epsilon=.2,arm_per=slate,prior_failures=5")
    assert isinstance(bandit, Bandit) and (bandit.by, bandit.arm_epsilon) == ("epsilon-greedy", 0.2)
    assert (bandit.arm_per, bandit.prior_successes, bandit.prior_failures) == ("slate", 1, 5)


def test_retrievers_suit_what_they_find_by():
    two = make_agent(
        "two-stage(9 mf; 8 popularity:window_days=3; 7 ease; 6 fresh:days=2; 5 neighbours:shrinkage=3; 4 mlp; dlrm)"
        ":ranked_share=0.25,told=false"
    )
    assert isinstance(two, TwoStage) and (two.ranked_share, two.told, two.heavy.name) == (0.25, False, "dlrm")
    retrievers, quotas = zip(*two.retrievers, strict=True)
    assert quotas == (9, 8, 7, 6, 5, 4)
    assert [type(one) for one in retrievers] == [ByEmbeddings, Popular, ByScores, Fresh, Neighbours, ByScores]
    assert retrievers[1].policy.window_days == 3 and retrievers[3].days == 2
    assert isinstance(retrievers[4].policy, ItemKNN) and retrievers[4].policy.shrinkage == 3
    assert make_agent("two-stage(9 fresh; mf)").retrievers[0][0].days is None


def test_policies_go_around_combinations_from_the_inside_out():
    outer = make_agent("team-draft(mf; ease):topic_cap=3,epsilon=0.1,data=own,ensemble=2", seed=5)
    assert isinstance(outer, Caps) and isinstance(outer.policy, EpsilonGreedy)
    trained = outer.policy.policy
    assert isinstance(trained, TrainedOn) and trained.data == "own"
    ensemble = trained.policy
    assert isinstance(ensemble, BootstrappedEnsemble) and len(ensemble.members) == 2
    seeds = [member.policies[0].seed for member in ensemble.members]
    assert isinstance(ensemble.members[0], TeamDraft) and len(set(seeds)) == 2
    assert isinstance(make_agent("two-stage(9 popularity; ease):boltzmann=0.3"), PlackettLuce)
    everything = make_agent("popularity:data=all")
    assert isinstance(everything, TrainedOn) and everything.name == "popularity"


def test_no_parameter_of_a_combination_is_one_of_a_policy_around_it():
    for make in COMBINATIONS.values():
        assert not set(parameters_taken(make)) & set(_WRAPPED_BY)
    for entry in _AGENTS.values():
        assert not set(parameter_types(entry.agent)) & set(_WRAPPED_BY)
    assert set(HOW) == set(COMBINATIONS)
    for name, spec in HOW.items():
        assert Spec.parse(spec).name == name and make_agent(spec).name == spec


@pytest.mark.parametrize(
    "spec, family",
    [
        ("quota(7 mf:dim=8; 3 popularity):epsilon=0.1", "mf"),
        ("by-slot(recent-popularity; random at -1)", "popularity"),
        ("bandit(team-draft(ease; mf); mf)", "ease"),
        ("two-stage(9 mf; 3 fresh; dlrm:dim=4)", "dlrm"),
        ("team-draft(two-stage(9 mf; two-stage(3 mf; dcn)); ease)", "dcn"),
    ],
)
def test_families(spec, family):
    assert family_of(spec) == family


@pytest.mark.parametrize(
    "spec, message",
    [
        ("quota(mf; ease)", r"parts of quota must be a number and an agent, as in quota\(7 mf; .*got 'mf'"),
        ("quota(7; 3 ease)", "parts of quota must be a number and an agent.*got '7'"),
        ("quota(0 mf; 3 ease)", "quotas must be at least 1"),
        ("by-slot(mf; random)", "all parts of by-slot but the first must be an agent and its slots.*got 'random'"),
        ("by-slot(mf; random at end)", "got 'random at end'"),
        ("by-slot(mf; by-slot(ease; random at -1))", "but the first must be an agent and its slots"),
        ("by-slot(mf)", "policies must be at least two, got"),
        ("team-draft(mf)", "policies must be at least two, got"),
        ("team-draft(mf; mf)", "policies must have different names"),
        ("team-draft(mf; ease; )", r"parts must not be empty, as in team-draft\(mf; ease\)"),
        ("bandit()", "parts must not be empty"),
        ("bandit", r"bandit must have its parts in brackets, as in bandit\(mf; ease\), got 'bandit'"),
        ("bandit(mf; ease):epsilon=2", r"epsilon must be in \[0, 1\], got 2"),
        ("bandit(mf; ease):arm_epsilon=2", r"arm_epsilon must be in \[0, 1\], got 2"),
        (
            "bandit(mf; ease):arm=2",
            "parameter must be one that bandit has.*got 'arm=2', which is near 'arm_per'; parameters of bandit: by:",
        ),
        ("team-draft(mf; ease):by=thompson", "parameter must be one that team-draft has"),
        ("team-draft(mf; ease:dim=3)", "parameter must be one that ease has"),
        ("mf(ease; mf)", "brackets must follow one of quota, by-slot, .*got 'mf"),
        ("mixture(mf; ease)", r"or a combination as in quota\(7 mf; 3 popularity\), .*got 'mixture'"),
        ("team-draft(mf; ease", "brackets of an agent must match"),
        ("team-draft(mf; ease))", "brackets of an agent must match"),
        ("team-draft(mf; ease)(mf)", "brackets of an agent must be followed by"),
        ("team-draft(mf; ease) epsilon=0.1", "brackets of an agent must be followed by"),
        ("team-draft(mf; ease):boltzmann=1", "policy must be a scorer"),
        ("two-stage(200 mf; 50 popularity)", "last part of two-stage must be an agent with scores.*got '50"),
        ("two-stage(mf; dlrm)", "all parts of two-stage but the last must be a number and an agent.*got 'mf'"),
        ("two-stage(dlrm)", "retrievers must hold at least one, got none"),
        ("two-stage(9 mf; random)", "last part of two-stage must be an agent with scores.*got 'random'"),
        ("two-stage(9 mf:epsilon=0.1; mlp)", "retriever must be fresh, neighbours or an agent with scores.*epsilon"),
        ("two-stage(9 mf; 3 mf; mlp)", "names of their own, got 'mf'"),
        ("two-stage(9 fresh:newest=3; mlp)", "parameter must be one that fresh has.*; parameters of fresh: days:"),
        ("two-stage(9 neighbours:days=3; mlp)", "parameter must be one that neighbours has"),
        ("two-stage(9 mf; mlp):ranked_share=1", r"ranked_share must be in \[0, 1\), got 1"),
        ("mf:data=mine", "data must be all or own or random, got 'mine'"),
    ],
)
def test_wrong_specs(spec, message):
    with pytest.raises(ValueError, match=message):
        make_agent(spec)


@pytest.mark.parametrize("spec", ["quota(mf; ease)", "mf(ease)", "bandit(mf; ease):arm=2", "two-stage(9 mf; none)"])
def test_families_of_wrong_specs(spec):
    with pytest.raises(ValueError, match="must"):
        family_of(spec)


@pytest.mark.parametrize(
    "spec",
    [
        "bandit(ease:data=own,epsilon=0.2; two-stage(9 mf:epochs=1; 5 fresh; ease))",
        "two-stage(12 popularity; 9 neighbours; mlp:target=impressions,epochs=1,warm_epochs=1,dim=4,hidden=8)",
    ],
)
def test_combinations_of_specs_keep_the_laws(spec, featured_log, tmp_path):
    check_agent(lambda: make_agent(spec, seed=2), featured_log, tmp_path)
    agent = make_agent(spec)
    agent.learn(featured_log)
    observation = featured_log.observations(np.arange(40))
    check_policy(agent, observation, 5, draws_of(1, observation.user))
    if isinstance(agent, TwoStage):
        popularity = Popularity()
        popularity.learn(featured_log)
        found = agent.found(observation)["popularity"]
        assert np.array_equal(
            found[:, 0], popularity.recommend(observation, 1, draws_of(0, observation.user)).items[:, 0]
        )
