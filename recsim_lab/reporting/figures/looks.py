"""An estimate as it is watched from day to day, with the interval for one look and the one for all of them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.ticker import MaxNLocator

from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import PHONE_WIDTH, SMALL, drawing
from recsim_lab.reporting.palette import MUTED, family_styles
from recsim_lab.reporting.svg import TOOLTIP, inline_svg

A = np.ndarray


def watched(
    days: Int[A, " days"],
    estimate: Float[A, " days"],
    one_look: tuple[Float[A, " days"], Float[A, " days"]],
    all_looks: tuple[Float[A, " days"], Float[A, " days"]],
    label: str,
    names: Sequence[str] = ("interval for one look", "interval for all looks"),
) -> Figure:
    """The estimate day by day as a line; the narrow band is one look's interval, the wide one holds at all days."""
    styles = family_styles(["one", "all"])
    with drawing(PHONE_WIDTH, 230.0) as (canvas, axes):
        for (low, high), style, name in zip((one_look, all_looks), ("one", "all"), names, strict=True):
            colour = styles[style].colour.light
            axes.fill_between(days, low, high, color=colour, alpha=0.18, linewidth=0, label=name)
        colour = styles["one"].colour.light
        axes.plot(days, estimate, color=colour, linewidth=1.5)
        for day, value, low, high in zip(days, estimate, *all_looks, strict=True):
            gid = f"{TOOLTIP}day {day}: {value:+.3g}, all looks {low:+.3g} to {high:+.3g}"
            axes.plot([day], [value], "o", color=colour, markersize=3.5, gid=gid)
        axes.axhline(0, color=MUTED.light, linewidth=0.8, zorder=1)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set(xlabel="simulated day", ylabel=label)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=SMALL)
        panel = inline_svg(canvas)
    decided = np.flatnonzero((all_looks[0] > 0) | (all_looks[1] < 0))
    told = f"day {days[decided[0]]}" if len(decided) else "no day"
    start = label[:1].upper() + label[1:]
    caption = f"{start}, of all days so far. The interval for all looks first excludes zero on {told}."
    return Figure((panel,), caption, f"Line with two bands from day {days[0]} to {days[-1]}. {caption}")
