"""Questions that run: `python -m scenarios.<name>`."""
