"""Many metrics over days, one small panel each, with a line for every arm."""

from collections.abc import Sequence

import numpy as np
import pandas
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from recsim_lab.evaluation.feedback.plan import START
from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.bubble_words import (
    bubble_metric,
    bubble_name,
    estimate,
    meaning,
    name_with_unit,
    scale_of,
    turned,
)
from recsim_lab.reporting.figures.arm_styles import ArmStyles
from recsim_lab.reporting.figures.base import MIN_SEEDS_FOR_INTERVAL, SHORT, counted, drawing, require_columns
from recsim_lab.reporting.palette import INK, MUTED
from recsim_lab.reporting.svg import TOOLTIP, inline_svg

A = np.ndarray

PANEL = (216.0, 138.0)
"""Width and height of a small panel."""
MARGINS = (38.0, 5.0, 32.0, 18.0)
# Bands of few seeds fill a panel, and those of many remedies lie over each other: they are drawn fainter.
_FAINT, _MANY = 0.05, 5
Metric = tuple[str, str, str]
"""Level, direction and name."""
COLUMNS = ("arm", "level", "direction", "metric", "day", "mean", "baseline", "difference")


def metrics_over_days(days: pandas.DataFrame, metrics: Sequence[Metric], styles: ArmStyles) -> Figure:
    """A panel for each metric; `days` is the table of `recsim_lab.evaluation.feedback.days`.

    A line is the mean of the loop without a remedy plus the arm's paired difference from it, which is the arm's own
    mean where it ran in all seeds. Bands are the intervals of the differences of remedies. Axes of metrics of which
    more is narrower run backwards, so that down is narrower on every panel. Tastes start on day 0.
    """
    require_columns(days, [*COLUMNS, "difference_low", "difference_high", "num_seeds"], "days")
    if not metrics:
        raise ValueError("metrics must name at least one, got none")
    drawn = [arm for arm in styles.of if arm in set(days["arm"])]
    num_seeds = int(days.loc[days["arm"] == styles.baseline, "num_seeds"].max())
    faint = num_seeds < MIN_SEEDS_FOR_INTERVAL or len(styles.remedies) > _MANY
    lines = dict(list(_drawn(days, styles).groupby(["level", "direction", "metric"], sort=False)))
    nothing = days.iloc[:0]
    panels = tuple(_panel(lines.get(metric, nothing), metric, styles, faint) for metric in metrics)
    caption = (
        f"Mean over {counted(num_seeds, 'seed')}. Bands are 95% intervals, over seeds, of a remedy's difference from "
        f"{styles.baseline}, each of one day by itself: where a band leaves the black line, the two differ. Lines of "
        "arms that ran in fewer seeds show their difference in these. Bands that leave a panel are cut."
    )
    if num_seeds < 2:
        caption = "One seed: there are no intervals."
    if any(bubble_metric(*metric) is not None for metric in metrics):
        caption += " Down is narrower on every panel: axes are turned where more is narrower."
    names = ", ".join(bubble_name(metric) for _, _, metric in metrics)
    alt = f"Small line plots over days of {names}, with lines for {', '.join(drawn)}."
    return Figure(panels, caption, alt, tuple(meaning(*metric) for metric in metrics), styles.legend(drawn), small=True)


def _drawn(days: pandas.DataFrame, styles: ArmStyles) -> pandas.DataFrame:
    """The rows of the arms that are drawn, by day, with `value` and the ends of its band as the panels show them."""
    keys = ["level", "direction", "metric", "day"]
    level = days.loc[days["arm"] == styles.baseline, [*keys, "mean"]].rename(columns={"mean": "without"})
    rows = days[days["arm"].isin([*styles.of, START])].merge(level, on=keys, how="left")
    scale = rows["metric"].map(scale_of)
    values = {
        name: scale * (rows["without"] + rows[f"difference{end}"])
        for name, end in (("value", ""), ("band_low", "_low"), ("band_high", "_high"))
    }
    return rows.assign(**values).sort_values("day", kind="stable")


def _panel(here: pandas.DataFrame, metric: Metric, styles: ArmStyles, faint: bool) -> str:
    arms = dict(list(here.groupby("arm", sort=False)))
    known = {arm: arms[arm] for arm in styles.of if arm in arms and arms[arm]["value"].notna().any()}
    start = scale_of(metric[2]) * float(arms[START]["mean"].iloc[0]) if START in arms else None
    shade = _FAINT if faint else 2 * _FAINT
    means, ends = [] if start is None else [start], []
    with drawing(*PANEL, MARGINS) as (canvas, axes):
        axes.set_title(name_with_unit(metric[2]), fontweight="bold", fontsize=9)
        for arm, rows in known.items():
            style = styles.of[arm]
            day, *lines = (_from_start(start, rows[name]) for name in ("day", "value", "band_low", "band_high"))
            if start is not None:
                day[0] = 0
            means += list(lines[0])
            if style.is_remedy:
                ends += [*lines[1], *lines[2]]
                axes.fill_between(day, lines[1], lines[2], color=style.colour.light, alpha=shade, linewidth=0)
            (line,) = axes.plot(
                day,
                lines[0],
                color=style.colour.light,
                linewidth=style.width,
                linestyle=(0, style.dashes) if style.dashes else "-",
                marker="o" if len(day) == 1 else "",
            )
            line.set_gid(f"{TOOLTIP}{arm}: {_last(rows, metric[2])}")
        axes.set_ylim(*limits(means, ends))
        if not known:
            axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=MUTED.light)
        if turned(*metric):
            axes.invert_yaxis()
        finish_days(axes, here["day"])
        return inline_svg(canvas)


def _from_start(start: float | None, values: pandas.Series) -> Float[A, " days"]:
    """The values, behind that of the start if there is one."""
    own = values.to_numpy(np.float64)
    return own if start is None else np.concatenate([[start], own])


def _last(rows: pandas.DataFrame, metric: str) -> str:
    row = rows.iloc[-1]
    words = f"{estimate(metric, row['mean'], row['low'], row['high'])} on day {row['day']}"
    if row["difference"] == 0 and row["difference_low"] == 0:
        return words
    ends = (row[f"difference{end}"] for end in ("", "_low", "_high"))
    return f"{words}; difference {estimate(metric, *ends, difference=True)}"


def differences_over_days(
    days: pandas.DataFrame, metric: str, arms: Sequence[str], styles: ArmStyles, marks: dict[str, int] | None = None
) -> Figure:
    """A panel for each of these arms: its difference from the loop without a remedy, with its interval, on one scale.

    `marks` are days to mark in the panel of an arm.
    """
    require_columns(days, [*COLUMNS, "difference_low", "difference_high"], "days")
    if not arms:
        raise ValueError("arms must name at least one, got none")
    here = days[(days["metric"] == metric) & days["arm"].isin(arms)]
    frame = limits([*here["difference"]], [*here["difference_low"], *here["difference_high"]])
    panels = []
    for arm in arms:
        own, style = here[here["arm"] == arm].sort_values("day", kind="stable"), styles.of[arm]
        with drawing(*PANEL, MARGINS) as (canvas, axes):
            axes.set_title(arm, fontweight="bold", fontsize=9)
            axes.fill_between(
                own["day"],
                own["difference_low"],
                own["difference_high"],
                color=style.colour.light,
                alpha=0.18,
                linewidth=0,
            )
            axes.axhline(0, color=INK.light, linewidth=0.9, zorder=1)
            (line,) = axes.plot(own["day"], own["difference"], color=style.colour.light, linewidth=style.width)
            line.set_gid(f"{TOOLTIP}{arm}: {_last(own, metric)}")
            if marks and arm in marks:
                axes.axvline(marks[arm], color=MUTED.light, linewidth=1.0, linestyle=(0, (3, 2)))
            axes.set_ylim(*frame)
            finish_days(axes, own["day"])
            panels.append(inline_svg(canvas))
    caption = (
        f"{bubble_name(metric).capitalize()}: difference from {styles.baseline} on the same users with the same luck, "
        "with 95% intervals over seeds, each of one day by itself. All panels have one scale; bands that leave it are "
        "cut."
    )
    alt = f"Small line plots of the difference in {bubble_name(metric)} over days, for {', '.join(arms)}."
    return Figure(tuple(panels), caption, alt, small=True)


def limits(means: Sequence[float], ends: Sequence[float]) -> tuple[float, float]:
    """Room for the means and, up to a half of their range beyond, for the intervals: few seeds make these vast."""
    known = [value for value in means if np.isfinite(value)]
    if not known:
        return -1.0, 1.0
    low, high = min(known), max(known)
    room = (high - low) or abs(high) or 1.0
    bounds = [*known, *(end for end in ends if np.isfinite(end))]
    return max(min(bounds), low - 0.5 * room) - 0.05 * room, min(max(bounds), high + 0.5 * room) + 0.05 * room


def finish_days(axes: Axes, days: pandas.Series) -> None:
    """An axis of whole days, and few numbers on the other."""
    last = int(days.max()) if len(days) else 1
    axes.set_xlim(0, max(last, 1))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.yaxis.set_major_formatter(SHORT)
    axes.set_xlabel("day of the loop")
