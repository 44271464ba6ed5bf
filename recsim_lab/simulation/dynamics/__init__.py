"""Dynamics: the reasons why users change, one a file."""

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.dynamics.boredom import TopicBoredom
from recsim_lab.simulation.dynamics.boredom_timeout import BoredomTimeout
from recsim_lab.simulation.dynamics.drift import PreferenceDrift
from recsim_lab.simulation.dynamics.intent import SessionIntent
from recsim_lab.simulation.dynamics.interest_evolution import InterestEvolution
from recsim_lab.simulation.dynamics.item_interest import ItemInterest
from recsim_lab.simulation.dynamics.long_term_satisfaction import LongTermSatisfaction
from recsim_lab.simulation.dynamics.repeat_penalty import RepeatPenalty
from recsim_lab.simulation.dynamics.retention import Patience, ReturnTime
from recsim_lab.simulation.dynamics.return_chance import ReturnChance
from recsim_lab.simulation.dynamics.satisfaction import Satisfaction
from recsim_lab.simulation.dynamics.single_visit import SingleVisit
from recsim_lab.simulation.dynamics.time_budget import TimeBudget
from recsim_lab.simulation.dynamics.topic_reinforcement import TopicReinforcement

__all__ = [
    "BoredomTimeout",
    "Dynamics",
    "InterestEvolution",
    "ItemInterest",
    "LongTermSatisfaction",
    "Patience",
    "PreferenceDrift",
    "RepeatPenalty",
    "Response",
    "ReturnChance",
    "ReturnTime",
    "Satisfaction",
    "SessionIntent",
    "SingleVisit",
    "State",
    "TimeBudget",
    "TopicBoredom",
    "TopicReinforcement",
]
