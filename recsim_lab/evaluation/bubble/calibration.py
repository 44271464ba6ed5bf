"""Does what is shown keep the proportions of what the user had consumed before? (Steck, RecSys 2018)"""

import numpy as np
from jaxtyping import Float64, Int
from scipy import special

A = np.ndarray

SMOOTHING = 0.01
"""Steck's alpha: the part of what was consumed that is mixed into what is shown, so that no divergence is infinite."""


def calibration_kl(
    consumed: Int[A, "users topics"], shown: Int[A, "users topics"], smoothing: float = SMOOTHING
) -> Float64[A, " users"]:
    """KL(p || q~) in nats, with p the shares of topics consumed, q of those shown, and q~ = (1 - smoothing) q +
    smoothing p.

    0 where proportions are kept, at most -log(smoothing). NaN for users who had consumed nothing, or were shown
    nothing. Slates by chance are not calibrated either, and few counts make it larger.
    """
    if not 0 < smoothing <= 1:
        raise ValueError(f"smoothing must be above 0 and at most 1, got {smoothing}")
    p, q, known = _shares(consumed, shown)
    return np.where(known, special.rel_entr(p, (1 - smoothing) * q + smoothing * p).sum(axis=1), np.nan)


def calibration_js(consumed: Int[A, "users topics"], shown: Int[A, "users topics"]) -> Float64[A, " users"]:
    """The Jensen-Shannon divergence in nats of the shares of topics consumed and shown, from 0 to log 2.

    NaN for users who had consumed nothing, or were shown nothing.
    """
    p, q, known = _shares(consumed, shown)
    middle = (p + q) / 2
    divergence = (special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum(axis=1) / 2
    return np.where(known, divergence, np.nan)


def _shares(consumed: A, shown: A) -> tuple[A, A, A]:
    """The shares of either side, and for which users both are known."""
    totals = [counts.sum(axis=1, dtype=np.float64)[:, None] for counts in (consumed, shown)]
    p, q = (c / np.maximum(total, 1.0) for c, total in zip((consumed, shown), totals, strict=True))
    return p, q, (totals[0] > 0)[:, 0] & (totals[1] > 0)[:, 0]
