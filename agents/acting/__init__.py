"""Agents that learn by acting in an environment, for what a visit or a life brings rather than a slate."""
