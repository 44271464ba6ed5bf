"""Three recommenders that all candidates order one way and sampled ones the other (Krichene & Rendle, KDD 2020)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from scenarios.replications.findings import Finding, exactly

A = np.ndarray

TOY_ITEMS, TOY_SAMPLED = 10_000, 99
TOY_RANKS = {"A": (100,) * 5, "B": (40, 40, 8437, 9266, 4482), "C": (212, 2, 743, 5342, 1548)}
"""Ranks of the one relevant item in five rankings of each recommender."""
TOY_MEASURES = ("AUC", "AP", "NDCG", "Recall@10")
TOY_PUBLISHED = {
    ("A", "all"): (0.990, 0.010, 0.150, 0.0),
    ("B", "all"): (0.555, 0.010, 0.122, 0.0),
    ("C", "all"): (0.843, 0.101, 0.208, 0.2),
    ("A", "sampled"): (np.nan, 0.637, 0.729, 1.000),
    ("B", "sampled"): (np.nan, 0.341, 0.447, 0.400),
    ("C", "sampled"): (np.nan, 0.326, 0.460, 0.569),
}
"""In the order of `TOY_MEASURES`; sampled AUC is AUC and was not printed."""
HALF_A_DIGIT = 0.0005


def measures_at(rank: Float[A, "*shape"], num_items: int) -> Float[A, "*shape measures"]:
    """`TOY_MEASURES` of a ranking of `num_items` whose only relevant item has this rank, from 1."""
    return np.stack(
        [(num_items - rank) / (num_items - 1), 1 / rank, 1 / np.log2(rank + 1), (rank <= 10).astype(np.float64)],
        axis=-1,
    )


def toy(ranks: Sequence[int], num_items: int = TOY_ITEMS) -> Float[A, " measures"]:
    """Mean measures over all items."""
    return measures_at(np.array(ranks, np.float64), num_items).mean(axis=0)


def sampled_toy(
    ranks: Sequence[int], num_sampled: int = TOY_SAMPLED, num_items: int = TOY_ITEMS
) -> Float[A, " measures"]:
    """Expected mean measures against `num_sampled` others drawn uniformly with replacement.

    Each stands above the relevant item with chance (rank - 1) / (items - 1), so that the sampled rank is 1 more than a
    binomial number.
    """
    above_it = (np.array(ranks, np.float64) - 1) / (num_items - 1)
    number = np.arange(num_sampled + 1)
    chance = stats.binom.pmf(number, num_sampled, above_it[:, None])
    return np.einsum("rn,nm->m", chance, measures_at(number + 1.0, num_sampled + 1)) / len(ranks)


def toy_findings() -> list[Finding]:
    """Each printed number, to the third decimal; then who is best."""
    findings, best = [], {}
    for kind, measure in (("all", toy), ("sampled", sampled_toy)):
        found = {name: measure(ranks) for name, ranks in TOY_RANKS.items()}
        best[kind] = [max(found, key=lambda name: found[name][place]) for place in (1, 2, 3)]
        for name, values in found.items():
            findings += [
                Finding(
                    f"toy {name}, {kind}: {word}",
                    printed,
                    printed - HALF_A_DIGIT,
                    printed + HALF_A_DIGIT,
                    exactly(own),
                    True,
                )
                for word, printed, own in zip(TOY_MEASURES, TOY_PUBLISHED[name, kind], values.tolist(), strict=True)
                if not np.isnan(printed)
            ]
    for kind, name in (("all", "C"), ("sampled", "A")):
        share = float(np.mean([winner == name for winner in best[kind]]))
        findings.append(
            Finding(f"toy, {kind}: share of measures that {name} wins", 1.0, 1.0, 1.0, exactly(share), True)
        )
    return findings
