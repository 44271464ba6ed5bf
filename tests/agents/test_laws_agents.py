"""Every agent and every wrapper keeps the laws of `recsim_lab.testing`, and the laws catch those that do not."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from agents.business_rules import RepeatRules
from agents.registry import agent_names, make_agent
from recsim_lab.policy import Agent, Policy, certain, deterministic
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_counts, check_policy, check_propensities

VARIANTS = (
    "popularity:by=rate",
    "item-knn:num_neighbours=3",
    "mf:target=impressions,dim=8",
    "ease:epsilon=0.2",
    "random:epsilon=0.5",
    "mf:negatives=hard",
    "mf:negatives=mixed,shared=true,loss=softmax,logq=true",
    "mf:loss=ce,weight_decay=0",
    "two-tower:normalised=true,negatives=in-batch",
    "two-tower:target=impressions,loss=bpr,history=none",
    "dlrm:target=impressions,loss=listnet,position=weight",
    "dcn:structure=stacked,rank=0",
    "dcn:num_experts=3,rank=4,history=pooled",
    "mlp:validation=0.2,dropout=0.2",
)
NETWORKS = ("mlp", "two-tower", "dlrm", "dcn", "sasrec", "bert4rec")
SPECS = tuple(
    spec + ("," if ":" in spec else ":") + "dim=8,epochs=1,warm_epochs=1" if spec.startswith(NETWORKS) else spec
    for spec in (*agent_names(), *VARIANTS)
)
CASES = [
    *(pytest.param(spec, False, id=spec) for spec in SPECS),
    *(pytest.param(spec, True, id=f"{spec}-rules") for spec in SPECS if not spec.startswith((*NETWORKS, "mf:"))),
]
PERSONAL = (
    "item-knn",
    "ease",
    "ials",
    "mf",
    "mf:target=impressions,dim=8",
    "two-tower:learning_rate=.02,epochs=20",
    "dlrm:loss=softmax,learning_rate=.01,batch_size=128",
)
DETERMINISTIC = ("popularity", "ease", "ials", "mf")


@pytest.mark.parametrize("spec, ruled", CASES)
def test_learning_and_state(spec, ruled, log, tmp_path):
    def make() -> Agent:
        agent = make_agent(spec, seed=3)
        return RepeatRules(agent) if ruled else agent

    check_agent(make, log, tmp_path)


@pytest.mark.parametrize("spec, ruled", CASES)
@pytest.mark.parametrize("taught", [False, True], ids=["untaught", "taught"])
def test_answers(spec, ruled, taught, log):
    agent: Agent = make_agent(spec)
    if taught:
        agent.learn(log)
    rows = np.arange(len(log) - 100, len(log))
    observation = log.observations(rows)
    check_policy(RepeatRules(agent) if ruled else agent, observation, 5, draws_of(1, observation.user, 5, 2))


@pytest.mark.parametrize("spec", PERSONAL)
def test_planted_taste_is_found(spec, log):
    agent = make_agent(spec, seed=1)
    agent.learn(log)
    observation = log.observations(np.arange(60))
    slates = agent.recommend(observation, 5, draws_of(0, observation.user)).items
    assert (slates % 2 == observation.user[:, None] % 2).mean() > 0.95


def test_popularity_finds_no_taste(log):
    agent = make_agent("popularity")
    agent.learn(log)
    observation = log.observations(np.arange(60))
    slates = agent.recommend(observation, 5, draws_of(0, observation.user)).items
    assert (slates == slates[0]).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("inner", ["popularity", "mf"])
def test_epsilon_greedy_does_what_it_says(inner, epsilon, log, requests):
    agent = make_agent(f"{inner}:epsilon={epsilon}")
    small = replace(log, slate=log.slate % 9, features=requests([0], 9).features)
    agent.learn(small)
    check_propensities(agent, requests([3], 9, blocked=[[0, 4]]), 3)


def test_random_does_what_it_says(requests):
    check_propensities(make_agent("random"), requests([0], 12, blocked=[[5, 2, -1, 5]]), 3)


def test_rules_around_exploration_do_what_they_say(requests):
    policy = RepeatRules(make_agent("popularity:epsilon=0.3"), days=7)
    request = requests([0], 10, clicked=[[1, 2]], clicked_tick=[[0, 99_000]], shown=[[7, 8]])
    check_propensities(policy, request, 3)


@dataclass
class Flawed(Policy):
    """Shows items 0, 1, 2, ... but breaks one law."""

    flaw: str

    @property
    def name(self):
        return "flawed"

    def recommend(self, observation, num_slots, draws):
        items = np.tile(np.arange(num_slots), (len(observation), 1))
        chance = np.ones(items.shape, np.float32)
        prefix = np.ones(items.shape, np.float32)
        match self.flaw:
            case "repeats":
                items[:, 1] = items[:, 0]
            case "unknown":
                items[:, -1] = observation.features.num_items
            case "looks at the batch":
                items = np.roll(items, len(observation), axis=1)
            case "looks at the place":
                items[:, 0] += num_slots * (np.arange(len(observation)) % 2)
            case "half sure":
                chance *= 0.5
                prefix *= 0.5
            case "prefix above marginal":
                chance[:, 1] = 0.5
            case "slots":
                items = items[:, :-1]
            case "shy":
                chance *= 0.0
                prefix *= 0.0
            case "secretly random":
                random = draws.uniform(0, 1)[:, 0] < 0.01
                items[random, 0] = num_slots
        return replace(deterministic(items, "flawed"), propensity=chance, prefix_propensity=prefix)

    def probabilities(self, observation, slates):
        sure = replace(self, flaw="none").recommend(observation, slates.shape[1], None)
        told = certain(sure.items, slates)
        if self.flaw == "unsure when alone" and len(observation) == 1:
            return replace(told, marginal=told.marginal / 2, prefix=told.prefix / 2)
        return told


def test_the_flawless_passes(requests):
    check_policy(Flawed("none"), requests(range(8), 20), 4, draws_of(0, np.arange(8)))
    check_propensities(Flawed("none"), requests([0], 20), 4, num_draws=2_000)


@pytest.mark.parametrize(
    "flaw",
    [
        "repeats",
        "unknown",
        "looks at the batch",
        "looks at the place",
        "half sure",
        "prefix above marginal",
        "slots",
        "shy",
        "unsure when alone",
    ],
)
def test_a_broken_law_is_seen(flaw, requests):
    with pytest.raises((AssertionError, TypeError)):
        check_policy(Flawed(flaw), requests(range(8), 20), 4, draws_of(0, np.arange(8)))


def test_ineligible_items_are_seen(requests):
    with pytest.raises(AssertionError, match="eligible"):
        check_policy(Flawed("none"), requests(range(8), 20, blocked=[[2]] * 8), 4, draws_of(0, np.arange(8)))


def test_false_propensities_are_seen(requests):
    with pytest.raises(AssertionError, match="probability 0"):
        check_propensities(Flawed("secretly random"), requests([0], 20), 4, num_draws=2_000)


@pytest.mark.parametrize("probability, passes", [(0.5, True), (0.52, False)])
def test_counts_refute_wrong_probabilities(probability, passes):
    heads = np.random.default_rng(0).binomial(100_000, probability)
    observed, expected = np.array([heads, 100_000 - heads, 1]), np.array([50_000.0, 50_000.0, 1.0])
    if passes:
        check_counts(observed, expected, "coin")
    else:
        with pytest.raises(AssertionError, match="chi-square"):
            check_counts(observed, expected, "coin")


@dataclass
class Forgetful(Agent):
    """Shows what it saw last, and breaks one law of state."""

    flaw: str
    last: int = 0
    times: int = 0

    @property
    def name(self):
        return "forgetful"

    def recommend(self, observation, num_slots, draws):
        first = (self.last + self.times) % observation.features.num_items
        items = (first + np.arange(num_slots)) % observation.features.num_items
        return deterministic(np.tile(items, (len(observation), 1)), "forgetful")

    def probabilities(self, observation, slates):
        raise NotImplementedError

    def learn(self, log):
        self.last, self.times = int(log.slate[-1, 0]), self.times + 1
        if self.flaw == "unrepeatable":
            self.last = int(np.random.default_rng().integers(log.features.num_items))

    def save(self, path):
        path.write_text(f"{self.last} {self.times}")
        if self.flaw == "litters":
            path.with_suffix(".partial").write_text("")

    def load(self, path):
        self.last, self.times = map(int, path.read_text().split())
        if self.flaw == "forgets":
            self.times = 0


@pytest.mark.parametrize("flaw, law", [("litters", "one file"), ("forgets", "loading"), ("unrepeatable", "learning")])
def test_broken_state_is_seen(flaw, law, log, tmp_path):
    check_agent(lambda: Forgetful("none"), log, tmp_path)
    (tmp_path / "agent").unlink()
    with pytest.raises(AssertionError, match=law):
        check_agent(lambda: Forgetful(flaw), log, tmp_path)
