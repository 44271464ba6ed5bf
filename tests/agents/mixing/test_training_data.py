"""Who may learn from whose slots: what is hidden is no example, and still part of what users did."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.baselines import Popularity, Random
from agents.bert4rec import MaskedClicks
from agents.ease import EASE
from agents.examples import clicks_of, slates_of
from agents.exploration import EpsilonGreedy
from agents.fields import Schema
from agents.item_to_item import click_matrix
from agents.mixing import BySlot, Quota, TrainedOn
from agents.registry import make_agent
from agents.sasrec import NextClicks
from agents.sequences import ClickSequences
from recsim_lab.examination import by_rates
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Agent
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent

A = np.ndarray


@pytest.fixture(scope="module")
def mixed(log) -> InteractionLog:
    """The log of a mix: the last two slots of each slate are another policy's, or random."""
    source = np.zeros(log.slate.shape, np.int16)
    source[:, 3], source[:, 4] = 1, 2
    return replace(log, source=source, sources=("mine", "other/mine too", "other/random"))


@pytest.fixture(scope="module")
def mine(mixed) -> InteractionLog:
    return mixed.only(["mine"])


@pytest.fixture(scope="module")
def narrow(mixed) -> InteractionLog:
    """The log in which nothing stood in the other slots, ever."""
    per_slot = ("slate", "propensity", "prefix_propensity", "propensity_error", "source", "clicks", "dwell", "likes")
    return replace(mixed, **{name: getattr(mixed, name)[:, :3] for name in per_slot})


def table_of(log):
    return Schema.of(log.features, 60, 1).table(log.features, "cpu")


def test_clicks_are_examples_if_they_are_mine_and_history_whosever_they_are(mixed, mine):
    all_examples, mine_alone = (clicks_of(log, table_of(log), "cpu", 20) for log in (mixed, mine))
    assert len(mine_alone) == mixed.clicks[:, :3].sum() < len(all_examples)
    # The very examples of the mixed log that its first three slots gave, each with the same past.
    order = np.argsort(mixed.tick, kind="stable")
    kept = torch.tensor(np.nonzero(mixed.clicks[order])[1] < 3)
    assert torch.equal(mine_alone.items, all_examples.items[kept])
    for name in ("user", "tick", "clicked", "clicked_tick"):
        past, told = (getattr(x.requests, name)[x.row] for x in (all_examples, mine_alone))
        assert torch.equal(told, past[kept])


@pytest.mark.parametrize("only_clicked", [True, False])
def test_slates_hold_my_slots_alone(only_clicked, mixed, mine, narrow):
    """The request is that of the mixed log; items and labels those of the log in which the others never were."""
    weights = np.arange(1.0, 6.0)
    told = slates_of(mine, table_of(mine), "cpu", 20, only_clicked=only_clicked, slot_weights=weights)
    wanted = slates_of(narrow, table_of(narrow), "cpu", 20, only_clicked=only_clicked, slot_weights=weights[:3])
    assert torch.equal(told.items[:, :3], wanted.items) and (told.items[:, 3:] == -1).all()
    assert torch.equal(told.labels[:, :3], wanted.labels) and (told.labels[:, 3:] == 0).all()
    order = np.argsort(mixed.tick, kind="stable")
    rows = order[mixed.clicks[order, :3].any(axis=1)] if only_clicked else order
    assert np.array_equal(told.requests.clicked, mixed.observations(rows).clicked)


def test_slates_without_a_slot_of_mine_are_no_examples(mixed):
    foreign = mixed.source.copy()
    foreign[::3] = 1
    mine = replace(mixed, source=foreign).only(["mine"])
    assert len(slates_of(mine, table_of(mine), "cpu", 0, only_clicked=False)) == len(mixed) - len(mixed.source[::3])


def test_slot_weights_are_those_of_my_slots(mixed, mine, narrow):
    assert by_rates(mine).weights().tolist() == [*by_rates(narrow).weights(), 10.0, 10.0]
    # Where slots are sometimes mine, a rate counts when they were.
    source = np.where(np.arange(len(mixed))[:, None] % 2 == 0, 0, mixed.source).astype(np.int16)
    told = by_rates(replace(mixed, source=source).only(["mine"])).weights()
    rate = np.array([*mixed.clicks[:, :3].mean(axis=0), *mixed.clicks[::2, 3:].mean(axis=0)])
    np.testing.assert_allclose(told, rate.max() / rate)


def test_sequences_are_all_clicks_and_mine_are_to_be_predicted(mixed, mine):
    whole, told = ClickSequences.of(mixed, "cpu"), ClickSequences.of(mine, "cpu")
    assert torch.equal(whole.item, told.item) and torch.equal(whole.first, told.first)
    inputs = []
    for sequences in (whole, told):
        (batch,) = NextClicks(sequences, table_of(mixed), 200).batches(1_000, shuffled=False)
        inputs.append([p.tolist() for p in batch.inputs.token.split(batch.inputs.packing.lengths.tolist())])
    order = np.lexsort((mixed.step, mixed.session, mixed.user))
    row, slot = np.nonzero(mixed.clicks[order])
    of_mine = slot < 3
    assert np.array_equal(batch.items[:, 0], mixed.slate[order][row, slot][of_mine])
    # Each reads the very sequence that it would read of the mixed log, up to the last that it is to predict.
    for sequence, shorter in zip(*inputs, strict=True):
        assert shorter == sequence[: len(shorter)]
    user = mixed.user[order][row]
    last = {int(u): int(np.flatnonzero(of_mine[user == u])[-1]) + 1 for u in np.unique(user)}
    assert [len(shorter) for shorter in inputs[1]] == list(last.values())


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_only_mine_are_masked(share, mixed, mine):
    torch.manual_seed(0)
    for sequences in filter(len, ClickSequences.of(mine, "cpu").split(share)):
        examples = MaskedClicks(sequences, table_of(mixed), 200, mask_probability=0.5, last_probability=0.2)
        for shuffled in (True, False):
            for batch in examples.batches(7, shuffled):
                assert batch.items.min() >= 0
        for sequence in range(len(sequences)):
            window = sequences.windows(torch.tensor([sequence]), 200)
            for _ in range(5):
                inputs = examples._batch(torch.tensor([sequence]), 0.2).inputs
                assert sequences.may_learn[window.place[inputs.wanted]].all()


ALONE = (
    "popularity",
    "popularity:by=rate",
    "mf",
    "mf:negatives=popularity,num_negatives=2",
    "mf:negatives=hard,hard_warmup=0,num_negatives=2,epochs=3",
    "mf:target=impressions,loss=softmax,weight_decay=0",
    "mf:target=impressions,weight_decay=0,position=ignored",
    "mf:target=impressions,weight_decay=0,position=weight",
)
"""Agents that read no clicks before a request, so that to them the log is what it holds of mine."""


@pytest.mark.parametrize("spec", ALONE)
def test_it_learns_as_from_a_log_in_which_the_others_never_were(spec, mine, narrow):
    agents = [make_agent(spec, seed=3) for _ in range(2)]
    for agent, log in zip(agents, (mine, narrow), strict=True):
        agent.learn(log)
        agent.learn(log)
    observation = narrow.observations(np.arange(60))
    told, wanted = (agent.scores(observation) for agent in agents)
    if "softmax" in spec:  # which leaves open what a user's scores have in common
        told, wanted = (scores - scores.mean(axis=1, keepdims=True) for scores in (told, wanted))
    np.testing.assert_allclose(told, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", ["ease", "item-knn", "ials"])
def test_weights_between_items_are_of_mine_and_histories_of_all(spec, mixed, mine, narrow):
    agent, twin, other = (make_agent(spec) for _ in range(3))
    agent.learn(mine)
    twin.learn(narrow)
    other.learn(mixed)
    learned = [name for name in agent.state() if not name.startswith("clicked")]
    for name in learned:
        assert np.array_equal(getattr(agent, name), getattr(twin, name))
    # The same weights, asked about users of whom all is known.
    twin.clicked_items, twin.clicked_start = other.clicked_items, other.clicked_start
    observation = mixed.observations(np.arange(60))
    assert np.array_equal(agent.scores(observation), twin.scores(observation))
    assert click_matrix(mine).nnz == click_matrix(narrow).nnz < click_matrix(mixed).nnz


@pytest.mark.parametrize("spec", ["mf:position=weight,target=impressions", "sasrec:dim=8,epochs=1", "ease"])
def test_what_it_learns_from_tells_what_it_shows(spec, log):
    """Trained on random slots alone, a model knows no other items."""
    source = (log.slate >= 20).astype(np.int16)
    agent = TrainedOn(make_agent(spec, seed=1), "random")
    agent.learn(replace(log, source=source, sources=("random", "mine")))
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    assert agent.recommend(observation, 5, draws_of(0, observation.user)).items.max() < 20


@pytest.mark.parametrize("data", ["own", "random"])
@pytest.mark.parametrize(
    "spec", ["popularity:by=rate", "ease", "mf:epochs=1", "sasrec:dim=8,epochs=1", "bert4rec:dim=8,epochs=1"]
)
def test_a_log_with_nothing_for_it_teaches_nothing(spec, data, log):
    agent = TrainedOn(make_agent(spec), data)
    agent.learn(replace(log, sources=("somebody",)))
    observation = log.observations(np.arange(9))
    answer = agent.recommend(observation, 5, draws_of(0, observation.user))
    assert np.isfinite(agent.ranker.scores(observation)).all() and (answer.items[0] == answer.items).all()


def test_slots_are_its_own_by_its_name(log):
    """Alone, within exploration, within a mix: what the log calls a slot is what its policy learns from."""
    rows = np.arange(300)
    observation = log.observations(rows)
    draws = draws_of(5, observation.user)

    def learned_slots(policy: Agent, learner: TrainedOn) -> A:
        answer = policy.recommend(observation, 5, draws)
        served = replace(log.take(rows), slate=answer.items, source=answer.source, sources=answer.sources)
        heard: list[InteractionLog] = []
        learner.policy.learn = heard.append  # type: ignore[method-assign]
        policy.learn(served)
        return heard[0].slate >= 0, np.array(answer.sources)[answer.source]

    alone = TrainedOn(EASE(), "own")
    hears, source = learned_slots(alone, alone)
    assert hears.all() and set(source.flat) == {"ease:data=own"}

    inside = TrainedOn(EASE(), "own")
    hears, source = learned_slots(EpsilonGreedy(inside, 0.5), inside)
    assert np.array_equal(hears, source == "ease:data=own") and not hears.all()

    around = TrainedOn(EpsilonGreedy(EASE(), 0.5), "own")
    hears, source = learned_slots(around, around)
    assert hears.all() and "ease:epsilon=0.5,data=own/random" in source

    mate = TrainedOn(EASE(), "own")
    hears, source = learned_slots(Quota((EASE(), mate, Random()), (2, 2, 1)), mate)
    assert np.array_equal(hears, source == "ease:data=own") and hears.sum(axis=1).tolist() == [2] * 300

    student = TrainedOn(EASE(), "random")
    explored = EpsilonGreedy(student, 0.5)
    hears, source = learned_slots(BySlot((explored, Random()), ((-1,),)), student)
    assert np.array_equal(hears, (source == "random") | np.char.endswith(source, "/random"))
    assert set(source.flat) == {
        "ease:data=random,epsilon=0.5/random",
        "ease:data=random,epsilon=0.5/ease:data=random",
        "random",
    }

    everything = TrainedOn(EASE())
    hears, source = learned_slots(everything, everything)
    assert hears.all() and set(source.flat) == {"ease"} and everything.name == "ease"


def test_hidden_slots_stay_hidden(mixed):
    """A policy that learns from its own slots, within one that hears of random ones only, hears nothing."""
    once = mixed.only(["mine", "other/random"])
    assert np.array_equal(once.only(["mine"]).slate, mixed.only(["mine"]).slate)
    assert (once.only(["other/mine too"]).slate == -1).all()
    assert once.only(["mine"]).as_served is mixed


def test_state_is_that_of_the_agent_inside(log, tmp_path):
    check_agent(lambda: TrainedOn(make_agent("mf:epochs=1,warm_epochs=1"), "random"), log, tmp_path)
    plain = Popularity()
    TrainedOn(plain, "own").save(tmp_path / "popularity")
    Popularity().load(tmp_path / "popularity")


def test_data_must_be_somebodys():
    with pytest.raises((ValueError, TypeError), match="data"):
        TrainedOn(EASE(), "foreign")
