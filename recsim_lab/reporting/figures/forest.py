"""Differences with their intervals, one below the other: which are there, which could be chance."""

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from jaxtyping import Float

from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import PHONE_WIDTH, SMALL, drawing, signed
from recsim_lab.reporting.palette import INK, MUTED, PAPER, family_styles
from recsim_lab.reporting.svg import TOOLTIP, inline_svg

A = np.ndarray

_ROW, _LINE = 19.0, 11.0
"""Height of a row without its name, and of a line of a name."""
_LONGEST_LINE = 72


def forest(
    names: Sequence[str],
    differences: Float[A, " rows"],
    low: Float[A, " rows"],
    high: Float[A, " rows"],
    label: str,
) -> Figure:
    """A dot and an interval for each difference, in the order given; hollow where the interval holds zero or is NaN."""
    colour = family_styles(["difference"])["difference"].colour.light
    wrapped = ["\n".join(line for part in name.split("\n") for line in wrap(part, _LONGEST_LINE)) for name in names]
    row = _ROW + _LINE * max((1 + name.count("\n") for name in wrapped), default=1)
    with drawing(PHONE_WIDTH, 50 + row * max(len(names), 1)) as (canvas, axes):
        for place, (name, value, lower, upper) in enumerate(zip(wrapped, differences, low, high, strict=True)):
            sure = lower > 0 or upper < 0
            ends = f", 95% interval {signed(lower)} to {signed(upper)}" if np.isfinite(lower) else ""
            axes.plot([lower, upper], [place, place], color=colour, linewidth=1.6, alpha=0.45)
            axes.plot(
                [value],
                [place],
                "o",
                color=colour,
                markersize=5.5,
                markeredgewidth=1.2,
                markerfacecolor=colour if sure else PAPER.light,
                markeredgecolor=colour,
                gid=f"{TOOLTIP}{name.replace(chr(10), ' ')}: {signed(value)}{ends}",
            )
            axes.text(
                0.0,
                place - 5.5 / row,
                name,
                transform=axes.get_yaxis_transform(),
                va="bottom",
                linespacing=1.15,
                # A name may end beyond the axes, which keep their width, and the line at zero stays behind it.
                in_layout=False,
                bbox={"facecolor": PAPER.light, "edgecolor": "none", "pad": 0.5},
                fontsize=SMALL,
                color=INK.light if sure else MUTED.light,
            )
        axes.axvline(0, color=MUTED.light, linewidth=0.8, zorder=1)
        axes.set(xlabel=label, yticks=[], ylim=(max(len(names), 1) - 0.5, -0.8))
        axes.grid(False, axis="y")
        panel = inline_svg(canvas)
    known = np.isfinite(low).any()
    intervals = ", with 95% intervals. Hollow dots: the interval holds zero." if known else "; there are no intervals."
    caption = f"{label[:1].upper()}{label[1:]}{intervals}"
    return Figure((panel,), caption, f"{len(names)} differences in {label.removeprefix('difference in ')}.")
