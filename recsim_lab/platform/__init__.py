"""A service over simulated days on a SimPy clock."""

from recsim_lab.platform.platform import Platform, Reference, Retraining
from recsim_lab.platform.probe import Probe

__all__ = ["Platform", "Probe", "Reference", "Retraining"]
