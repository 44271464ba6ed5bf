"""Rules around exploration around models, and around random slates, show what they say, as often as they say."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import pytest

from agents.baselines import Random
from agents.business_rules import Calibrated, Caps, MaximalMarginalRelevance, RepeatRules, ReRanking
from agents.exploration import EpsilonGreedy
from agents.mixing import Quota
from agents.registry import make_agent
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_policy, check_propensities
from tests.agents.business_rules.made_by_hand import features_of

REDRAWS = 400


@pytest.fixture(scope="module")
def small(log):
    """A log of nine items with fields."""
    return replace(log, slate=log.slate % 9, features=replace(features_of(log, 9), release=np.zeros(9, np.int64)))


def taught(spec, log):
    agent = make_agent(spec, seed=1)
    agent.learn(log)
    return agent


NESTINGS = {
    "caps-epsilon-mf": lambda log: Caps(
        taught("mf:dim=4,epochs=1,epsilon=0.4", log), 1, None, depth=2, redraws=REDRAWS
    ),
    "repeats-calibrated-epsilon-ease": lambda log: RepeatRules(
        Calibrated(taught("ease:epsilon=0.4", log), depth=2, redraws=REDRAWS)
    ),
    "mmr-random": lambda log: MaximalMarginalRelevance(Random(), 0.5, depth=2, redraws=REDRAWS),
    "mmr-quota": lambda log: MaximalMarginalRelevance(
        Quota((taught("ease", log), Random()), (1, 1)), 0.5, depth=2, redraws=REDRAWS
    ),
    "epsilon-caps-popularity": lambda log: EpsilonGreedy(Caps(taught("popularity", log), 1, 1), 0.3),
}


@pytest.mark.parametrize("name", NESTINGS)
def test_nestings_do_what_they_say(name, small, requests):
    policy = NESTINGS[name](small)
    # Left are 2, 3, 5, 6 and 8, and under the repeat rules all of these but 6.
    request = replace(
        requests([3], 9, clicked=[[1, 2, 6]], clicked_tick=[[0, 0, 99_000]], blocked=[[0, 1, 4, 7]]),
        features=small.features,
    )
    check_propensities(policy, request, 2)
    observation = replace(request.take(np.zeros(12, np.int64)), user=np.arange(12, dtype=np.int32))
    check_policy(policy, observation, 3, draws_of(2, observation.user))


@final
@dataclass(eq=False)
class Blind(ReRanking):
    """Turns the candidates around, but tells the probabilities inside."""

    @property
    def rule(self):
        return "blind"

    def choose(self, observation, candidates, num_slots):
        last = candidates.shape[1] - 1
        return np.tile(last - np.arange(num_slots), (len(candidates), 1)), np.zeros(len(candidates), bool)

    def probabilities(self, observation, slates):
        return self.policy.probabilities(observation, slates)


def test_false_probabilities_are_seen(small, requests):
    request = replace(requests([3], 9), features=small.features)
    policy = Blind(taught("popularity:epsilon=0.4", small), depth=2)
    with pytest.raises(AssertionError, match="chi-square"):
        check_propensities(policy, request, 2)
