"""Points in a plane with their intervals: how much room they need, and their names beside them."""

import numpy as np
import pandas
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from recsim_lab.reporting.figures.base import SMALL
from recsim_lab.reporting.figures.labels import place_labels
from recsim_lab.reporting.palette import RULE
from recsim_lab.reporting.svg import HALO

A = np.ndarray


def room_for(means: pandas.Series, halves: pandas.Series) -> tuple[float, float]:
    """Room for the means and, up to half their range beyond, for the intervals: few seeds make these vast."""
    if means.empty:
        return 0.0, 1.0
    low, high = means.min(), means.max()
    room = (high - low) or abs(high) or 1.0
    low_end = max((means - halves.fillna(0)).min(), low - room / 2)
    high_end = min((means + halves.fillna(0)).max(), high + room / 2)
    return float(min(low_end, low - 0.08 * room)), float(max(high_end, high + 0.08 * room))


def label_points(canvas: Canvas, axes: Axes, points: pandas.DataFrame) -> None:
    """Write each point's `name` beside it in its `colour`, clear of others and of the intervals `x_half` and `y_half`.

    The layout is fixed from then on.
    """
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
    texts = [axes.text(0, 0, name, fontsize=SMALL) for name in points["name"]]
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([[extent.width, extent.height * 0.9] for extent in extents])
    places = axes.transData.transform(points[["x", "y"]].to_numpy())
    frame = axes.get_window_extent()
    corners = np.array([[frame.x0, frame.y0 + 1], [frame.x1 + 2, frame.y1]])
    middles = place_labels(places, sizes, corners, _interval_boxes(axes, points))
    for text, place, middle, size, colour in zip(texts, places, middles, sizes, points["colour"], strict=True):
        text.remove()
        shift = middle - place
        side = "left" if shift[0] > size[0] / 2 else "right" if shift[0] < -size[0] / 2 else "center"
        anchor = middle[0] + {"left": -1, "right": 1, "center": 0}[side] * size[0] / 2
        leader = {"arrowstyle": "-", "color": RULE.light, "linewidth": 0.8, "shrinkB": 4}
        gap = np.hypot(*np.clip(np.abs(shift) - size / 2, 0, None))
        axes.annotate(
            text.get_text(),
            tuple(axes.transData.inverted().transform(place)),
            (anchor, middle[1]),
            textcoords="figure pixels",
            ha=side,
            va="center",
            fontsize=SMALL,
            annotation_clip=False,
            gid=HALO,
            color=colour,
            arrowprops=leader if gap > 9 else None,
        )


def _interval_boxes(axes: Axes, points: pandas.DataFrame) -> Float[A, "_ 2 2"]:
    """The interval lines as boxes in pixels, three wide."""
    boxes = []
    for along, column in enumerate(("x_half", "y_half")):
        shift = np.zeros((len(points), 2))
        shift[:, along] = points[column].fillna(0)
        middle = points[["x", "y"]].to_numpy()
        ends = np.stack([axes.transData.transform(middle - shift), axes.transData.transform(middle + shift)], axis=1)
        boxes.append(np.stack([ends.min(axis=1) - 1.5, ends.max(axis=1) + 1.5], axis=1))
    return np.concatenate(boxes)
