"""Published findings, reproduced: `python -m scenarios.replications.<name>`."""

import os

# Before numpy is imported: products here are small, and threads would only wait for each other.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
