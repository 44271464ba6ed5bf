"""The laws of each extension point, as functions that anyone's tests can run on their own parts.

A law that does not hold raises AssertionError and says which. Statistical laws draw with fixed seeds and refuse a
correct part with a chance below one in 10,000.
"""

from recsim_lab.testing.choice import check_choice_model
from recsim_lab.testing.dynamics import check_dynamics
from recsim_lab.testing.frequencies import check_counts, two_sided_chance
from recsim_lab.testing.policies import (
    check_agent,
    check_policy,
    check_probabilities,
    check_propensities,
    planted_log,
)
from recsim_lab.testing.world import check_world

__all__ = [
    "check_agent",
    "check_choice_model",
    "check_counts",
    "check_dynamics",
    "check_policy",
    "check_probabilities",
    "check_propensities",
    "check_world",
    "planted_log",
    "two_sided_chance",
]
