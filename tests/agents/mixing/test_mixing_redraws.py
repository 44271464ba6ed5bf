"""Mixes of random policies, whose probabilities are averages over redraws, do what these say."""

from collections.abc import Callable

import numpy as np
import pytest

from agents.baselines import Random
from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy
from agents.mixing import BySlot, Quota, TeamDraft
from recsim_lab.policy import Policy
from recsim_lab.testing import check_propensities


def explored(policy: Policy) -> EpsilonGreedy:
    return EpsilonGreedy(policy, 0.3)


REDRAWN: dict[str, Callable[[Policy, Policy, int], Policy]] = {
    "random quota": lambda a, b, redraws: Quota((Random(), a), (2, 1), redraws=redraws),
    "by slot, random last": lambda a, b, redraws: BySlot((explored(a), Random()), ((-1,),), redraws=redraws),
    "by slot, random first": lambda a, b, redraws: BySlot((explored(a), explored(b)), ((0,),), redraws=redraws),
    "rules around a team draft around exploration": lambda a, b, redraws: RepeatRules(
        TeamDraft((a, explored(b)), redraws=redraws)
    ),
    "exploration around a team draft": lambda a, b, redraws: EpsilonGreedy(TeamDraft((a, b)), 0.2, redraws=redraws),
}


@pytest.mark.parametrize("nesting", REDRAWN)
def test_redrawn_mixes_do_what_they_say(nesting, fixed, requests):
    policy = REDRAWN[nesting](fixed("one", 5, 2, 6, 0), fixed("two", 2, 5, 6, 1), 150)
    request = requests([3], 7, shown=[[6]], blocked=[[4, -1, 4]])
    check_propensities(policy, request, 3)


@pytest.mark.parametrize("nesting", REDRAWN)
def test_what_cannot_be_shown_has_probability_0(nesting, fixed, requests):
    policy = REDRAWN[nesting](fixed("one", 5, 2, 6, 0), fixed("two", 2, 5, 6, 1), 10)
    slates = np.array([[4, 2, 5], [5, 5, 2]], np.int32)
    told = policy.probabilities(requests([3, 3], 7, blocked=[[4], [4]]), slates)
    impossible = told.prefix[[0, 0, 0, 1, 1], [0, 1, 2, 1, 2]]
    if isinstance(policy, EpsilonGreedy):  # which redraws by itself, and leaves open what no redraw met
        assert not (impossible > 0).any()
    else:
        assert told.marginal[0, 0] == 0 and (impossible == 0).all()
