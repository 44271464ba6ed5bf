"""Choice models: how users answer slates."""

from recsim_lab.simulation.choice.attraction import Attraction, Clipped, Exponential, Logistic
from recsim_lab.simulation.choice.base import CHOICE, ChoiceModel
from recsim_lab.simulation.choice.dependent_clicks import DependentClicks
from recsim_lab.simulation.choice.exponential_cascade import ExponentialCascade
from recsim_lab.simulation.choice.multinomial_logit import MultinomialLogit
from recsim_lab.simulation.choice.multinomial_proportional import MultinomialProportional
from recsim_lab.simulation.choice.position_based import PositionBased
from recsim_lab.simulation.choice.rank_argmax import RankArgmax

__all__ = [
    "CHOICE",
    "Attraction",
    "ChoiceModel",
    "Clipped",
    "DependentClicks",
    "Exponential",
    "ExponentialCascade",
    "Logistic",
    "MultinomialLogit",
    "MultinomialProportional",
    "PositionBased",
    "RankArgmax",
]
