"""What all rules that re-order share: candidates, sources, probabilities, and the order that is judged offline."""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import pytest

from agents.baselines import Popularity, Random
from agents.business_rules import (
    Calibrated,
    Caps,
    FreshnessQuota,
    GreedyDPP,
    MaximalMarginalRelevance,
    RepeatRules,
    ReRanked,
    ReRanking,
)
from agents.business_rules.re_ranking import relevance
from agents.exploration import EpsilonGreedy
from agents.registry import make_agent
from recsim_lab.evaluation.offline import mean_of_folds, protocol_metrics, requests_of_fold
from recsim_lab.evaluation.protocols import Fold, Protocol, TemporalSplit
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.probabilities import certain
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy
from tests.agents.business_rules.made_by_hand import Ordered, features_of, with_fields

A = np.ndarray

MEMBERS = (
    Caps(Random(), 2, 2),
    Caps(Random(), per_topic=1, per_creator=None, topic="tags"),
    FreshnessQuota(Random(), 2),
    MaximalMarginalRelevance(Random(), 0.4, ("genre", "tags")),
    GreedyDPP(Random(), 0.4, ("tags",)),
    Calibrated(Random(), 0.6),
    Calibrated(Random(), 0.6, "tags"),
)


@final
@dataclass(eq=False)
class Backwards(ReRanking):
    """Shows the last candidates, last first, and calls rows with fewer than six of them unmet."""

    @property
    def rule(self):
        return "backwards"

    def choose(self, observation, candidates, num_slots):
        num = candidates.shape[1]
        return np.tile(num - 1 - np.arange(num_slots), (len(candidates), 1)), np.full(len(candidates), num < 6)


def test_candidates_are_the_head_of_the_longer_slate(requests):
    scorer = Ordered(np.arange(20.0, 0, -1)[None])
    policy = Backwards(scorer, depth=3)
    # 6, 5 and 2 eligible items of the twenty for two slots.
    observation = requests([0, 1, 2], 20, blocked=[[], [0, *range(6, 20)], [0, *range(3, 20)]])
    answer = policy.recommend(observation, 2, draws_of(0, observation.user))
    assert answer.items.tolist() == [[5, 4], [5, 4], [2, 1]]
    assert policy.num_unmet == 2
    assert (answer.propensity == 1).all() and (answer.prefix_propensity == 1).all()
    with pytest.raises(ValueError, match="num_slots must be at most the number of eligible items: asked for 3"):
        policy.recommend(observation, 3, draws_of(0, observation.user))
    nobody = policy.recommend(observation.take(slice(0, 0)), 2, draws_of(0, observation.user[:0]))
    assert nobody.items.shape == (0, 2)


def test_sources_stay_with_their_items_even_where_rows_differ_in_them(requests):
    @dataclass
    class Named(Ordered):
        """Calls itself by the number of slots."""

        def recommend(self, observation, num_slots, draws):
            answer = super().recommend(observation, num_slots, draws)
            source = np.where(answer.items % 2 == 0, 0, 1).astype(np.int16)
            return replace(answer, source=source, sources=(f"even of {num_slots}", "odd"))

    observation = requests([0, 1, 2], 8, blocked=[[0, 1, 2, 3, 4], [], [0, 1, 2, 3, 5]])
    answer = Backwards(Named(np.arange(8.0)[None]), depth=2).recommend(observation, 2, draws_of(0, observation.user))
    assert answer.items.tolist() == [[5, 6], [4, 5], [4, 6]]
    named = np.array(answer.sources)[answer.source].tolist()
    assert named == [["odd", "even of 3"], ["even of 4", "odd"], ["even of 3", "even of 3"]]


def test_counts_survive_copies_and_not_every_question_counts(requests):
    policy = Backwards(Popularity(), depth=2)
    observation = requests([0, 1], 20)
    slates = policy.recommend(observation, 2, draws_of(0, observation.user)).items
    policy.probabilities(observation, slates)
    twin = deepcopy(policy)
    twin.recommend(observation, 2, draws_of(0, observation.user))
    assert (policy.num_unmet, twin.num_unmet) == (2, 4)


def test_impossible_slates_have_probability_0(requests):
    policy = Backwards(Random(), depth=2, redraws=50)
    observation = requests([0, 0, 0], 8, blocked=[[3]] * 3)
    told = policy.probabilities(observation, np.array([[3, 1, 2], [1, 1, 2], [1, 2, 4]], np.int32))
    assert told.marginal[0, 0] == 0 and told.error[0, 0] == 0
    assert (told.prefix[0] == 0).all() and (told.prefix_error[0] == 0).all()
    assert (told.prefix[1, 1:] == 0).all() and told.prefix[1, 0] != 0


def test_relevance_falls_by_one_over_a_slate():
    assert relevance(6, 3) == pytest.approx([1, 2 / 3, 1 / 3, 0, -1 / 3, -2 / 3])


@pytest.mark.parametrize(
    "name, value, least", [("depth", 0, 1), ("redraws", 1, 2), ("offline_slots", 0, 1), ("depth", -3, 1)]
)
def test_what_is_shared_is_checked(name, value, least):
    for rule in MEMBERS:
        with pytest.raises(ValueError, match=f"{name} must be at least {least}, got {value}"):
            replace(rule, **{name: value})


def test_names_are_specs():
    inner = make_agent("mf:dim=8")
    assert Caps(inner, 2, 1).name == "mf:dim=8,topic_cap=2,creator_cap=1"
    assert Caps(inner, None, 1).name == "mf:dim=8,creator_cap=1"
    assert FreshnessQuota(make_agent("ease"), 2, 3).name == "ease:fresh=2,fresh_days=3"
    chain = Calibrated(MaximalMarginalRelevance(GreedyDPP(Random(), 0.1), 0.25), 1)
    assert chain.name == "random:dpp=0.1,mmr=0.25,calibrated=1"


@pytest.fixture(scope="module")
def new_log(log):
    """The planted log, as far as its items were on offer, with fields."""
    log = replace(log, features=features_of(log))
    return log.take(log.tick >= 2 * TICKS_PER_DAY)


@pytest.fixture(scope="module", params=["popularity", "mf:dim=8", "item-knn"])
def taught(request, new_log):
    agent = make_agent(request.param, seed=1)
    agent.learn(new_log)
    return agent


@pytest.mark.parametrize("rule", MEMBERS, ids=lambda rule: rule.rule)
def test_laws_around_a_scorer(rule, taught, new_log):
    policy = replace(rule, policy=taught)
    observation = new_log.observations(np.arange(len(new_log) - 60, len(new_log)))
    draws = draws_of(1, observation.user, 5, 2)
    for num_slots in (1, 5, 12):
        if num_slots > 1 or not isinstance(rule, FreshnessQuota):
            check_policy(policy, observation, num_slots, draws)
    answer = policy.recommend(observation, 5, draws)
    assert (answer.prefix_propensity == 1).all()
    told = policy.probabilities(observation, answer.items[::-1].copy())
    assert np.array_equal(told.prefix, certain(answer.items, answer.items[::-1].copy()).prefix)
    # Requests of which some have fewer items than candidates are wanted.
    few = np.where(np.arange(60)[:, None] % 3 == 0, np.arange(30) + 4, -1)
    check_policy(policy, observation.block(few), 4, draws)


@pytest.mark.parametrize("rule", MEMBERS, ids=lambda rule: rule.rule)
def test_the_order_judged_offline_is_that_of_the_slate_shown(rule, taught, new_log):
    rows = np.arange(len(new_log) - 60, len(new_log))
    observation = new_log.observations(rows)
    draws = draws_of(1, observation.user)
    policy = replace(rule, policy=EpsilonGreedy(taught, 0.5), offline_slots=6)
    ranker = policy.ranker
    check_policy(ranker, observation, 6, draws)
    shown = replace(rule, policy=taught).recommend(observation, 6, draws)
    judged = ranker.recommend(observation, 40 - 14, draws).items
    assert np.array_equal(judged[:, :6], shown.items)
    # Below the slate, all others in the order inside.
    inside = taught.recommend(observation, 26, draws).items
    for row in range(len(rows)):
        rest = [item for item in inside[row].tolist() if item not in shown.items[row]]
        assert judged[row, 6 : 6 + len(rest)].tolist() == rest[:20]
    candidates = np.tile(np.arange(39, -1, -1), (len(rows), 1))
    assert np.array_equal(ranker.scores(observation, candidates), ranker.scores(observation)[:, ::-1])


def test_rankers_pass_through_what_is_around_them(taught, new_log):
    inner = MaximalMarginalRelevance(EpsilonGreedy(taught, 0.5), fields=("genre",))
    outer = Calibrated(RepeatRules(inner))
    certainly = Calibrated(RepeatRules(MaximalMarginalRelevance(taught, fields=("genre",), depth=1)), depth=1)
    assert isinstance(outer.ranker, ReRanked)
    assert Calibrated(Random()).ranker is None
    # Of ten candidates for ten slots nothing depends on how long a slate is asked for.
    observation = new_log.observations(np.arange(50))
    shown = certainly.recommend(observation, 10, draws_of(0, observation.user)).items
    rules = RepeatRules(Random())
    judged = certainly.ranker.recommend(rules.apply(observation, 10), 10, draws_of(0, observation.user)).items
    assert np.array_equal(shown, judged)
    with pytest.raises(ValueError, match="must be a Scorer, got 'random'"):
        ReRanked(Calibrated(Random()))


def test_offline_metrics_see_the_rule(new_log):
    """A calibrated order gives users more of what they click than popularity does, and metrics say so."""
    agent = make_agent("popularity")
    agent.learn(new_log)
    log = replace(new_log, features=with_fields(new_log.features, genre=np.arange(40) % 2))
    every, protocol = np.ones(len(log), bool), Protocol(TemporalSplit(1))
    requests = requests_of_fold(
        log, protocol.split, Fold(~every, every), RepeatRules(Random(), 0).apply, max_requests=300
    )
    plain, calibrated = (
        mean_of_folds([protocol_metrics(agent, ruled, requests, (protocol,), (5,))[protocol]])["ndcg@5"]
        for ruled in (agent, Calibrated(agent, 0.9))
    )
    assert calibrated > 1.2 * plain


def test_too_few_items_keep_the_order_inside(fielded):
    scorer = Ordered(np.arange(6.0)[None])
    observation = fielded([0, 0], 6, {"genre": [0, 0, 0, 1, 1, 1]}, blocked=[[0, 1], []])
    ranker = MaximalMarginalRelevance(scorer, 0.9, ("genre",), offline_slots=5).ranker
    scores = ranker.scores(observation)
    assert scores[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert scores[1].argsort()[::-1][:2].tolist() == [5, 2]


def test_learning_and_state(fielded_log, tmp_path):
    log = fielded_log
    for number, make in enumerate(
        (
            lambda: Caps(make_agent("mf:dim=8,epochs=1,epsilon=0.2", seed=3)),
            lambda: RepeatRules(Calibrated(make_agent("ease:epsilon=0.2"))),
            lambda: MaximalMarginalRelevance(Random()),
            lambda: GreedyDPP(FreshnessQuota(Popularity())),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        check_agent(make, log, folder)


def test_a_rule_that_cannot_be_kept_changes_nothing(requests):
    scorer = Ordered(np.sin(np.arange(30.0))[None])
    observation = requests(range(5), 30)
    draws = draws_of(0, observation.user)
    plain = FreshnessQuota(scorer, 1)
    shown = plain.recommend(observation, 6, draws).items
    assert np.array_equal(shown, scorer.recommend(observation, 6, draws).items)
    assert plain.num_unmet == 5
