"""Offline score against online outcome: does the agent that looks best on the log please users most?"""

from collections.abc import Sequence

import numpy as np
import pandas
import seaborn
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from recsim_lab.evaluation.plan import ORACLE
from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import (
    MIN_SEEDS_FOR_INTERVAL,
    SMALL,
    counted,
    drawing,
    means_with_intervals,
    require_columns,
    require_one_setting,
    setting_words,
    signed,
)
from recsim_lab.reporting.figures.labels import place_labels
from recsim_lab.reporting.names import (
    lower_is_better,
    metric_name,
    protocol_name,
    short_agent_names,
    split_offline_column,
)
from recsim_lab.reporting.palette import MUTED, PAPER, RULE, FamilyStyle, family_styles
from recsim_lab.reporting.svg import HALO, TOOLTIP, inline_svg

A = np.ndarray

_WIDTH, _HEIGHT = 320.0, 285.0


def offline_online_scatter(
    scores: pandas.DataFrame,
    offline: Sequence[str],
    online: str,
    families: Sequence[str] | None = None,
) -> Figure:
    """One panel per offline column: a point per agent at its means over seeds, with 95% t intervals
    from three seeds on.

    `scores` has columns `agent`, `family`, `seed`, the offline columns (`offline/<protocol>/<metric>`) and
    `online/<online>`, for one world, logging policy and deployment. Each title gives the rank correlation
    within a seed, averaged over seeds. Axes of metrics where less is better run backwards. The oracle is
    left out. `families` fixes the colours: pass the same list to all figures of a report.
    """
    online = online.removeprefix("online/")
    online_column = f"online/{online}"
    require_columns(scores, ["agent", "family", "seed", *offline, online_column], "scores")
    require_one_setting(scores, "scores")
    if not offline:
        raise ValueError("offline must name at least one column, got none")
    agents = scores[scores["family"] != ORACLE]
    styles = family_styles(sorted(agents["family"].unique()) if families is None else families)
    unknown = sorted(set(agents["family"]) - set(styles))
    if unknown:
        raise ValueError(f"families must list every family of scores, got {list(styles)} without {unknown}")

    panels, findings = [], []
    for column in offline:
        protocol, metric = split_offline_column(column)
        correlation = _mean_rank_correlation(agents, column, online_column, metric, online)
        title = f"{metric_name(metric)} · {protocol_name(protocol)}"
        finding = "Spearman not defined" if np.isnan(correlation) else f"Spearman {signed(correlation)}"
        findings.append(f"{title}: {finding}")
        points = _agent_means(agents, column, online_column)
        with drawing(_WIDTH, _HEIGHT) as (canvas, axes):
            axes.set_title(title, fontweight="bold", pad=19)
            axes.text(0, 1.025, finding, transform=axes.transAxes, color=MUTED.light, va="bottom")
            _draw_points(axes, points, styles)
            axes.set_xlabel(f"{metric_name(metric)} offline")
            axes.set_ylabel(f"{metric_name(online)} online")
            if lower_is_better(metric):
                axes.invert_xaxis()
            if lower_is_better(online):
                axes.invert_yaxis()
            _label_points(canvas, axes, points, styles)
            panels.append(inline_svg(canvas))

    num_agents, num_seeds = agents["agent"].nunique(), agents["seed"].nunique()
    caption = (
        f"Offline score against {metric_name(online)} online ({setting_words(scores)}). One point per agent at "
        f"its mean over {counted(num_seeds, 'seed')}; "
        + ("lines are 95% t intervals, " if num_seeds >= MIN_SEEDS_FOR_INTERVAL else "")
        + "colours are families. "
        "Up and right is better on every panel. Spearman is computed within each seed and averaged."
    )
    alt = f"Scatter plots of {counted(num_agents, 'agent')}. " + "; ".join(findings) + "."
    return Figure(tuple(panels), caption, alt)


def _agent_means(agents: pandas.DataFrame, offline: str, online: str) -> pandas.DataFrame:
    """One row per agent that has both numbers, with means and half widths `x, x_half, y, y_half`."""
    by = ["family", "agent"]
    x = means_with_intervals(agents, by, offline).rename(columns={"mean": "x", "half": "x_half"})
    y = means_with_intervals(agents, by, online).rename(columns={"mean": "y", "half": "y_half"})
    return x.merge(y, on=by).dropna(subset=["x", "y"]).reset_index(drop=True)


def _mean_rank_correlation(
    agents: pandas.DataFrame, offline: str, online: str, offline_metric: str, online_metric: str
) -> float:
    """Spearman between the columns within each seed, averaged over seeds; positive means agreement."""
    sign = -1.0 if lower_is_better(offline_metric) != lower_is_better(online_metric) else 1.0
    values = []
    for _, group in agents.dropna(subset=[offline, online]).groupby("seed"):
        ranks = group[[offline, online]].rank().to_numpy()
        if len(ranks) > 2 and (ranks.std(axis=0) > 0).all():
            values.append(float(np.corrcoef(ranks.T)[0, 1]))
    return sign * float(np.mean(values)) if values else float("nan")


def _draw_points(axes: Axes, points: pandas.DataFrame, styles: dict[str, FamilyStyle]) -> None:
    for family, group in points.groupby("family"):
        axes.errorbar(
            group["x"],
            group["y"],
            xerr=group["x_half"],
            yerr=group["y_half"],
            fmt="none",
            ecolor=styles[str(family)].colour.light,
            elinewidth=0.9,
            alpha=0.4,
            zorder=2,
        )
    if points.empty:
        return
    seaborn.scatterplot(
        data=points,
        x="x",
        y="y",
        hue="family",
        style="family",
        ax=axes,
        legend=False,
        s=38,
        zorder=3,
        palette={family: style.colour.light for family, style in styles.items()},
        markers={family: style.marker for family, style in styles.items()},
        edgecolor=PAPER.light,
        linewidth=0.5,
    )
    for point in points.itertuples():
        # An unseen larger disc carries the tooltip, since a finger or mouse seldom hits the point itself.
        target = axes.scatter([point.x], [point.y], s=150, color=MUTED.light, alpha=0, linewidth=0, zorder=4)
        target.set_gid(f"{TOOLTIP}{point.agent}: {point.x:.4g} offline, {point.y:.4g} online")
    axes.set_xlim(*_limits(points["x"], points["x_half"]))
    axes.set_ylim(*_limits(points["y"], points["y_half"]))


def _limits(means: pandas.Series, halves: pandas.Series) -> tuple[float, float]:
    """Room for the means and, up to half their range beyond, for the intervals: few seeds make these vast."""
    if means.empty:
        return 0.0, 1.0
    low, high = means.min(), means.max()
    room = (high - low) or abs(high) or 1.0
    low_end = max((means - halves.fillna(0)).min(), low - room / 2)
    high_end = min((means + halves.fillna(0)).max(), high + room / 2)
    return float(min(low_end, low - 0.08 * room)), float(max(high_end, high + 0.08 * room))


def _label_points(canvas: Canvas, axes: Axes, points: pandas.DataFrame, styles: dict[str, FamilyStyle]) -> None:
    if points.empty:
        axes.text(0.5, 0.5, "no agent has both numbers", transform=axes.transAxes, ha="center", color=MUTED.light)
        return
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
    names = short_agent_names(points["agent"].tolist())
    texts = [axes.text(0, 0, names[agent], fontsize=SMALL) for agent in points["agent"]]
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([[extent.width, extent.height * 0.9] for extent in extents])
    places = axes.transData.transform(points[["x", "y"]].to_numpy())
    frame = axes.get_window_extent()
    corners = np.array([[frame.x0, frame.y0 + 1], [frame.x1 + 2, frame.y1]])
    middles = place_labels(places, sizes, corners, _interval_boxes(axes, points))
    for text, place, middle, size, family in zip(texts, places, middles, sizes, points["family"], strict=True):
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
            color=styles[family].colour.light,
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
