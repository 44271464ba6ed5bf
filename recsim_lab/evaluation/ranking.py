"""Ranking metrics say, row by row, how high a scorer placed what the user went on to like.

A row is one request: scores of its candidates, and which of them turned out relevant. Everything here follows
from two numbers per relevant candidate, how many candidates scored higher and how many scored the same.

Ties are answered by expectation: a metric is its mean over all orders of equally scored candidates (McSherry
& Najork, ECIR 2008, "Computing information retrieval performance measures efficiently in the presence of tied
scores"). A scorer gains nothing from ties, a constant scorer is exactly as good as chance, and the order in
which candidates are listed changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

A = np.ndarray

CUTOFF_METRICS = ("hr", "recall", "precision", "ndcg", "dcg", "mrr", "map")
"""Names that take a cut-off, as in `ndcg@10`; `auc` has none."""

MAX_COMPARED = 6
"""Up to so many relevant candidates a row, comparing each with all candidates is faster than sorting them."""


WEIGHT = "weight"
"""Stands among metrics of rows for how much each row counts in their means."""


def ranking_metrics(
    scores: Float[A, "rows candidates"],
    relevant: Bool[A, "rows candidates"] | Float[A, "rows candidates"],
    cutoffs: Sequence[int] = (1, 5, 10, 20),
    valid: Bool[A, "rows candidates"] | None = None,
) -> dict[str, Float[A, " rows"]]:
    """Metrics of every row, named `hr@10`, `recall@10`, ..., `auc`; higher scores rank first.

    With R relevant candidates in the row and the ranks counted from 1:

    - `hr@k`: 1 if a relevant candidate is among the first k.
    - `recall@k`: the share of the R that is among the first k; `precision@k`: the share of k that is
      relevant, also where the row has fewer than k candidates.
    - `dcg@k`: sum of gain / log2(rank + 1); `ndcg@k`: the same divided by its best possible value. DCG is
      kept because normalising can turn the order of two scorers around (Jeunen, Potapov & Ustimenko, KDD 2024).
    - `mrr@k`: 1 / rank of the first relevant candidate, 0 beyond k.
    - `map@k`: sum over relevant candidates up to k of the precision at their rank, divided by min(R, k).
    - `auc`: the chance that a relevant candidate outscores one that is not, ties counted half.

    `relevant` may hold gains instead of truth values: finite, not negative, taken as they are by DCG and
    NDCG; the other metrics call a candidate relevant if its gain is above 0. Candidates outside `valid` do
    not exist: their scores are not read and their relevance does not count. Infinite scores are ordinary.

    A row without relevant candidates has no answer: all its metrics are NaN (`auc` also where all are relevant).
    `mean_metrics` leaves such rows out.

    Raises ValueError for a NaN score, a gain that is negative or not finite, or a cut-off below 1.
    """
    _check(scores, relevant, cutoffs, valid)
    counted = relevant > 0 if valid is None else (relevant > 0) & valid
    row, candidate = np.nonzero(counted)
    gain = relevant[row, candidate].astype(np.float64)
    num_rows, num_candidates = scores.shape
    num_relevant = np.bincount(row, minlength=num_rows)
    num_valid = np.full(num_rows, num_candidates) if valid is None else valid.sum(axis=1)

    higher, tied = _higher_and_tied(scores, row, scores[row, candidate], num_relevant, valid, num_valid)
    groups = _tie_groups(row, higher, tied, gain)
    answered = num_relevant > 0
    metrics: dict[str, Float[A, " rows"]] = {}
    for cutoff in cutoffs:
        at_cutoff = _metrics_at(int(cutoff), groups, num_relevant, num_candidates, row, gain)
        for name in CUTOFF_METRICS:
            metrics[f"{name}@{cutoff}"] = np.where(answered, at_cutoff[name], np.nan)
    ordered = {f"{name}@{cutoff}": metrics[f"{name}@{cutoff}"] for name in CUTOFF_METRICS for cutoff in cutoffs}
    return ordered | {"auc": _area_under_curve(groups, num_relevant, num_valid)}


def weight_of(gain: Float[A, "rows candidates"]) -> Float[A, " rows"]:
    """What a relevant candidate of each row gains on average: 1 where gains are 0 and 1.

    Metrics of a row are ratios, from which the size of its gains cancels: where it has one relevant candidate, whatever
    that gains. Means weighted by it tell rows of much gain from rows of little.
    """
    return gain.sum(axis=1) / np.maximum((gain > 0).sum(axis=1), 1)


def mean_metrics(metrics: dict[str, Float[A, " rows"]]) -> dict[str, float]:
    """Means over the rows that have an answer, NaN where none has; weighted by what stands under `WEIGHT`, if anything
    does, but for `dcg`, which counts gains already."""
    means = {}
    for name, values in metrics.items():
        if name == WEIGHT:
            continue
        answered = ~np.isnan(values)
        weighted = WEIGHT in metrics and not name.startswith("dcg@")
        weights = metrics[WEIGHT][answered] if weighted else None
        means[name] = float(np.average(values[answered], weights=weights)) if answered.any() else float("nan")
    return means


def _check(scores: Float[A, "..."], relevant: A, cutoffs: Sequence[int], valid: Bool[A, "..."] | None) -> None:
    for field, array in (("relevant", relevant), ("valid", valid)):
        if array is not None and array.shape != scores.shape:
            raise ValueError(f"{field} must have the shape of scores, {scores.shape}, got {array.shape}")
    if not cutoffs or len(set(cutoffs)) < len(cutoffs) or min(cutoffs) < 1:
        raise ValueError(f"cutoffs must be distinct and at least 1, got {tuple(cutoffs)}")
    # The sum is NaN only if a score is, or if both infinities occur: a cheap test before the exact one.
    with np.errstate(invalid="ignore", over="ignore"):
        suspicious = np.isnan(scores.sum(axis=1))
    if suspicious.any():
        missing = np.isnan(scores)
        if valid is not None:
            missing &= valid
        if missing.any():
            row, candidate = (int(axis[0]) for axis in np.nonzero(missing))
            raise ValueError(
                f"scores must not be NaN, got {int(missing.sum())} NaN, first at row {row}, candidate {candidate}"
            )
    if relevant.dtype != np.bool_ and not (np.isfinite(relevant).all() and (relevant >= 0).all()):
        wrong = relevant[~(np.isfinite(relevant) & (relevant >= 0))]
        raise ValueError(f"relevant must hold finite gains of at least 0, got {wrong[0]}")


@dataclass(frozen=True)
class _TieGroups:
    """The relevant candidates, gathered into groups of equal score; best group first within a row."""

    row: Int[A, " groups"]
    higher: Int[A, " groups"]
    """Candidates of the row with a higher score: the group fills ranks higher + 1 to higher + tied."""
    tied: Int[A, " groups"]
    """Candidates with this score, relevant or not."""
    relevant: Int[A, " groups"]
    """Relevant candidates with this score."""
    relevant_higher: Int[A, " groups"]
    gain: Float[A, " groups"]
    """Sum of the gains in the group."""

    @property
    def first(self) -> Bool[A, " groups"]:
        """Whether the group is the best of its row."""
        return np.append(True, self.row[1:] != self.row[:-1])[: self.row.size]


def _tie_groups(
    row: Int[A, " relevant"],
    higher: Int[A, " relevant"],
    tied: Int[A, " relevant"],
    gain: Float[A, " relevant"],
) -> _TieGroups:
    order = np.lexsort((higher, row))
    row, higher, tied, gain = row[order], higher[order], tied[order], gain[order]
    opens = np.append(True, (row[1:] != row[:-1]) | (higher[1:] != higher[:-1]))[: row.size]
    start = np.flatnonzero(opens)
    row_start = np.searchsorted(row, row[start])
    return _TieGroups(
        row=row[start],
        higher=higher[start],
        tied=tied[start],
        relevant=np.diff(np.append(start, row.size)),
        relevant_higher=start - row_start,
        gain=np.add.reduceat(gain, start) if start.size else gain,
    )


def _row_sums(row: Int[A, " entries"], values: Float[A, " entries"], num_rows: int) -> Float[A, " rows"]:
    return np.bincount(row, weights=values, minlength=num_rows).astype(np.float64)  # of nothing: integers


def _metrics_at(
    cutoff: int,
    groups: _TieGroups,
    num_relevant: Int[A, " rows"],
    num_candidates: int,
    row: Int[A, " relevant"],
    gain: Float[A, " relevant"],
) -> dict[str, Float[A, " rows"]]:
    """Expected metrics up to `cutoff`: within a group, each rank is equally likely to go to each member."""
    num_rows = num_relevant.size
    depth = min(cutoff, num_candidates)
    ranks = np.arange(1, depth + 1)
    discounts = 1.0 / np.log2(ranks + 1.0)
    discount_sums = np.append(0.0, np.cumsum(discounts))
    harmonic_sums = np.append(0.0, np.cumsum(1.0 / ranks))

    def row_sums(values: Float[A, " groups"]) -> Float[A, " rows"]:
        return _row_sums(groups.row, values, num_rows)

    start = np.minimum(groups.higher, depth)
    places = np.minimum(groups.higher + groups.tied, depth) - start  # ranks of the group up to the cut-off
    share = groups.relevant / groups.tied  # chance that a rank of the group holds a relevant candidate
    found = row_sums(share * places)
    dcg = row_sums(groups.gain / groups.tied * (discount_sums[start + places] - discount_sums[start]))

    # Rank higher + j holds a relevant candidate with chance `share`; then it counts itself, those of better
    # groups, and of the j - 1 others before it in its own group the share that is relevant.
    harmonic = harmonic_sums[start + places] - harmonic_sums[start]
    partner = (groups.relevant - 1) / np.maximum(groups.tied - 1, 1)
    own_before = partner * (places - (start + 1) * harmonic)
    precision_sum = row_sums(share * ((groups.relevant_higher + 1) * harmonic + own_before))

    positive_relevant = np.maximum(num_relevant, 1)  # rows without any are masked by the caller
    best_dcg = _best_dcg(row, gain, num_relevant, discounts)
    hit, reciprocal_rank = _first_relevant(groups, depth, num_rows)
    return {
        "hr": hit,
        "recall": found / positive_relevant,
        "precision": found / cutoff,
        "ndcg": np.minimum(dcg / np.where(best_dcg > 0, best_dcg, 1.0), 1.0),  # rounding may exceed 1
        "dcg": dcg,
        "mrr": reciprocal_rank,
        "map": precision_sum / np.minimum(positive_relevant, cutoff),
    }


def _best_dcg(
    row: Int[A, " relevant"],
    gain: Float[A, " relevant"],
    num_relevant: Int[A, " rows"],
    discounts: Float[A, " depth"],
) -> Float[A, " rows"]:
    order = np.lexsort((-gain, row))
    place = np.arange(row.size) - np.repeat(np.cumsum(num_relevant) - num_relevant, num_relevant)
    listed = place < discounts.size
    best = gain[order][listed] * discounts[place[listed]]
    return _row_sums(row[listed], best, num_relevant.size)


def _first_relevant(groups: _TieGroups, depth: int, num_rows: int) -> tuple[Float[A, " rows"], Float[A, " rows"]]:
    """The chance that the first relevant candidate stands within `depth`, and its expected 1 / rank there.

    Only the best group matters: drawing its members without replacement, the first relevant one comes at the
    j-th draw with chance (all before missed) * relevant / (tied - j + 1).
    """
    hit, reciprocal_rank = np.zeros(num_rows), np.zeros(num_rows)
    best = groups.first & (groups.higher < depth)
    higher, tied, relevant = (x[best][:, None] for x in (groups.higher, groups.tied, groups.relevant))
    draws = np.arange(min(depth, int(tied.max(initial=0))))
    left = np.maximum(tied - draws, 1)
    missed = np.cumprod(np.maximum(tied - relevant - draws, 0) / left, axis=1)
    missed_before = np.concatenate([np.ones_like(higher, dtype=np.float64), missed[:, :-1]], axis=1)[:, : draws.size]
    rank = higher + 1 + draws
    chance = np.where(rank <= depth, missed_before * relevant / left, 0.0)
    hit[groups.row[best]] = np.minimum(chance.sum(axis=1), 1.0)  # rounding may exceed 1
    reciprocal_rank[groups.row[best]] = (chance / rank).sum(axis=1)
    return hit, reciprocal_rank


def _area_under_curve(
    groups: _TieGroups, num_relevant: Int[A, " rows"], num_valid: Int[A, " rows"]
) -> Float[A, " rows"]:
    """The Mann-Whitney statistic, with mid-ranks."""
    irrelevant = num_valid - num_relevant
    tied = groups.tied - groups.relevant
    lower = irrelevant[groups.row] - (groups.higher - groups.relevant_higher) - tied
    wins = _row_sums(groups.row, groups.relevant * (lower + 0.5 * tied), num_relevant.size)
    pairs = num_relevant * irrelevant
    return np.where(pairs > 0, wins / np.maximum(pairs, 1), np.nan)


def _higher_and_tied(
    scores: Float[A, "rows candidates"],
    row: Int[A, " relevant"],
    score: Float[A, " relevant"],
    num_relevant: Int[A, " rows"],
    valid: Bool[A, "rows candidates"] | None,
    num_valid: Int[A, " rows"],
) -> tuple[Int[A, " relevant"], Int[A, " relevant"]]:
    """For each relevant candidate: valid candidates of its row that score higher, and as high (itself too).

    Rows must come in ascending order. NaN stands for candidates that do not exist: it compares as neither
    higher nor equal, and sorts last.
    """
    existing = scores if valid is None else np.where(valid, scores, np.asarray(np.nan, scores.dtype))
    if num_relevant.max(initial=0) <= MAX_COMPARED:
        return _count_by_comparison(existing, row, score, num_relevant)
    ascending = np.sort(existing, axis=1)
    lower = _count_below(ascending, row, score, inclusive=False)
    not_higher = _count_below(ascending, row, score, inclusive=True)
    return num_valid[row] - not_higher, not_higher - lower


def _count_by_comparison(
    scores: Float[A, "rows candidates"],
    row: Int[A, " relevant"],
    score: Float[A, " relevant"],
    num_relevant: Int[A, " rows"],
) -> tuple[Int[A, " relevant"], Int[A, " relevant"]]:
    place = np.arange(row.size) - np.repeat(np.cumsum(num_relevant) - num_relevant, num_relevant)
    higher, tied = np.zeros_like(row), np.zeros_like(row)
    for position in range(int(num_relevant.max(initial=0))):  # the n-th relevant candidate of every row
        chosen = place == position
        rows = row[chosen]
        candidates = scores if rows.size == len(scores) else scores[rows]
        threshold = score[chosen, None]
        higher[chosen] = np.count_nonzero(candidates > threshold, axis=1)
        tied[chosen] = np.count_nonzero(candidates == threshold, axis=1)
    return higher, tied


def _count_below(
    ascending: Float[A, "rows candidates"],
    row: Int[A, " relevant"],
    score: Float[A, " relevant"],
    inclusive: bool,
) -> Int[A, " relevant"]:
    """How many entries of the row are below the score, or equal if `inclusive`."""
    low, high = np.zeros_like(row), np.full_like(row, ascending.shape[1])
    last = ascending.shape[1] - 1
    for _ in range(ascending.shape[1].bit_length()):  # binary search, all relevant candidates at once
        middle = (low + high) // 2
        value = ascending[row, np.minimum(middle, last)]
        below = (value <= score if inclusive else value < score) & (middle < high)
        low = np.where(below, middle + 1, low)
        high = np.where(below, high, middle)
    return low
