"""The protocols by which published rankings were scored, on top of the library's ranking metrics.

Ties are answered by expectation over the orders of equally scored candidates (`recsim_lab.evaluation.ranking`): no
item gains by its id or its column, and a constant scorer is as good as chance. Scores must not be NaN.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from recsim_lab.datasets import LabelledQueries, LeaveTwoOut, Sequences
from recsim_lab.evaluation.ranking import ranking_metrics

A = np.ndarray

ScoresOfUsers = Callable[[Int[A, " rows"]], Float[A, "rows items"]]
"""Scores of all items for these users."""
ScoresOfCandidates = Callable[[Int[A, " rows"], Int[A, "rows candidates"]], Float[A, "rows candidates"]]
"""Scores of each user's own candidates."""

BLOCK = 256
"""Users scored at a time: blocks of a few megabytes stay in the cache between the passes over them."""


def full_ranking(
    scores_of_users: ScoresOfUsers,
    parts: LeaveTwoOut,
    which: str = "test",
    cutoff: int = 10,
    users: Int[A, " users"] | None = None,
) -> dict[str, float]:
    """`HR@10` and `NDCG@10` of the held-out item among all items but those of the user's history; means over users.

    `which` is "test" or "validation"; at the test the validation item belongs to the history, so the model should have
    it in its input too. `users` restricts the protocol to some users.
    """
    return _means(full_ranking_of_users(scores_of_users, parts, which, cutoff, users))


def full_ranking_of_users(
    scores_of_users: ScoresOfUsers,
    parts: LeaveTwoOut,
    which: str = "test",
    cutoff: int = 10,
    users: Int[A, " users"] | None = None,
) -> dict[str, Float[A, " users"]]:
    """The same for each user, in the order of `users`: what paired comparisons need."""
    if which not in ("test", "validation"):
        raise ValueError(f"which must be 'test' or 'validation', got {which!r}")
    known = parts.train_and_validation if which == "test" else parts.train
    held_out = parts.test if which == "test" else parts.validation
    blocks = []
    for rows in _blocks(np.arange(known.num_users) if users is None else users):
        scores = scores_of_users(rows)
        place = np.arange(rows.size)
        relevant = np.zeros(scores.shape, dtype=bool)
        relevant[place, held_out[rows]] = True
        # Where a user takes an item again, it is the answer and not history.
        blocks.append(_metrics(scores, relevant, cutoff, ~_history(known, rows) | relevant))
    return _joined(blocks)


def candidate_ranking(
    scores_of_candidates: ScoresOfCandidates,
    candidates: Int[A, "users candidates"],
    cutoff: int = 10,
    users: Int[A, " users"] | None = None,
) -> dict[str, float]:
    """`HR@10` and `NDCG@10` of the item in column 0 among each user's candidates; means over users.

    An item that stands twice in a row counts once, as in the original code of Neural Collaborative Filtering, which
    gathers scores by item.
    """
    return _means(candidate_ranking_of_users(scores_of_candidates, candidates, cutoff, users))


def candidate_ranking_of_users(
    scores_of_candidates: ScoresOfCandidates,
    candidates: Int[A, "users candidates"],
    cutoff: int = 10,
    users: Int[A, " users"] | None = None,
) -> dict[str, Float[A, " users"]]:
    """The same for each user, in the order of `users`."""
    blocks = []
    for rows in _blocks(np.arange(len(candidates)) if users is None else users):
        listed = candidates[rows]
        relevant = np.zeros(listed.shape, dtype=bool)
        relevant[:, 0] = True
        blocks.append(_metrics(scores_of_candidates(rows, listed), relevant, cutoff, _first_time(listed)))
    return _joined(blocks)


def top_items(scores_of_users: ScoresOfUsers, known: Sequences, num_top: int) -> Int[A, "users top"]:
    """The best items of every user outside `known`, best first: what coverage and popularity are counted on."""
    tops = []
    for rows in _blocks(np.arange(known.num_users)):
        scores = np.where(_history(known, rows), -np.inf, scores_of_users(rows))
        best = np.argpartition(-scores, num_top - 1, axis=1)[:, :num_top]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        tops.append(np.take_along_axis(best, order, axis=1).astype(np.int32))
    return np.concatenate(tops)


def letor_metrics(
    scores: Float[A, " documents"], queries: LabelledQueries, cutoff: int = 10
) -> dict[str, Float[A, " queries"]]:
    """`MAP` and `NDCG@10` of every query as LETOR counts: 0 for a query without a relevant document.

    MAP calls every grade above 0 relevant and is uncut; the gain of NDCG is 2^grade - 1, its discount log2(rank + 1).
    LETOR's own script also gives NDCG@k = 0 to queries with fewer than k documents; that is not followed.
    """
    mask = queries.mask
    longest = mask.shape[1]
    gains = np.exp2(queries.padded(queries.relevance.astype(np.float64))) - 1.0
    metrics = ranking_metrics(queries.padded(scores), gains, cutoffs=sorted({cutoff, longest}), valid=mask)
    named = {"MAP": metrics[f"map@{longest}"], f"NDCG@{cutoff}": metrics[f"ndcg@{cutoff}"]}
    return {name: np.nan_to_num(values, nan=0.0) for name, values in named.items()}


def roc_auc(scores: Float[A, " rows"], positive: Bool[A, " rows"]) -> float:
    """The chance that a positive row has a higher score than another one, ties counting half; NaN without both."""
    num_positive = int(positive.sum())
    num_pairs = num_positive * (len(positive) - num_positive)
    won = rankdata(scores)[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(won / num_pairs) if num_pairs else float("nan")


def log_loss(scores: Float[A, " rows"], positive: Bool[A, " rows"]) -> float:
    """The mean of -log of the chance given to what happened, where scores are log-odds."""
    return float(np.mean(np.logaddexp(0, scores) - scores * positive))


def _history(known: Sequences, rows: Int[A, " rows"]) -> Bool[A, "rows items"]:
    of_rows = known.of_users(rows)
    table = np.zeros((rows.size, known.num_items), dtype=bool)
    table[of_rows.user, of_rows.items] = True
    return table


def _first_time(candidates: Int[A, "rows candidates"]) -> Bool[A, "rows candidates"]:
    """Whether a candidate is the first of its item in the row."""
    order = np.argsort(candidates, axis=1, kind="stable")
    ascending = np.take_along_axis(candidates, order, axis=1)
    opens = np.ones(candidates.shape, dtype=bool)
    opens[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    first = np.empty_like(opens)
    np.put_along_axis(first, order, opens, axis=1)
    return first


def _metrics(
    scores: Float[A, "rows candidates"],
    relevant: Bool[A, "rows candidates"],
    cutoff: int,
    valid: Bool[A, "rows candidates"],
) -> dict[str, Float[A, " rows"]]:
    metrics = ranking_metrics(scores, relevant, cutoffs=(cutoff,), valid=valid)
    return {name.upper(): metrics[name] for name in (f"hr@{cutoff}", f"ndcg@{cutoff}")}


def _blocks(users: Int[A, " users"]) -> Iterator[Int[A, " rows"]]:
    for first in range(0, users.size, BLOCK):
        yield users[first : first + BLOCK]


def _joined(blocks: list[dict[str, Float[A, " rows"]]]) -> dict[str, Float[A, " users"]]:
    if not blocks:
        raise ValueError("users must not be empty")
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _means(of_users: dict[str, Float[A, " users"]]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in of_users.items()}
