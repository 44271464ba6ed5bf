"""One user's days: which topics they were shown, and which they liked before and after, a small panel for each arm."""

from collections.abc import Sequence

import numpy as np
import pandas
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import drawing, require_columns
from recsim_lab.reporting.palette import MUTED, SERIES, Colour
from recsim_lab.reporting.svg import inline_svg

A = np.ndarray

_WIDTH, _HEIGHT, _TOPIC = 216.0, 46.0, 6.0
_MARGINS = (18.0, 8.0, 24.0, 18.0)
_FAINTEST = 0.02
"""Shares below this are left blank: they could not be told from it."""
_FULL = 0.4
"""The share from which on a cell has the full colour."""
_SHADES = (0.12, 0.25, 0.4, 0.6, 0.8, 1.0)


def user_topics(examples: pandas.DataFrame, arms: Sequence[str]) -> Figure:
    """A panel for each arm: topics from the one that the user liked most when the loop began (top) to the least; from
    left to right the taste at the start, what was shown on each measured day, the taste at the end.

    `examples` holds one user of the table of `evaluation.feedback.study.examples_table`.
    """
    require_columns(examples, ["arm", "day", "topic", "shown", "taste"], "examples")
    first = examples[(examples["arm"] == arms[0]) & (examples["day"] == examples["day"].min())]
    order = first.sort_values("taste", ascending=False, kind="stable")["topic"].to_list()
    panels, told = [], []
    for arm in arms:
        own = examples[examples["arm"] == arm]
        shown = own.pivot(index="topic", columns="day", values="shown").loc[order]
        taste = own.pivot(index="topic", columns="day", values="taste").loc[order]
        panels.append(_panel(arm, shown.iloc[:, 1:], taste.iloc[:, [0, -1]]))
        told.append(arm)
    caption = (
        "Rows are topics, from the one liked most when the loop began (top) to the one liked least. From left to "
        "right: taste before the loop (orange), shares of topics among what was shown in the days up to each of these "
        f"days (blue; blank: nothing was shown), taste at the end (orange). Full colour: {_FULL:.0%} and more."
    )
    return Figure(tuple(panels), caption, f"Maps of topics by day for {', '.join(told)}.", small=True)


def _panel(arm: str, shown: pandas.DataFrame, taste: pandas.DataFrame) -> str:
    num_topics, num_days = shown.shape
    with drawing(_WIDTH, _HEIGHT + _TOPIC * num_topics, _MARGINS) as (_canvas, axes):
        axes.set_title(arm, fontweight="bold", fontsize=9)
        _cells(axes, taste.to_numpy(float)[:, :1], 0.0, SERIES[1])
        _cells(axes, shown.to_numpy(float), 1.5, SERIES[0])
        _cells(axes, taste.to_numpy(float)[:, 1:], num_days + 2.0, SERIES[1])
        for edge in (1.25, num_days + 1.75):
            axes.axvline(edge, color=MUTED.light, linewidth=0.6)
        every = max(1, -(-num_days // 5))
        days = range(num_days - 1, -1, -every)
        axes.set_xticks(
            [0.5, *(place + 2.0 for place in days), num_days + 2.5],
            ["before", *(f"{shown.columns[place]}" for place in days), "after"],
        )
        axes.set(xlim=(0, num_days + 3.0), ylim=(num_topics, 0), yticks=[], ylabel="topics")
        axes.grid(False)
        return inline_svg(_canvas)


def _cells(axes: Axes, shares: Float[A, "topics days"], left: float, colour: Colour) -> None:
    """Cells whose colour is the fuller the larger their share."""
    strength = np.clip(np.nan_to_num(shares) / _FULL, 0, 1)
    shade = np.searchsorted(_SHADES, strength)
    for number, alpha in enumerate(_SHADES):
        topic, day = np.nonzero((shade == number) & (np.nan_to_num(shares) >= _FAINTEST))
        if not len(topic):
            continue
        x, y = left + day, topic
        corners = np.stack([x, y, x + 1, y, x + 1, y + 1, x, y + 1], axis=1).reshape(-1, 4, 2)
        axes.add_collection(PolyCollection(list(corners), facecolors=colour.light, alpha=alpha, linewidths=0))
