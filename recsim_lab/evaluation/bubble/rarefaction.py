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
from recsim_lab.evaluation.bubble.overlap import Pairs, paired_counts, shared_weight

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
        among = pairs[kind][users[pairs[kind]].all(axis=1)] if kind in pairs else np.zeros((0, 2), np.int64)
        values = rarefied_jaccard(met, among, num_drawn, ground.num_users, ground.num_items)
        jaccard[f"rarefied_jaccard_{kind}"] = mean_known(values)
    return {
        "rarefied_topic_entropy": mean_known(rarefied_entropy(by_topic, num_drawn)),
        "rarefied_num_topics": mean_known(rarefied_richness(by_topic, num_drawn)),
        "rarefied_coverage": rarefied_coverage(met, num_drawn, ground.num_users, ground.num_items, on_offer),
        **jaccard,
    }


def rarefied_entropy(counts: Int[A, "users topics"], num_drawn: int) -> Float64[A, " users"]:
    """The expected entropy in nats of the topics' shares among the drawn; NaN for users who have fewer.

    It is below the entropy of the user's taste, in every arm by the same number of draws.
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
    user, item, count, total = _counted(met, num_users, num_items)
    enough = total[user] >= num_drawn
    if not enough.any():
        return float("nan")
    with np.errstate(divide="ignore"):
        missed = np.log1p(-_drawn_chance(total[user[enough]], count[enough], num_drawn))
    covered = -np.expm1(np.bincount(item[enough], missed, num_items))
    return float(covered.mean() if on_offer is None else covered[on_offer].mean())


def rarefied_jaccard(
    met: Interactions, pairs: Int[A, "pairs 2"], num_drawn: int, num_users: int, num_items: int
) -> Float64[A, " pairs"]:
    """The expected number of items drawn for both users of a pair, divided by that of items drawn for either.

    A ratio of expectations: the expected ratio is a little larger (it is convex in the number shared, if no item was
    met twice), the less so the more are drawn. NaN for pairs of which either has fewer.
    """
    counts, row = paired_counts(met, pairs, num_users, num_items)
    total = np.asarray(counts.sum(axis=1), np.int64).ravel()
    enough = total >= num_drawn
    of_row = np.repeat(np.arange(len(total)), np.diff(counts.indptr))
    chance = np.zeros(counts.nnz)
    known = enough[of_row]
    chance[known] = _drawn_chance(total[of_row[known]], counts.data[known].astype(np.int64), num_drawn)
    drawn = sparse.csr_array((chance, counts.indices, counts.indptr), shape=counts.shape)
    shared = shared_weight(drawn, row[pairs])
    size = np.asarray(drawn.sum(axis=1)).ravel()[row[pairs]].sum(axis=1)
    return np.where(enough[row[pairs]].all(axis=1), shared / np.where(size > 0, size - shared, 1.0), np.nan)


def _counted(met: Interactions, num_users: int, num_items: int) -> tuple[A, A, A, A]:
    """User, item and count of every user's distinct items, and the total of each user."""
    keys = [np.zeros(0, np.int64), *(user.astype(np.int64) * num_items + item for user, item in met.blocks())]
    key, count = np.unique(np.concatenate(keys), return_counts=True)
    user, item = np.divmod(key, num_items)
    return user, item, count, np.rint(np.bincount(user, count, num_users)).astype(np.int64)


def _sum_over_topics(
    counts: Int[A, "users topics"], num_drawn: int, expected: Callable[[A, A], A]
) -> Float64[A, " users"]:
    """The sum over a user's topics of what is expected of a topic, given the user's total and the topic's count.

    Few pairs of the two differ, so each is computed once.
    """
    if num_drawn < 1:
        raise ValueError(f"num_drawn must be at least 1, got {num_drawn}")
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


def _log_choose(n: A, k: A | int) -> A:
    """The logarithm of n over k; -inf where k exceeds n."""
    possible = n >= k
    rest = np.where(possible, n - k, 0)
    return np.where(
        possible, special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(rest + 1.0), -np.inf
    )
