"""A laboratory for recommender systems: synthetic users with known preferences behind a Gymnasium environment."""

__version__ = "0.1.0"
