"""What each arm gives up in engagement and wins in breadth: points in a plane, and those that none beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas
from jaxtyping import Bool, Float

from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.arm_styles import ArmStyles
from recsim_lab.reporting.figures.base import drawing, require_columns
from recsim_lab.reporting.figures.points import label_points, room_for
from recsim_lab.reporting.palette import INK, MUTED, PAPER
from recsim_lab.reporting.svg import TOOLTIP, inline_svg
from recsim_lab.reporting.words import Estimate, listed

A = np.ndarray

_SIZE = (340.0, 290.0)
COLUMNS = ("arm", "x", "x_low", "x_high", "y", "y_low", "y_high")


@dataclass(frozen=True)
class Trade:
    """A plane: `points` has `COLUMNS`; more x is better, and more y unless `turned`."""

    title: str
    x_label: str
    y_label: str
    points: pandas.DataFrame
    turned: bool = False

    def __post_init__(self) -> None:
        missing = [column for column in COLUMNS if column not in self.points.columns]
        if missing:
            raise ValueError(f"points must have columns {missing}, got {list(self.points.columns)}")

    @property
    def known(self) -> pandas.DataFrame:
        return self.points.dropna(subset=["x", "y"]).reset_index(drop=True)


def on_front(x: Float[A, " points"], y: Float[A, " points"]) -> Bool[A, " points"]:
    """Which points no other beats: none is at least as good in both and better in one (more is better)."""
    as_good = (x[None] >= x[:, None]) & (y[None] >= y[:, None])
    better = (x[None] > x[:, None]) | (y[None] > y[:, None])
    return np.asarray(~np.any(as_good & better, axis=1))


def front_of(trade: Trade, arms: Sequence[str]) -> list[str]:
    """The names, from the least x on, of those of the arms that stand on the front of these arms."""
    points = trade.known[trade.known["arm"].isin(arms)].sort_values("x", kind="stable")
    sign = -1.0 if trade.turned else 1.0
    return list(points["arm"][on_front(points["x"].to_numpy(float), sign * points["y"].to_numpy(float))])


def pareto_plots(trades: Sequence[Trade], styles: ArmStyles) -> Figure:
    """A panel for each plane. The front is drawn through the loop without a remedy and remedies alone; controls are
    grey. Intervals are crosses."""
    if not trades:
        raise ValueError("trades must hold at least one, got none")
    competitors = (styles.baseline, *styles.remedies)
    panels, told = [], []
    for trade in trades:
        front = front_of(trade, competitors)
        panels.append(_panel(trade, front, styles))
        told.append(f"{trade.title}: {listed(front)}")
    caption = (
        f"Differences from {styles.baseline} on the same users: to the right is more engagement, up is a wider world. "
        "Crosses are 95% intervals over seeds of either difference by itself; those that leave a panel are cut. "
        "Filled points, joined by a line, are those that no other arm beats in both, by their means; grey ones are "
        "controls and do not compete."
    )
    return Figure(tuple(panels), caption, "Scatter plots with their Pareto fronts. " + "; ".join(told) + ".")


def _panel(trade: Trade, front: Sequence[str], styles: ArmStyles) -> str:
    points = trade.known
    require_columns(points, COLUMNS, "points")
    colours = {arm: style.colour.light for arm, style in styles.of.items()}
    points = points[points["arm"].isin(colours)].reset_index(drop=True)
    points = points.assign(
        name=points["arm"],
        colour=points["arm"].map(colours),
        x_half=(points["x_high"] - points["x_low"]) / 2,
        y_half=(points["y_high"] - points["y_low"]) / 2,
    )
    with drawing(*_SIZE) as (canvas, axes):
        axes.set_title(trade.title, fontweight="bold")
        line = points.set_index("arm").loc[list(front), ["x", "y"]]
        axes.plot(line["x"], line["y"], color=MUTED.light, linewidth=1.0, linestyle=(0, (4, 2)), zorder=2)
        axes.axvline(0, color=INK.light, linewidth=0.6, alpha=0.6, zorder=1)
        axes.axhline(0, color=INK.light, linewidth=0.6, alpha=0.6, zorder=1)
        for point in points.to_dict("records"):
            place, colour = (point["x"], point["y"]), point["colour"]
            axes.errorbar(
                *place, xerr=point["x_half"], yerr=point["y_half"], fmt="none", ecolor=colour, elinewidth=0.9, alpha=0.4
            )
            fill = colour if point["arm"] in front else PAPER.light
            axes.plot(*place, "o", markersize=6, markerfacecolor=fill, markeredgecolor=colour, markeredgewidth=1.3)
            x, y = (Estimate(point[v], point[f"{v}_low"], point[f"{v}_high"], "+.3g") for v in ("x", "y"))
            (target,) = axes.plot(*place, "o", markersize=13, alpha=0, color=colour)
            target.set_gid(f"{TOOLTIP}{point['arm']}: {trade.x_label} {x}; {trade.y_label} {y}")
        axes.set_xlim(*room_for(points["x"], points["x_half"]))
        axes.set_ylim(*room_for(points["y"], points["y_half"]))
        axes.set(xlabel=trade.x_label, ylabel=trade.y_label)
        if trade.turned:
            axes.invert_yaxis()
        label_points(canvas, axes, points)
        return inline_svg(canvas)
