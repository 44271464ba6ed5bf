"""What was shown in vain does not come again in the visit; what was clicked may."""

import numpy as np

from agents.baselines import Random
from agents.business_rules import SkipIgnored
from agents.exploration import EpsilonGreedy
from agents.registry import make_agent
from recsim_lab.evaluation.oracle import FixedScores
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_policy, check_propensities


def test_only_what_was_ignored_is_forbidden(requests):
    policy = SkipIgnored(FixedScores(np.tile(np.array([9.0, 8, 7, 6, 5, 4], np.float32), (2, 1)), "fixed"))
    observation = requests([0, 1], 6, shown=[[0, 1, 2, -1], [-1] * 4], clicked=[[-1, 1], [5, 0]])
    assert policy.forbidden(observation)[0].tolist() == [[0, -1, 2, -1], [-1] * 4]
    answer = policy.recommend(observation, 3, draws_of(0, observation.user))
    assert answer.items.tolist() == [[1, 3, 4], [0, 1, 2]]


def test_where_too_little_is_left_all_may_come_again(requests):
    policy = SkipIgnored(FixedScores(np.tile(np.array([9.0, 8, 7], np.float32), (2, 1)), "fixed"))
    observation = requests([0], 3, shown=[[0, 1]])
    assert policy.recommend(observation, 2, draws_of(0, observation.user)).items.tolist() == [[0, 1]]
    assert policy.num_relaxed == 1


def test_a_batch_is_its_requests(requests):
    rng = np.random.default_rng(0)
    observation = requests(range(30), 20, shown=rng.integers(-1, 20, (30, 8)), clicked=rng.integers(-1, 20, (30, 4)))
    check_policy(SkipIgnored(Random()), observation, 4, draws_of(1, observation.user))


def test_exploration_inside_does_what_it_says(requests):
    policy = SkipIgnored(EpsilonGreedy(FixedScores(np.array([[9.0, 8, 7, 6, 5, 4]], np.float32), "fixed"), 0.4))
    request = requests([0], 6, shown=[[0, 1, 2]], clicked=[[1]])
    told = policy.probabilities(request, np.array([[0, 1]], np.int32))
    assert told.marginal[0, 0] == 0 < told.marginal[0, 1]
    check_propensities(policy, request, 2)


def test_it_has_a_name():
    spec = "ease:boltzmann=0.2,skip_ignored=true"
    assert isinstance(make_agent(spec), SkipIgnored) and make_agent(make_agent(spec).name).name == make_agent(spec).name
    assert not isinstance(make_agent("ease:skip_ignored=false"), SkipIgnored)
