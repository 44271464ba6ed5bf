"""Biased matrix factorisation of ratings by alternating least squares, in a few seconds for a million ratings.

The model is that of Koren, Bell and Volinsky, "Matrix factorization techniques for recommender systems", Computer
42(8), 2009, equation 4: rating = mean + user bias + item bias + p.q. Given the items, each user's bias and vector
solve a small ridge regression of their own, and the other way round; a penalty that also grows with the number of
ratings follows Zhou et al., "Large-scale parallel collaborative filtering for the Netflix prize", AAIM 2008.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from recsim_lab.datasets import Ratings

A = np.ndarray

_BLOCK_CELLS = 200_000
"""Ratings, padding included, that one batch of regressions holds: some 15 MB of vectors."""
_MOST_PADDING = 1.25
"""Rows of a batch differ in length by this factor at most (or by two ratings)."""


@dataclass(frozen=True)
class FactorSettings:
    """How ratings are factorised; `rank` 0 leaves the biases alone.

    Minimised is the sum of squared errors, plus, for every user and item with n ratings, bias b and vector p,
    `bias_shrinkage` b^2 + (`shrinkage` + `shrinkage_per_rating` n) |p|^2. The defaults were chosen on the last
    tenth of the older nine tenths of MovieLens-1M.
    """

    rank: int = 16
    shrinkage: float = 10.0
    shrinkage_per_rating: float = 0.03
    bias_shrinkage: float = 5.0
    num_sweeps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise ValueError(f"rank must be at least 0, got {self.rank}")
        if self.num_sweeps < 1:
            raise ValueError(f"num_sweeps must be at least 1, got {self.num_sweeps}")
        # Without these two penalties somebody's regression has no unique solution.
        for name in ("shrinkage", "bias_shrinkage"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.shrinkage_per_rating >= 0:
            raise ValueError(f"shrinkage_per_rating must be at least 0, got {self.shrinkage_per_rating}")


@dataclass(frozen=True, eq=False)
class RatingFactors:
    """A fitted model, in stars; biases and vectors of users and items without a rating are zero.

    Axes are those of the singular value decomposition of the matches p.q, strongest first, each shared equally
    between users and items; an axis points to where its heaviest item lies.
    """

    mean: float
    user_bias: Float32[A, " users"]
    item_bias: Float32[A, " items"]
    user_factors: Float32[A, "users dims"]
    item_factors: Float32[A, "items dims"]

    def match(self, user: Int[A, " pairs"], item: Int[A, " pairs"]) -> Float32[A, " pairs"]:
        """The personal part of the ratings: what the biases do not say."""
        return np.einsum("pd,pd->p", self.user_factors[user], self.item_factors[item])

    def predict(self, user: Int[A, " pairs"], item: Int[A, " pairs"]) -> Float32[A, " pairs"]:
        """Expected stars, not clipped to the scale."""
        return np.float32(self.mean) + self.user_bias[user] + self.item_bias[item] + self.match(user, item)


@dataclass(frozen=True, eq=False)
class _Block:
    """Rows with about as many ratings each; `other` and `stars` are padded with -1 and 0."""

    rows: Int[A, " rows"]
    num_ratings: Int[A, " rows"]
    other: Int[A, "rows width"]
    stars: Float32[A, "rows width"]


def fit_factors(ratings: Ratings, settings: FactorSettings = FactorSettings()) -> RatingFactors:
    """Fit biases and vectors to the ratings.

    Raises:
        ValueError: if there is no rating.
    """
    if not ratings.num_ratings:
        raise ValueError("ratings must hold at least one rating, got 0")
    mean = float(ratings.rating.mean(dtype=np.float64))
    stars = (ratings.rating - mean).astype(np.float32)
    by_user = _blocks(ratings.user, ratings.item, stars, ratings.num_users)
    by_item = _blocks(ratings.item, ratings.user, stars, ratings.num_items)
    # The last row of each side stands for padding: zero, whatever happens.
    items = np.zeros((ratings.num_items + 1, 1 + settings.rank), np.float32)
    start = np.random.default_rng(settings.seed).normal(0, 0.1, (ratings.num_items, settings.rank))
    items[:-1, 1:] = start
    for _ in range(settings.num_sweeps):
        users = _regress(by_user, items, ratings.num_users, settings)
        items = _regress(by_item, users, ratings.num_items, settings)
    user_factors, item_factors = _principal_axes(users[:-1, 1:], items[:-1, 1:])
    return RatingFactors(mean, users[:-1, 0], items[:-1, 0], user_factors, item_factors)


def _blocks(
    row: Int[A, " ratings"], other: Int[A, " ratings"], stars: Float32[A, " ratings"], num_rows: int
) -> list[_Block]:
    """The ratings of each row side by side, rows of like length together."""
    order = np.argsort(row, kind="stable")
    num_ratings = np.bincount(row, minlength=num_rows)
    first = np.cumsum(num_ratings) - num_ratings
    shortest_first = np.argsort(num_ratings, kind="stable")
    shortest_first = shortest_first[num_ratings[shortest_first] > 0]
    lengths = num_ratings[shortest_first]
    blocks, start = [], 0
    while start < len(shortest_first):
        longest = max(_MOST_PADDING * lengths[start], lengths[start] + 2)
        stop = int(np.searchsorted(lengths, longest, side="right"))
        stop = min(stop, start + max(1, _BLOCK_CELLS // int(lengths[stop - 1])))
        rows = shortest_first[start:stop]
        lane = np.arange(lengths[stop - 1])
        real = lane < num_ratings[rows, None]
        place = order[np.where(real, first[rows, None] + lane, 0)]
        blocks.append(
            _Block(rows, num_ratings[rows], np.where(real, other[place], -1), np.where(real, stars[place], 0))
        )
        start = stop
    return blocks


def _regress(
    blocks: list[_Block], others: Float32[A, "others one_plus_dims"], num_rows: int, settings: FactorSettings
) -> Float32[A, "rows one_plus_dims"]:
    """Bias and vector of each row that fit its ratings best, given those of the other side; a padding row follows."""
    solution = np.zeros((num_rows + 1, others.shape[1]), np.float32)
    bias, regressors = others[:, 0], others.copy()
    regressors[:-1, 0] = 1
    diagonal = np.arange(1, others.shape[1])
    for block in blocks:
        x = regressors[block.other]
        y = block.stars - bias[block.other]
        normal = x.transpose(0, 2, 1) @ x
        normal[:, 0, 0] += settings.bias_shrinkage
        penalty = settings.shrinkage + settings.shrinkage_per_rating * block.num_ratings
        normal[:, diagonal, diagonal] += penalty[:, None]
        right = y[:, None, :] @ x
        solution[block.rows] = np.linalg.solve(normal.astype(np.float64), right.transpose(0, 2, 1))[:, :, 0]
    return solution


def _principal_axes(
    users: Float[A, "users dims"], items: Float[A, "items dims"]
) -> tuple[Float32[A, "users dims"], Float32[A, "items dims"]]:
    """The same matches in the axes of their singular value decomposition."""
    if not users.shape[1]:
        return users, items
    num_dims = users.shape[1]
    # Rows of zeros let QR have its full width where there are fewer users or items than axes.
    padding = np.zeros((num_dims, num_dims))
    user_basis, user_mix = np.linalg.qr(np.concatenate([users.astype(np.float64), padding]))
    item_basis, item_mix = np.linalg.qr(np.concatenate([items.astype(np.float64), padding]))
    left, strength, right = np.linalg.svd(user_mix @ item_mix.T)
    users, items = user_basis[:-num_dims] @ left, item_basis[:-num_dims] @ right.T
    heaviest = items[np.abs(items).argmax(axis=0), np.arange(num_dims)]
    scale = np.where(heaviest < 0, -1.0, 1.0) * np.sqrt(strength)
    return (users * scale).astype(np.float32), (items * scale).astype(np.float32)
