"""What is bought as a dial is turned up: a line for each dial over what it costs."""

from collections.abc import Sequence

import pandas

from recsim_lab.evaluation.feedback.frontier import LOSSES
from recsim_lab.reporting.blocks import Figure, Key
from recsim_lab.reporting.bubble_words import bubble_name, name_with_unit
from recsim_lab.reporting.figures.base import drawing, require_columns
from recsim_lab.reporting.figures.points import room_for
from recsim_lab.reporting.palette import INK, MUTED, SERIES
from recsim_lab.reporting.svg import TOOLTIP, inline_svg

_SIZE = (340.0, 250.0)


def dial_lines(settings: pandas.DataFrame, metrics: Sequence[tuple[str, bool]]) -> Figure:
    """A panel for each metric with whether its axis is turned; lines begin at the loop without a remedy.

    `settings` has a row for each setting and metric: `dial, setting, cost, metric, told`, the cost in percent and what
    is told of the difference as an `Estimate`.
    """
    require_columns(settings, ["dial", "setting", "cost", "metric", "told"], "settings")
    settings = settings.assign(
        **{end: [getattr(told, end) for told in settings["told"]] for end in ("value", "low", "high")}
    )
    dials = list(dict.fromkeys(settings["dial"]))
    colours = {dial: SERIES[place % len(SERIES)] for place, dial in enumerate(dials)}
    panels = []
    for metric, turned in metrics:
        here = settings[settings["metric"] == metric]
        with drawing(*_SIZE) as (canvas, axes):
            axes.set_title(name_with_unit(metric), fontweight="bold")
            for loss in LOSSES:
                axes.axvline(loss, color=MUTED.light, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
            axes.axhline(0, color=INK.light, linewidth=0.6, alpha=0.6, zorder=1)
            for dial in dials:
                line, colour = here[here["dial"] == dial].sort_values("setting", kind="stable"), colours[dial].light
                axes.plot([0.0, *line["cost"]], [0.0, *line["value"]], color=colour, linewidth=1.3, zorder=2)
                for row in line.to_dict("records"):
                    at = row["cost"]
                    axes.plot([at, at], [row["low"], row["high"]], color=colour, linewidth=0.9, alpha=0.4)
                    (point,) = axes.plot([at], [row["value"]], "o", color=colour, markersize=5)
                    point.set_gid(f"{TOOLTIP}{dial} {row['setting']:g}: {row['told']} at {at:.1f}% fewer clicks")
            means = pandas.concat([here["value"], pandas.Series([0.0])], ignore_index=True)
            halves = pandas.concat([(here["high"] - here["low"]) / 2, pandas.Series([0.0])], ignore_index=True)
            axes.set_ylim(*room_for(means, halves))
            axes.set(xlabel="clicks lost in the first days, %", ylabel="difference")
            if turned:
                axes.invert_yaxis()
            panels.append(inline_svg(canvas))
    caption = (
        "Each line starts at the loop without a remedy and leads over a dial's settings. Up is a wider world, to the "
        "right is dearer; dotted lines are the prices at which dials are compared. Bars are 95% intervals over seeds."
    )
    names = ", ".join(bubble_name(metric) for metric, _ in metrics)
    alt = f"Line plots of {names} over the clicks that {', '.join(dials)} cost."
    return Figure(tuple(panels), caption, alt, legend=tuple(Key(dial, colours[dial]) for dial in dials))
