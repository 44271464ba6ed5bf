"""Users and arms with different numbers of clicks are compared at equal numbers, by expectation over which are kept.

Of each user's clicks as many are drawn without replacement, and each metric is expected over these draws: no luck of
drawing is added, and what is compared does not grow with activity. The number of a category among them is
hypergeometric, so expectations are sums in closed form (Hurlbert 1971). What was shown may be rarefied in the same way.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64
from scipy import sparse, special

from recsim_lab.evaluation.bubble.ground import Ground
from recsim_lab.evaluation.bubble.interactions import Interactions, mean_known, topic_counts
from recsim_lab.evaluation.bubble.metrics import PAIR_KINDS
from recsim_lab.evaluation.bubble.overlap import Pairs, shared_weight, user_item_counts

A = np.ndarray

_BLOCK = 1 << 21


def with_enough(met: Interactions, num_drawn: int, num_users: int) -> Bool[A, " users"]:
    """Users who met at least so many; arms are compared on those who did in every arm."""
    counts = np.zeros(num_users, np.int64)
    for user, _ in met.blocks():
        counts += np.bincount(user, minlength=num_users)
    return counts >= num_drawn


def rarefied_metrics(
    met: Interactions,
    num_drawn: int,
    users: Bool[A, " users"],
    ground: Ground,
    pairs: Pairs,
    on_offer: Bool[A, " items"] | None = None,
) -> dict[str, float]:
    """The metrics of `RAREFIED`, of `num_drawn` clicks of each of the given users; all arms should be given the same.

    Of the pairs, those of two such users count. All are NaN without any user, those of a kind of pairs without any.

    Raises ValueError for a user who has fewer clicks.
    """
    ground.check(met)
    met = met.of(users)
    if num_few := int((users & ~with_enough(met, num_drawn, ground.num_users)).sum()):
        raise ValueError(f"users must have at least {num_drawn} clicks each, got {num_few} with fewer")
    by_topic = topic_counts(met, ground.topic, ground.num_users, ground.num_topics)
    jaccard = {}
    for kind in PAIR_KINDS:
        some = pairs.get(kind, np.zeros((0, 2), np.int64))
        values = rarefied_jaccard(met, some, num_drawn, ground.num_users, ground.num_items)
        jaccard[f"rarefied_jaccard_{kind}"] = mean_known(values)
    return {
        "rarefied_topic_entropy": mean_known(rarefied_entropy(by_topic, num_drawn)),
        "rarefied_num_topics": mean_known(rarefied_richness(by_topic, num_drawn)),
        "rarefied_coverage": rarefied_coverage(met, num_drawn, ground.num_users, ground.num_items, on_offer),
        **jaccard,
    }


def rarefied_entropy(counts: Int[A, "users topics"], num_drawn: int) -> Float64[A, " users"]:
    """The expected entropy in nats of the topics' shares among the drawn; NaN for users who have fewer.

    It is below the entropy of all that the user met, since few draws hold fewer topics: compare it with itself alone.
    """

    def expected(total: Int64[A, " cases"], count: Int64[A, " cases"]) -> Float64[A, " cases"]:
        """What a topic adds, by how many of it may be drawn."""
        drawn = np.arange(1, num_drawn + 1)
        # Infinite where more of a kind would be drawn than there are.
        chance = _log_choose(count[:, None], drawn) + _log_choose((total - count)[:, None], num_drawn - drawn)
        return np.exp(chance - _log_choose(total, num_drawn)[:, None]) @ special.entr(drawn / num_drawn)

    return _sum_over_topics(counts, num_drawn, expected)


def rarefied_richness(counts: Int[A, "users topics"], num_drawn: int) -> Float64[A, " users"]:
    """The expected number of distinct topics among the drawn (Hurlbert 1971); NaN for users who have fewer."""
    return _sum_over_topics(counts, num_drawn, lambda total, count: _drawn_chance(total, count, num_drawn))


def rarefied_coverage(
    met: Interactions, num_drawn: int, num_users: int, num_items: int, on_offer: Bool[A, " items"] | None = None
) -> float:
    """The expected share of the items on offer that are among what is drawn for any user with enough to draw from.

    NaN without such a user. It grows with their number, so arms need the same users.
    """
    drawn = _drawn_chances(user_item_counts(met, np.arange(num_users), num_users, num_items), num_drawn)
    if not drawn.nnz:
        return float("nan")
    with np.errstate(divide="ignore"):
        missed = np.log1p(-drawn.data)
    covered = -np.expm1(np.bincount(drawn.indices, missed, num_items))
    return float(covered.mean() if on_offer is None else covered[on_offer].mean())


def rarefied_jaccard(
    met: Interactions, pairs: Int[A, "pairs 2"], num_drawn: int, num_users: int, num_items: int
) -> Float64[A, " pairs"]:
    """The expected number of items drawn for both users of a pair, divided by that of items drawn for either.

    A ratio of expectations: the expected ratio is a little larger (it is convex in the number shared, if no item was
    met twice), the less so the more are drawn. Two draws differ even where two users met the same, so it is seldom
    near 1. NaN for pairs of which either has fewer.
    """
    drawn = _drawn_chances(user_item_counts(met, pairs, num_users, num_items), num_drawn)
    shared = shared_weight(drawn, pairs)
    enough = (np.diff(drawn.indptr) > 0)[pairs].all(axis=1)
    size = np.asarray(drawn.sum(axis=1)).ravel()[pairs].sum(axis=1)
    return np.where(enough, shared / np.where(enough, size - shared, 1.0), np.nan)


def _drawn_chances(counts: sparse.csr_array, num_drawn: int) -> sparse.csr_array:
    """How likely each item is among what is drawn for each user; rows of users who have fewer are empty."""
    _check(num_drawn)
    total = np.asarray(counts.sum(axis=1), np.int64).ravel()
    of_user = np.repeat(np.arange(len(total)), np.diff(counts.indptr))
    kept = total[of_user] >= num_drawn
    chance = _drawn_chance(total[of_user[kept]], counts.data[kept].astype(np.int64), num_drawn)
    start = np.concatenate([[0], np.cumsum(np.bincount(of_user[kept], minlength=len(total)))])
    return sparse.csr_array((chance, counts.indices[kept], start), shape=counts.shape)


def _sum_over_topics(
    counts: Int[A, "users topics"], num_drawn: int, expected: Callable[[A, A], A]
) -> Float64[A, " users"]:
    """The sum over a user's topics of what is expected of a topic, given the user's total and the topic's count.

    Few pairs of the two differ, so each is computed once.
    """
    _check(num_drawn)
    total = counts.sum(axis=1, dtype=np.int64)
    user, topic = np.nonzero((counts > 0) & (total >= num_drawn)[:, None])
    base = int(total.max(initial=0)) + 1
    cases, case = np.unique(total[user] * base + counts[user, topic], return_inverse=True)
    values = np.empty(len(cases))
    step = max(_BLOCK // num_drawn, 1)
    for start in range(0, len(cases), step):
        values[start : start + step] = expected(*np.divmod(cases[start : start + step], base))
    return np.where(total >= num_drawn, np.bincount(user, values[case], len(counts)), np.nan)


def _drawn_chance(total: Int64[A, " cases"], count: Int64[A, " cases"], num_drawn: int) -> Float64[A, " cases"]:
    """How likely one of `count` among `total` is drawn at least once."""
    return -np.expm1(_log_choose(total - count, num_drawn) - _log_choose(total, num_drawn))


def _check(num_drawn: int) -> None:
    if num_drawn < 1:
        raise ValueError(f"num_drawn must be at least 1, got {num_drawn}")


def _log_choose(n: A, k: A | int) -> A:
    """The logarithm of n over k; -inf where k exceeds n."""
    log_factorial = special.gammaln(np.arange(np.max(n, initial=0) + 1) + 1.0)
    chosen = np.minimum(k, n)
    return np.where(k > n, -np.inf, log_factorial[n] - log_factorial[chosen] - log_factorial[n - chosen])
