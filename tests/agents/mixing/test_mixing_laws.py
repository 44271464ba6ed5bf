"""Every mix, and every nesting of mixes with rules and exploration, keeps the laws of policies and agents."""

from collections.abc import Callable

import numpy as np
import pytest

from agents.baselines import Popularity, Random
from agents.business_rules import RepeatRules
from agents.ease import EASE
from agents.exploration import EpsilonGreedy
from agents.mixing import Bandit, BySlot, ByUser, Quota, TeamDraft, TrainedOn
from agents.registry import make_agent
from recsim_lab.policy import Agent, Policy
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy, check_propensities


def explored(policy: Policy, epsilon: float = 0.3) -> EpsilonGreedy:
    return EpsilonGreedy(policy, epsilon, redraws=100)


MIXES: dict[str, Callable[[], Agent]] = {
    "quota": lambda: Quota((EASE(), Popularity()), (3, 2)),
    "quota-in-order": lambda: Quota((EASE(), Popularity(by="rate"), Random()), (2, 2, 1), layout="in-order"),
    "by-slot": lambda: BySlot((EASE(), Random()), ((-2, -1),)),
    "by-slot-first": lambda: BySlot((explored(EASE()), Random()), ((0,),), redraws=100),
    "team-draft": lambda: TeamDraft((EASE(), Popularity())),
    "team-draft-of-three": lambda: TeamDraft((EASE(), Popularity(), make_agent("item-knn"))),
    "rules-team-draft-exploring": lambda: RepeatRules(TeamDraft((EASE(), explored(Popularity())), redraws=100)),
    "bandit": lambda: Bandit((EASE(), explored(Popularity()))),
    "bandit-epsilon": lambda: Bandit((EASE(), Random()), by="epsilon-greedy", arm_per="slate"),
    "by-user": lambda: ByUser((EASE(), explored(Popularity()), Random()), shares=(0.5, 0.25, 0.25)),
    "by-user-diverted": lambda: ByUser((TeamDraft((EASE(), Popularity())), EASE(10.0)), "other", diverted_from=4000),
    "exploring-team-draft": lambda: EpsilonGreedy(TeamDraft((EASE(), Popularity())), 0.3, redraws=100),
    "bandit-of-mixes": lambda: Bandit(
        (
            TeamDraft((EASE(), Popularity())),
            Quota((Popularity(by="rate"), Random()), (4, 1)),
            TrainedOn(EASE(), data="own"),
            TrainedOn(EASE(), data="random"),
        )
    ),
}


@pytest.mark.parametrize("mix", MIXES)
def test_learning_and_state(mix, log, tmp_path):
    check_agent(MIXES[mix], log, tmp_path)


def test_networks_learn_and_keep_their_state_in_a_mix(log, tmp_path):
    def make() -> Agent:
        mf = make_agent("mf:dim=4,epochs=1,warm_epochs=1")
        return RepeatRules(TeamDraft((TrainedOn(mf, "own"), explored(Popularity())), redraws=2))

    check_agent(make, log, tmp_path)


@pytest.mark.parametrize("mix", MIXES)
def test_answers(mix, log):
    agent = MIXES[mix]()
    agent.learn(log)
    observation = log.observations(np.arange(len(log) - 30, len(log)))
    check_policy(agent, observation, 5, draws_of(1, observation.user, 5, 2))


NESTINGS: dict[str, Callable[[Policy, Policy], Policy]] = {
    "quota": lambda a, b: Quota((a, b), (2, 1)),
    "quota of a random policy": lambda a, b: Quota((a, Random()), (2, 1)),
    "team draft": lambda a, b: TeamDraft((a, b)),
    "team draft of three": lambda a, b: TeamDraft((a, b, BySlot((b, a), ((0,),)))),
    "bandit": lambda a, b: Bandit((a, explored(b))),
    "bandit by epsilon": lambda a, b: Bandit((a, Random()), by="epsilon-greedy", arm_epsilon=0.4),
    "by user": lambda a, b: ByUser((a, explored(b))),
    "by user of a team draft": lambda a, b: ByUser((b, TeamDraft((a, b))), "other salt"),
    "bandit of a team draft": lambda a, b: Bandit((TeamDraft((a, b)), Quota((a, b), (1, 2)))),
}


@pytest.mark.parametrize("nesting", NESTINGS)
def test_mixes_do_what_they_say(nesting, fixed, requests):
    policy = NESTINGS[nesting](fixed("one", 5, 2, 6, 0), fixed("two", 2, 5, 6, 1))
    request = requests([3], 7, shown=[[6]], blocked=[[4, -1, 4]])
    slates = np.array([[5, 2, 6], [2, 5, 1]], np.int32)
    assert policy.probabilities(request.take(np.zeros(2, np.int64)), slates).exact.all()
    check_propensities(policy, request, 3)
