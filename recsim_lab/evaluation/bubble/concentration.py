"""How much of what is shown or clicked falls on few items, on popular items, on few creators?"""

import numpy as np
from jaxtyping import Bool, Float64, Int

from recsim_lab.evaluation.bubble.diversity import entropy
from recsim_lab.evaluation.statistics import spearman
from recsim_lab.simulation.calibration.fidelity import gini

A = np.ndarray

__all__ = [
    "coverage",
    "creator_gini",
    "effective_catalogue",
    "gini",
    "popularity_lift",
    "share_of",
    "stability",
    "top_share",
]


def coverage(counts: Int[A, " items"]) -> float:
    """The share of the given items that were met at all; NaN where none was, since an empty window tells nothing."""
    return float((counts > 0).mean()) if counts.any() else float("nan")


def effective_catalogue(counts: Int[A, " items"]) -> float:
    """exp(H), with H the entropy of the items' shares: from 1 to the number of items; NaN where nothing was met."""
    return float(np.exp(entropy(counts)))


def top_share(counts: Int[A, " items"], part: float = 0.01) -> float:
    """The share that the most met items hold, `part` of all of them rounded up; NaN where nothing was met."""
    if not 0 < part <= 1:
        raise ValueError(f"part must be in (0, 1], got {part}")
    total = counts.sum(dtype=np.float64)
    most = int(np.ceil(part * len(counts)))
    return float(np.sort(counts)[len(counts) - most :].sum() / total) if total else float("nan")


def share_of(counts: Int[A, " items"], those: Bool[A, " items"]) -> float:
    """The share of all that was met that `those` items hold; NaN where nothing was met."""
    total = counts.sum(dtype=np.float64)
    return float(counts[those].sum() / total) if total else float("nan")


def creator_gini(counts: Int[A, " items"], creator: Int[A, " items"]) -> float:
    """The Gini of what was met of each creator, over the creators of the given items; NaN where nothing was met."""
    names, place = np.unique(creator, return_inverse=True)
    return gini(np.rint(np.bincount(place, counts, len(names))).astype(np.int64))


def popularity_lift(recommended: Float64[A, " users"], profile: Float64[A, " users"]) -> float:
    """(GAP of what is recommended - GAP of the profiles) / GAP of the profiles (Abdollahpouri et al. 2019).

    GAP, the group average popularity, is the mean over users of the mean popularity of their items; the arguments are
    the latter (`user_means`). Users with a NaN on either side are left out, so both GAPs are of the same users; NaN
    where none is left, or none of the profiles' items had been clicked before the loop.
    """
    known = ~np.isnan(recommended) & ~np.isnan(profile)
    if not known.any() or not profile[known].any():
        return float("nan")
    gap = profile[known].mean()
    return float((recommended[known].mean() - gap) / gap)


def stability(counts_a: Int[A, " items"], counts_b: Int[A, " items"]) -> float:
    """Spearman's correlation of the popularity of items in two runs of one policy that had other luck.

    Near 1, popularity follows from the policy; near 0, from chance that the loop has amplified (Burghardt & Lerman
    2022, "Emergent instabilities in algorithmic feedback loops"). NaN where either run met all items alike.
    """
    return spearman(counts_a.astype(np.float64), counts_b.astype(np.float64))
