"""Dynamics: the reasons why users change, one a file."""

from recsim_lab.simulation.dynamics.base import Dynamics, Response, State
from recsim_lab.simulation.dynamics.boredom import TopicBoredom
from recsim_lab.simulation.dynamics.drift import PreferenceDrift
from recsim_lab.simulation.dynamics.intent import SessionIntent
from recsim_lab.simulation.dynamics.retention import Patience, ReturnTime
from recsim_lab.simulation.dynamics.satisfaction import Satisfaction

__all__ = [
    "Dynamics",
    "Patience",
    "PreferenceDrift",
    "Response",
    "ReturnTime",
    "Satisfaction",
    "SessionIntent",
    "State",
    "TopicBoredom",
]
