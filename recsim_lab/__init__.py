"""A laboratory for recommender systems: synthetic users with known preferences behind a Gymnasium environment."""

from recsim_lab.envs.registration import register_presets

__version__ = "0.1.0"

register_presets()
