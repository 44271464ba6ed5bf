"""Off-policy estimators: what another policy would earn, told from the log of the one that served.

| known as | here |
|---|---|
| replay | `Replay()` |
| DM | `Direct()` |
| IPS, IIPS | `InversePropensity()` |
| clipped IPS | `InversePropensity(change=Clip())` |
| SNIPS | `SelfNormalised()` |
| DR, Switch-DR, DRos | `DoublyRobust()`, `DoublyRobust(change=Switch())`, `DoublyRobust(change=Shrink())` |
| RIPS | `InversePropensity(Cascade())` |
| IPS of whole slates | `InversePropensity(WholeSlate())` |
| PI, weighted PI | `InversePropensity(Additive())`, `SelfNormalised(Additive())` |
| Cascade-DR | `CascadeDoublyRobust()` |
| MIPS | `InversePropensity(Grouped())` |

`logged_slates` prepares a log and a target policy for all of them, `logged_actions` the log of a contextual bandit.
"""

from recsim_lab.evaluation.off_policy.assess import Question, assess, logged_slates
from recsim_lab.evaluation.off_policy.calibrated_scores import CalibratedScores
from recsim_lab.evaluation.off_policy.change import Change, Clip, Plain, Shrink, Switch
from recsim_lab.evaluation.off_policy.distributions import logged_actions
from recsim_lab.evaluation.off_policy.doubly_robust import CascadeDoublyRobust, Direct, DoublyRobust
from recsim_lab.evaluation.off_policy.estimate import MOST_UNSUPPORTED, Estimate, Estimator, Terms
from recsim_lab.evaluation.off_policy.inverse_propensity import InversePropensity, Replay, SelfNormalised
from recsim_lab.evaluation.off_policy.logged import Groups, LoggedSlates, Predictions, RowWeights, Support
from recsim_lab.evaluation.off_policy.reward_model import Expectation, RewardModel, SmoothedRates
from recsim_lab.evaluation.off_policy.weighting import (
    Additive,
    Cascade,
    Grouped,
    Independent,
    Weighting,
    Weights,
    WholeSlate,
)

__all__ = [
    "MOST_UNSUPPORTED",
    "Additive",
    "CalibratedScores",
    "Cascade",
    "CascadeDoublyRobust",
    "Change",
    "Clip",
    "Direct",
    "DoublyRobust",
    "Estimate",
    "Estimator",
    "Expectation",
    "Grouped",
    "Groups",
    "Independent",
    "InversePropensity",
    "LoggedSlates",
    "Plain",
    "Predictions",
    "Question",
    "Replay",
    "RewardModel",
    "RowWeights",
    "SelfNormalised",
    "Shrink",
    "SmoothedRates",
    "Support",
    "Switch",
    "Terms",
    "Weighting",
    "Weights",
    "WholeSlate",
    "assess",
    "logged_actions",
    "logged_slates",
]
