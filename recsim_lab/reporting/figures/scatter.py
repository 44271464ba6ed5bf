"""Offline score against online outcome: does the agent that looks best on the log please users most?"""

from collections.abc import Sequence

import numpy as np
import pandas
import seaborn
from matplotlib.axes import Axes

from recsim_lab.evaluation.plan import ORACLE
from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import (
    MAX_AGENTS_WITH_INTERVALS,
    MIN_SEEDS_FOR_INTERVAL,
    counted,
    drawing,
    means_with_intervals,
    require_columns,
    require_one_setting,
    setting_words,
    signed,
)
from recsim_lab.reporting.figures.points import label_points, room_for
from recsim_lab.reporting.names import (
    lower_is_better,
    metric_name,
    protocol_name,
    short_agent_names,
    split_offline_column,
)
from recsim_lab.reporting.palette import MUTED, PAPER, FamilyStyle, family_styles
from recsim_lab.reporting.svg import TOOLTIP, inline_svg

A = np.ndarray

_WIDTH, _HEIGHT = 320.0, 285.0


def offline_online_scatter(
    scores: pandas.DataFrame,
    offline: Sequence[str],
    online: str,
    families: Sequence[str] | None = None,
) -> Figure:
    """One panel per offline column: a point per agent at its means over seeds, with 95% t intervals from three seeds
    on, unless there are so many agents that these would hide the points.

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

    num_agents, num_seeds = agents["agent"].nunique(), agents["seed"].nunique()
    with_intervals = num_seeds >= MIN_SEEDS_FOR_INTERVAL and num_agents <= MAX_AGENTS_WITH_INTERVALS
    panels, findings = [], []
    for column in offline:
        protocol, metric = split_offline_column(column)
        correlation = _mean_rank_correlation(agents, column, online_column, metric, online)
        title = f"{metric_name(metric)} · {protocol_name(protocol)}"
        finding = "Spearman not defined" if np.isnan(correlation) else f"Spearman {signed(correlation)}"
        findings.append(f"{title}: {finding}")
        points = _agent_means(agents, column, online_column)
        if not with_intervals:
            points = points.assign(x_half=np.nan, y_half=np.nan)
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
            if points.empty:
                axes.text(
                    0.5, 0.5, "no agent has both numbers", transform=axes.transAxes, ha="center", color=MUTED.light
                )
            else:
                label_points(canvas, axes, _named(points, styles))
            panels.append(inline_svg(canvas))

    caption = (
        f"Offline score against {metric_name(online)} online ({setting_words(scores)}). One point per agent at "
        f"its mean over {counted(num_seeds, 'seed')}; "
        + ("lines are 95% t intervals, " if with_intervals else "")
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
    axes.set_xlim(*room_for(points["x"], points["x_half"]))
    axes.set_ylim(*room_for(points["y"], points["y_half"]))


def _named(points: pandas.DataFrame, styles: dict[str, FamilyStyle]) -> pandas.DataFrame:
    names = short_agent_names(points["agent"].tolist())
    colours = [styles[family].colour.light for family in points["family"]]
    return points.assign(name=[names[agent] for agent in points["agent"]], colour=colours)
