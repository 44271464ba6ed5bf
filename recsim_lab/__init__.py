"""A laboratory for recommender systems: synthetic users with known preferences behind a Gymnasium environment."""

from recsim_lab.envs.registration import register_presets

__version__ = "0.2.0"

register_presets()
