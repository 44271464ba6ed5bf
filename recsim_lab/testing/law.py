"""A law that does not hold is an AssertionError which says which law, and what was found."""

import numpy as np


def law(holds: bool | np.bool_, text: str, found: object) -> None:
    """An explicit raise, so that the laws also hold under `python -O`."""
    if not holds:
        raise AssertionError(f"{text}; found {found}")
