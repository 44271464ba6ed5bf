"""Showing what is not known to be best, to learn what is: by chance, or where the least is known."""

from agents.exploration.base import Exploration
from agents.exploration.bootstrap import BootstrappedEnsemble
from agents.exploration.epsilon_greedy import EpsilonGreedy, EpsilonGreedySlate
from agents.exploration.linear_bandit import LinearThompson, LinUCB
from agents.exploration.neural_linear import NeuralLinear
from agents.exploration.new_items import NewItemExploration
from agents.exploration.plackett_luce import PlackettLuce

__all__ = [
    "BootstrappedEnsemble",
    "EpsilonGreedy",
    "EpsilonGreedySlate",
    "Exploration",
    "LinUCB",
    "LinearThompson",
    "NeuralLinear",
    "NewItemExploration",
    "PlackettLuce",
]
