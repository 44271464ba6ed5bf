"""Other ways to see the requests of an environment and to answer them, around one user or around many."""

from recsim_lab.envs.wrappers.base import Requests, VectorViewed, View, Viewed, wrap
from recsim_lab.envs.wrappers.candidates import CandidateSets
from recsim_lab.envs.wrappers.flat import FlatObservation
from recsim_lab.envs.wrappers.proto_actions import ProtoActions

__all__ = [
    "CandidateSets",
    "FlatObservation",
    "ProtoActions",
    "Requests",
    "VectorViewed",
    "View",
    "Viewed",
    "wrap",
]
