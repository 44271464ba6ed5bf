"""Published findings, reproduced: `python -m scenarios.replications.<name>`."""
