"""Do items reach those who would like them, whether many do or few? (Zhu et al., KDD 2021)"""

import numpy as np
from jaxtyping import Float, Float64, Int, Int64
from scipy import stats

from recsim_lab.evaluation.bubble.interactions import Interactions, clicks_of

A = np.ndarray

_BLOCK = 1 << 22
"""So many scores are held at a time."""


def top_likes(
    preference: Float[A, "users dims"], latent: Float[A, "items dims"], users: Int[A, " sample"], num_likes: int
) -> Interactions:
    """The `num_likes` items of largest dot product with each user's preference, for a sample of users.

    A few hundred users tell how items reach those who like them; memory does not grow with their number.
    """
    if not 1 <= num_likes <= len(latent):
        raise ValueError(f"num_likes must be in [1, {len(latent)}], got {num_likes}")
    liked = np.empty((len(users), num_likes), np.int64)
    step = max(_BLOCK // len(latent), 1)
    for start in range(0, len(users), step):
        scores = preference[users[start : start + step]] @ latent.T
        liked[start : start + step] = np.argpartition(-scores, num_likes - 1, axis=1)[:, :num_likes]
    return clicks_of(np.repeat(users, num_likes), liked.ravel())


def true_positive_rates(
    shown: Interactions, likes: Interactions, num_users: int, num_items: int
) -> tuple[Float64[A, " items"], Int64[A, " items"]]:
    """The share of the users who like an item that were shown it, and how many like it.

    NaN for items that nobody likes. `likes` may name a sample of the users, and for them a sample of the items: nothing
    is asked of others. That a user likes an item counts once.
    """
    liked = np.unique(np.concatenate([np.zeros(0, np.int64), *_keys(likes, num_items)]))
    asked = np.zeros(num_users, bool)
    asked[liked // num_items] = True
    reached = np.zeros(len(liked), bool)
    if len(liked):
        for key in _keys(shown.of(asked), num_items):
            place = np.minimum(np.searchsorted(liked, key), len(liked) - 1)
            reached[place[liked[place] == key]] = True
    audience = np.bincount(liked % num_items, minlength=num_items)
    hits = np.bincount(liked[reached] % num_items, minlength=num_items)
    return np.divide(hits, audience, out=np.full(num_items, np.nan), where=audience > 0), audience


def opportunity_gini(rates: Float64[A, " items"], audience: Int[A, " items"]) -> float:
    """sum over items of (2 rank - M - 1) rate / (M sum of rates), with M items ranked by audience, the smallest first.

    From -1 to 1: above 0, items liked by many reach a larger share of those who like them; 0 where audience makes no
    difference. Items of equal audience share the mean of their ranks. Items with a NaN are left out. NaN where no item
    reached anybody who likes it: then there is nothing to share out.
    """
    known = ~np.isnan(rates)
    num_items, total = int(known.sum()), rates[known].sum()
    if not total:
        return float("nan")
    rank = stats.rankdata(audience[known])
    return float(((2 * rank - num_items - 1) @ rates[known]) / (num_items * total))


def _keys(met: Interactions, num_items: int) -> "list[Int64[A, ' meetings']]":
    return [user.astype(np.int64) * num_items + item for user, item in met.blocks()]
