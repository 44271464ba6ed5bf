"""A service over simulated days on a SimPy clock."""

from recsim_lab.platform.platform import Platform, Probe, Retraining

__all__ = ["Platform", "Probe", "Retraining"]
