"""Where to write the names of points and lines so that they can be read."""

import numpy as np
from jaxtyping import Bool, Float

A = np.ndarray

# Directions from a point to the middle of its label, the first liked best: right, left, above, below, corners.
_DIRECTIONS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, 1], [1, -1], [-1, -1]], dtype=float)
_DISTANCES = (4.0, 11.0, 20.0, 32.0)


def place_labels(
    points: Float[A, "rows 2"],
    sizes: Float[A, "rows 2"],
    frame: Float[A, "2 2"],
    obstacles: Float[A, "_ 2 2"] | None = None,
) -> Float[A, "rows 2"]:
    """Middles of labels of these sizes, each near its point, clear of points and other labels where possible.

    Greedy: the most crowded point is served first and takes, of 32 places around it, the one that covers
    least. `frame` holds the lower left and the upper right corner that labels should stay within;
    `obstacles` are boxes (corners likewise), such as interval lines, that are better left free.
    """
    num_points = len(points)
    middles = np.array(points, dtype=float)
    if num_points == 0:
        return middles
    apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    order = np.argsort(-(1 / (apart + 5)).sum(axis=1), kind="stable")
    placed: Bool[A, " rows"] = np.zeros(num_points, dtype=bool)
    for row in order:
        half = sizes[row] / 2
        candidates = np.concatenate([points[row] + _DIRECTIONS * (half + distance) for distance in _DISTANCES])
        rank = np.arange(len(candidates))
        low, high = candidates - half, candidates + half
        outside = np.maximum(frame[0] - low, 0).sum(axis=1) + np.maximum(high - frame[1], 0).sum(axis=1)
        others = middles[placed]
        covered_labels = _overlap(low, high, others - sizes[placed] / 2, others + sizes[placed] / 2)
        covered_points = _overlap(low, high, points - 3.5, points + 3.5)
        cost = rank * 0.6 + 30 * outside + 4 * covered_labels + 1.5 * covered_points
        if obstacles is not None:
            cost += 0.12 * _overlap(low, high, obstacles[:, 0], obstacles[:, 1])
        middles[row] = candidates[np.argmin(cost)]
        placed[row] = True
    return middles


def _overlap(
    low: Float[A, "rows 2"], high: Float[A, "rows 2"], other_low: Float[A, "_ 2"], other_high: Float[A, "_ 2"]
) -> Float[A, " rows"]:
    """Area that each box shares with the other boxes, summed."""
    shared = np.minimum(high[:, None], other_high[None]) - np.maximum(low[:, None], other_low[None])
    return np.clip(shared, 0, None).prod(axis=2).sum(axis=1)


def spread(places: Float[A, " rows"], gap: float) -> Float[A, " rows"]:
    """The places nearest to these (in squares) that keep their order and stand at least `gap` apart.

    Subtracting what the gaps need leaves a monotone regression, solved by pooling neighbours that disagree
    (Barlow et al., Statistical Inference under Order Restrictions, 1972).
    """
    order = np.argsort(places, kind="stable")
    offsets = gap * np.arange(len(places))
    pools: list[tuple[float, int]] = []
    for value in places[order] - offsets:
        mean, size = float(value), 1
        while pools and pools[-1][0] > mean:
            other_mean, other_size = pools.pop()
            mean = (mean * size + other_mean * other_size) / (size + other_size)
            size += other_size
        pools.append((mean, size))
    result = np.empty(len(places))
    result[order] = np.repeat([mean for mean, _ in pools], [size for _, size in pools]) + offsets
    return result
