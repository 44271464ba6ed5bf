"""Where a change of tastes comes from: bars that lead from the start of a loop to its end, a small panel a metric."""

from collections.abc import Sequence

import numpy as np
import pandas
from matplotlib.ticker import MaxNLocator

from recsim_lab.evaluation.feedback.narrowing import PARTS
from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.bubble_words import bubble_metric, bubble_name, estimate, meaning, name_with_unit, scale_of
from recsim_lab.reporting.figures.base import SHORT, drawing, require_columns
from recsim_lab.reporting.palette import AGREE, DISAGREE, INK, MUTED
from recsim_lab.reporting.svg import HALO, TOOLTIP, inline_svg

NAMES = {
    "natural": "by itself",
    "choice": "by choosing oneself",
    "exposure": "by a model's choice",
    "retraining": "by its retraining",
    "total": "in all",
}
"""The parts in words."""
_WIDTH, _ROW = 216.0, 24.0
_MARGINS = (8.0, 8.0, 22.0, 18.0)


def narrowing_waterfalls(narrowing: pandas.DataFrame, metrics: Sequence[tuple[str, str]]) -> Figure:
    """A panel for each (direction, metric) of the table of `evaluation.feedback.narrowing`."""
    require_columns(narrowing, ["metric", "direction", "part", "value", "low", "high"], "narrowing")
    if not metrics:
        raise ValueError("metrics must name at least one, got none")
    panels = tuple(_panel(narrowing, *metric) for metric in metrics)
    caption = (
        "Each bar starts where the last one ends, from the tastes when the loop began; lines are 95% intervals of a "
        "part over seeds. Orange is towards a narrower world, blue towards a wider one. Another order of the parts "
        "would cut otherwise."
    )
    told = "; ".join(f"{bubble_name(metric)} {_of(narrowing, metric)['total']}" for _, metric in metrics)
    notes = tuple(meaning("preference", *metric) for metric in metrics)
    return Figure(panels, caption, f"Waterfalls of parts of the change in tastes. In all: {told}.", notes, small=True)


def _of(narrowing: pandas.DataFrame, metric: str) -> dict[str, str]:
    rows = narrowing[narrowing["metric"] == metric].to_dict("records")
    return {row["part"]: str(estimate(metric, row["value"], row["low"], row["high"], difference=True)) for row in rows}


def _panel(narrowing: pandas.DataFrame, direction: str, metric: str) -> str:
    here = narrowing[(narrowing["metric"] == metric) & (narrowing["direction"] == direction)].set_index("part")
    told, scale = _of(narrowing, metric), scale_of(metric)
    known = bubble_metric("preference", direction, metric)
    narrower = -1.0 if known is not None and known.narrower == "lower" else 1.0
    at, reached = 0.0, [0.0]
    with drawing(_WIDTH, 44 + _ROW * (len(PARTS) + 1), _MARGINS) as (canvas, axes):
        axes.set_title(name_with_unit(metric), fontweight="bold", fontsize=9)
        for place, part in enumerate((*PARTS, "total")):
            value, low, high = (scale * float(here.loc[part, end]) for end in ("value", "low", "high"))
            left = 0.0 if part == "total" else at
            colour = MUTED if part == "total" else DISAGREE if narrower * value > 0 else AGREE
            (bar,) = axes.barh([place], [value], left=[left], height=0.36, color=colour.light)
            bar.set_gid(f"{TOOLTIP}{NAMES[part]}: {told[part]}")
            if np.isfinite(low):
                axes.plot([left + low, left + high], [place, place], color=INK.light, linewidth=0.9)
            axes.text(
                *(0.0, place - 0.36, NAMES[part]),
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=7.5,
                color=INK.light,
                gid=HALO,
            )
            at += 0.0 if part == "total" else value
            reached += [left, left + value]
        room = (max(reached) - min(reached)) or 1.0
        axes.axvline(0, color=MUTED.light, linewidth=0.8, zorder=1)
        axes.set(yticks=[], ylim=(len(PARTS) + 0.5, -0.8))
        axes.set_xlim(min(reached) - 0.6 * room, max(reached) + 0.6 * room)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.xaxis.set_major_formatter(SHORT)
        axes.grid(False, axis="y")
        return inline_svg(canvas)
