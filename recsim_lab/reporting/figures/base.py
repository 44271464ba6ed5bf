"""The ground every figure is drawn on: its style, its check of the data, its means and intervals."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import matplotlib
import pandas
import seaborn
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter
from scipy.stats import t as student

from recsim_lab.reporting.palette import INK, MUTED, PAPER, RULE

# A phone leaves 358 pixels between its margins: figures of at most this width need no scrolling there.
PHONE_WIDTH = 358.0
FONT_SIZE = 9.0
SMALL = 8.0
SETTING = ("world", "logging_policy", "deployment", "num_retrainings")
LEVEL = 0.95
# Of two seeds, Student's interval is 13 times the distance of either from the mean: it would bury the figure.
MIN_SEEDS_FOR_INTERVAL = 3
# Intervals of more agents hide each other and the points and lines.
MAX_AGENTS_WITH_INTERVALS = 12

_STYLE = {
    "axes.edgecolor": RULE.light,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED.light,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK.light,
    "axes.titlelocation": "left",
    "axes.titlesize": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": FONT_SIZE,
    "grid.color": RULE.light,
    "grid.linewidth": 0.6,
    "text.color": INK.light,
    # Names of agents may hold a dollar sign, which would start a formula.
    "text.parse_math": False,
    "xtick.color": RULE.light,
    "xtick.labelcolor": MUTED.light,
    "xtick.labelsize": SMALL,
    "ytick.color": RULE.light,
    "ytick.labelcolor": MUTED.light,
    "ytick.labelsize": SMALL,
    "lines.markeredgecolor": PAPER.light,
}


SHORT = FuncFormatter(lambda value, _: f"{value:,.6g}".replace("-", "\N{MINUS SIGN}"))
"""Numbers at an axis without zeros at their end."""


@contextmanager
def drawing(
    width: float, height: float, margins: tuple[float, float, float, float] | None = None
) -> Iterator[tuple[Canvas, Axes]]:
    """An empty figure of this size, in units of which the page shows between 1 and 1.8 pixels.

    With `margins` (left, right, bottom and top of the axes, in the same units) axes of small panels line up and are
    drawn sooner; without, they make room for what is written around them.

    Inside, seaborn draws in the reports' style; outside, matplotlib's settings are as they were, and
    pyplot never hears of the figure.
    """
    style = seaborn.axes_style("ticks") | seaborn.plotting_context("paper") | _STYLE
    with matplotlib.rc_context(style):
        layout: Literal["constrained"] | None = "constrained" if margins is None else None
        canvas = Canvas(figsize=(width / 72, height / 72), dpi=72, layout=layout)
        FigureCanvasAgg(canvas)
        if margins is not None:
            left, right, bottom, top = margins
            across, upwards = (left / width, 1 - right / width), (bottom / height, 1 - top / height)
            canvas.subplots_adjust(left=across[0], right=across[1], bottom=upwards[0], top=upwards[1])
        yield canvas, canvas.add_subplot()


def require_columns(frame: pandas.DataFrame, columns: Sequence[str], name: str) -> None:
    """Raise ValueError unless the frame has these columns and at least one row."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{name} must have columns {missing}, got {list(frame.columns)}")
    if frame.empty:
        raise ValueError(f"{name} must have rows, got none")


def require_one_setting(frame: pandas.DataFrame, name: str) -> None:
    """Raise ValueError where a frame mixes worlds, logging policies or deployments, which no mean may join."""
    for column in SETTING:
        if column in frame.columns and frame[column].nunique(dropna=False) > 1:
            values = sorted(map(str, frame[column].unique()))
            raise ValueError(f"{name} must hold one {column}, got {', '.join(values)}; draw one figure for each")


def means_with_intervals(frame: pandas.DataFrame, by: Sequence[str], column: str) -> pandas.DataFrame:
    """Per group the column's `mean` and `half`, half the width of its 95% Student t interval over the rows.

    Missing values are left out; a group with fewer than `MIN_SEEDS_FOR_INTERVAL` values has a missing half.
    """
    groups = frame.groupby(list(by), sort=True)[column]
    summary = groups.agg(["mean", "std", "count"])
    quantile = student.ppf((1 + LEVEL) / 2, (summary["count"] - 1).where(summary["count"] >= MIN_SEEDS_FOR_INTERVAL))
    summary["half"] = quantile * summary["std"] / summary["count"] ** 0.5
    return summary[["mean", "half"]].reset_index()


def counted(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def setting_words(frame: pandas.DataFrame) -> str:
    """The one setting of a frame for its caption: `everyday, logs of popularity, retrained 20 times`."""
    row = frame.iloc[0]
    words = []
    if "world" in frame.columns:
        words.append(str(row["world"]))
    if "logging_policy" in frame.columns:
        words.append(f"logs of {row['logging_policy']}")
    if "deployment" in frame.columns:
        times = int(row["num_retrainings"]) if "num_retrainings" in frame.columns else 0
        words.append(f"{row['deployment']} {counted(times, 'time')}" if times else str(row["deployment"]))
    return ", ".join(words)


def signed(value: float) -> str:
    """Two decimals with a true minus sign."""
    return f"{value:z.2f}".replace("-", "\N{MINUS SIGN}")
