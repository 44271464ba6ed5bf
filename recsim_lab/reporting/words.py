"""Numbers in words."""

import numpy as np

from recsim_lab.reporting.blocks import MISSING


def interval_words(low: float, high: float, form: str = ".2f") -> str:
    """The ends in words that no line break parts."""
    words = f"{low:{form}} to {high:{form}}".replace("-", "\N{MINUS SIGN}").replace(" ", "\N{NO-BREAK SPACE}")
    return MISSING if np.isnan(low) else words
