"""A policy of several agents learns, saves and loads them as one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from agents.baselines import Popularity
from agents.business_rules import RepeatRules
from agents.ease import EASE
from agents.registry import make_agent
from agents.wrapper import Combination
from recsim_lab.policy import Policy
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent


@dataclass(eq=False)
class First(Combination):
    """Answers as the first of its parts."""

    policies: tuple[Policy, ...]

    @property
    def name(self):
        return self.policies[0].name

    @property
    def parts(self) -> Mapping[str, Policy]:
        return {str(place): policy for place, policy in enumerate(self.policies)}

    def recommend(self, observation, num_slots, draws):
        return self.policies[0].recommend(observation, num_slots, draws)

    def probabilities(self, observation, slates):
        return self.policies[0].probabilities(observation, slates)


def test_all_parts_are_one_file(log, tmp_path):
    check_agent(lambda: First((EASE(), RepeatRules(make_agent("mf:epochs=1")), Popularity())), log, tmp_path)
    combination, other = (First((EASE(), make_agent("mf:epochs=1"), Popularity())) for _ in range(2))
    combination.learn(log)
    combination.save(tmp_path / "all")
    other.load(tmp_path / "all")
    observation = log.observations(np.arange(20))
    for mine, theirs in zip(combination.policies, other.policies, strict=True):
        slates = [policy.recommend(observation, 5, draws_of(0, observation.user)).items for policy in (mine, theirs)]
        assert np.array_equal(*slates)


def test_what_stands_twice_learns_once(log):
    mf = make_agent("mf:epochs=1")
    First((mf, RepeatRules(Popularity()), mf)).learn(log)
    assert mf.num_learned == 1


def test_files_of_others_are_refused(log, tmp_path):
    First((EASE(),)).save(tmp_path / "one")
    with pytest.raises(ValueError, match="must hold the policy"):
        First((Popularity(),)).load(tmp_path / "one")
    EASE().save(tmp_path / "ease")
    with pytest.raises(ValueError, match="must hold the policy"):
        First((EASE(),)).load(tmp_path / "ease")


def test_parts_of_another_number_or_order_are_refused(log, tmp_path):
    three = make_agent("ease:ensemble=3")
    three.learn(log)
    three.save(tmp_path / "three")
    with pytest.raises(ValueError, match="ensemble=5, got ease:ensemble=3"):
        make_agent("ease:ensemble=5").load(tmp_path / "three")
