"""A policy of several agents learns, saves and loads them as one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from agents.base import indifferent
from agents.baselines import Popularity
from agents.business_rules import RepeatRules
from agents.ease import EASE
from agents.exploration import BootstrappedEnsemble, EpsilonGreedy
from agents.mixing import Bandit, Quota, TeamDraft, TrainedOn
from agents.registry import make_agent
from agents.two_stage import ByEmbeddings, ByScores, TwoStage
from agents.wrapper import Combination
from recsim_lab.policy import Policy, Scorer
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


@pytest.mark.parametrize(
    "combine",
    [
        lambda mf: TeamDraft((mf, EpsilonGreedy(mf, 0.1))),
        lambda mf: Bandit((TrainedOn(mf, "own"), TrainedOn(mf, "random"))),
        lambda mf: Quota((TeamDraft((Popularity(), mf)), RepeatRules(TrainedOn(mf, "own"))), (2, 3)),
        lambda mf: BootstrappedEnsemble((RepeatRules(mf), RepeatRules(mf))),
        lambda mf: TwoStage(((ByEmbeddings(mf), 9),), TwoStage(((ByScores(mf), 9),), EASE())),
    ],
    ids=["explored", "trained", "nested", "ensemble", "two stages"],
)
def test_what_stands_in_two_parts_is_refused(combine, log):
    with pytest.raises(ValueError, match=r"parts must not share an agent.*got 'mf:epochs=1' inside both"):
        combine(make_agent("mf:epochs=1"))


def test_what_does_not_learn_may_stand_in_two_parts_and_what_learns_as_one(log):
    @dataclass(eq=False)
    class ById(Scorer):
        name: str = "by id"  # type: ignore[misc]

        def scores(self, observation, items=None):
            return indifferent(observation, items)

    same = ById()
    TeamDraft((same, EpsilonGreedy(same, 0.1), RepeatRules(EpsilonGreedy(same, 0.2))))
    mf = make_agent("mf:epochs=1")
    two = TwoStage(((ByEmbeddings(mf), 9),), mf)
    two.learn(log)
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
