"""A world out of real ratings: latent preferences, popularity, activity and quality, fitted to who rated what.

`fidelity` (which needs pandas) and `held_out` stand in modules of their own.
"""

from recsim_lab.simulation.calibration.behaviour import Behaviour
from recsim_lab.simulation.calibration.estimates import Estimates, estimate
from recsim_lab.simulation.calibration.factors import FactorSettings, RatingFactors, fit_factors
from recsim_lab.simulation.calibration.leniency import Leniency
from recsim_lab.simulation.calibration.worlds import calibrate, calibrated_world

__all__ = [
    "Behaviour",
    "Estimates",
    "FactorSettings",
    "Leniency",
    "RatingFactors",
    "calibrate",
    "calibrated_world",
    "estimate",
    "fit_factors",
]
