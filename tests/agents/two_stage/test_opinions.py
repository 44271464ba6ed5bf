"""The second stage learns from impressions what retrievers' opinions are worth, of what they had not seen."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from agents.examples import Crosses
from agents.registry import make_agent
from agents.two_stage import ByEmbeddings, Fresh, Neighbours, Popular, Retrieved, Retriever, TwoStage
from agents.two_stage.opinions import logged_opinions, newest, opinions
from recsim_lab.policy import Agent, certain
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy

A = np.ndarray

HEAVY = (
    "dlrm:target=impressions,epochs=2,warm_epochs=1,dim=4",
    "dcn:target=impressions,epochs=2,warm_epochs=1,dim=4,structure=stacked",
    "mlp:target=impressions,loss=lambdarank,epochs=2,warm_epochs=1,dim=4,history=none",
)


def two_stages(heavy, **parameters):
    retrievers = ((ByEmbeddings(make_agent("mf:epochs=2", seed=2)), 12), (Popular(), 6), (Fresh(), 2))
    return TwoStage(retrievers, make_agent(heavy, seed=5), **parameters)


@pytest.mark.parametrize("heavy", HEAVY)
def test_laws(heavy, log, tmp_path):
    check_agent(lambda: two_stages(heavy), log, tmp_path)
    policy = two_stages(heavy)
    policy.learn(log)
    assert policy.heavy.network.schema.num_crosses == 6
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    check_policy(policy, observation, 5, draws_of(1, observation.user, 5, 2))


@dataclass(eq=False)
class Notes(Agent):
    """Keeps which logs it was taught."""

    taught: list = field(default_factory=list)

    name = "notes"

    def learn(self, log):
        self.taught.append((int(log.tick.min()), int(log.tick.max())))

    def recommend(self, observation, num_slots, draws):
        raise NotImplementedError

    def probabilities(self, observation, slates):
        return certain(slates, slates)

    def save(self, path):
        raise NotImplementedError

    def load(self, path):
        raise NotImplementedError


@dataclass(eq=False)
class Seer(Retriever):
    """Knows each user's taste; before it was taught, what it thinks says nothing, and it says so of item 0."""

    policy: Notes = field(default_factory=Notes)
    asked: list = field(default_factory=list)

    name = "seer"

    def retrieve(self, observation, num):
        items = np.tile(np.arange(num, dtype=np.int32), (len(observation), 1))
        return Retrieved(items, np.zeros(items.shape, np.float32))

    def judge(self, observation, items):
        self.asked.append((list(self.policy.taught), observation, items))
        if not self.policy.taught:
            return np.where(items == 0, np.nan, 0).astype(np.float32)
        return np.where(items % 2 == observation.user[:, None] % 2, 0.5, -0.5).astype(np.float32)


@pytest.mark.parametrize("loss", ["lambdarank", "bce"])
@pytest.mark.parametrize("family", ["mlp", "dlrm", "dcn"])
def test_what_only_a_retriever_knows_is_learned(family, loss, log):
    """Without ids and history nothing else tells users apart."""
    blind = (
        f"{family}:target=impressions,loss={loss},history=none,epochs=25,learning_rate=.02,validation=0,id_dropout=.9"
    )
    shares = {}
    for told in (True, False):
        policy = TwoStage(((Seer(), 40),), make_agent(blind, seed=1), told=told)
        policy.learn(log.take(slice(0, 720)))
        newcomers = replace(log.observations(np.arange(100)), user=np.arange(100, 200, dtype=np.int32))
        shown = policy.recommend(newcomers, 5, draws_of(0, newcomers.user)).items
        shares[told] = (shown % 2 == newcomers.user[:, None] % 2).mean()
    assert shares[True] > 0.95 and shares[False] == pytest.approx(0.5, abs=0.06)


def test_opinions_are_of_retrievers_that_have_not_seen_the_clicks(log):
    seer, heavy = Seer(), make_agent(HEAVY[2])
    policy = TwoStage(((seer, 40),), heavy, ranked_share=0.25)
    scouts = policy._untaught
    policy.learn(log)
    assert seer.policy.taught == [(log.tick.min(), log.tick.max())] and not seer.asked
    assert not scouts[0].policy.taught, "copies are taught, not what they are copied from"
    before, rows = newest(log, 0.25)
    assert log.tick[rows].min() > before.tick.max() and len(before) + len(rows) == len(log)
    assert len(rows) == pytest.approx(len(log) / 4, abs=60)
    # With no share held out, they are asked after they have learned from all.
    naive = TwoStage(((seer := Seer(), 40),), make_agent(HEAVY[2]), ranked_share=0)
    naive.learn(log)
    (taught, observation, items), *_ = seer.asked
    assert taught == [(log.tick.min(), log.tick.max())] and np.array_equal(items, log.slate)
    assert np.array_equal(observation.clicked, log.observations(np.arange(len(log))).clicked)


def test_opinions_are_judgements_and_flags(log):
    retrievers = (Seer(), Fresh())
    observation = log.observations(np.arange(7))
    items = np.tile(np.arange(3), (7, 1))
    told = opinions(retrievers, observation, items)
    assert told.shape == (7, 3, 4) and np.isfinite(told).all()
    assert (told[:, 0] == [0, 0, 1, 0]).all() and (told[:, 1:] == 0).all()
    crosses = logged_opinions(retrievers, log, np.array([5, 3]))
    assert crosses.values.shape == (2, 5, 4) and (crosses.values[..., 2] == (log.slate[[5, 3]] == 0)).all()


def test_serving_reads_the_opinions_it_learned_from(log):
    policy = two_stages(HEAVY[0])
    policy.learn(log)
    observation = log.observations(np.arange(40))
    candidates = policy.candidates(observation)
    items = np.where(candidates.there, candidates.items, candidates.items[:, :1])
    own = [retriever for retriever, _ in policy.retrievers]
    expected = policy.heavy.scores(observation, items, opinions(own, observation, items))
    got = policy.scores(observation, items)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert "opinions" in policy.seconds


def test_a_scorer_that_reads_none_learns_by_itself(log):
    staged = two_stages("dlrm:epochs=1,dim=4")  # its target is the catalogue
    staged.learn(log)
    alone = make_agent("dlrm:epochs=1,dim=4", seed=5)
    alone.learn(log)
    observation = log.observations(np.arange(20))
    assert np.array_equal(staged.heavy.scores(observation), alone.scores(observation))
    # So does one that was taught by itself before.
    taught = make_agent(HEAVY[0])
    taught.learn(log)
    policy = TwoStage(((Popular(), 9), (Neighbours(), 9)), taught)
    policy.learn(log)
    assert policy.recommend(observation, 5, draws_of(0, observation.user)).items.shape == (20, 5)


def test_crosses_that_do_not_fit_are_refused(log):
    crosses = Crosses(np.arange(50), np.zeros((50, 5, 3), np.float32))
    with pytest.raises(ValueError, match=r"crosses must go with target='impressions' .* got 'dlrm'"):
        make_agent("dlrm").learn(log, crosses)
    agent = make_agent(HEAVY[0])
    agent.learn(log, crosses)
    observation = log.observations(np.arange(4))
    with pytest.raises(ValueError, match="crosses must be the 3 that were learned from, got 0"):
        agent.scores(observation)
    with pytest.raises(ValueError, match="crosses must be the 3 that were learned from, got 2"):
        agent.learn(log, Crosses(crosses.rows, crosses.values[..., :2]))
    every = np.zeros((4, 40, 3), np.float32)
    items = np.tile(np.arange(40), (4, 1))
    np.testing.assert_allclose(
        agent.scores(observation, None, every), agent.scores(observation, items, every), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("share", [-0.1, 1])
def test_bad_shares(share):
    with pytest.raises(ValueError, match=rf"ranked_share must be in \[0, 1\), got {share}"):
        two_stages(HEAVY[0], ranked_share=share)


def test_the_ranker_is_not_told_its_own_opinion():
    from agents.two_stage import ByScores

    heavy = make_agent(HEAVY[1])
    with pytest.raises(ValueError, match="heavy must not be the policy of a retriever"):
        TwoStage(((ByScores(heavy), 9),), heavy)
