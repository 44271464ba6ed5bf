"""Engagement day by day: one line per agent, named where it ends."""

from collections.abc import Sequence

import numpy as np
import pandas
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import (
    MAX_AGENTS_WITH_INTERVALS,
    MIN_SEEDS_FOR_INTERVAL,
    PHONE_WIDTH,
    SMALL,
    counted,
    drawing,
    means_with_intervals,
    require_columns,
    require_one_setting,
    setting_words,
)
from recsim_lab.reporting.figures.labels import spread
from recsim_lab.reporting.names import metric_name, short_agent_names
from recsim_lab.reporting.palette import family_styles
from recsim_lab.reporting.svg import inline_svg

_LABEL_GAP = 10.0
# Agents of one family share its colour and differ by dashes, in order of their names.
_DASHES = ((), (4, 1.5), (1.2, 1.2), (5, 1.5, 1.2, 1.5), (8, 2), (3, 1, 1, 1, 1, 1))


def engagement_over_days(
    daily: pandas.DataFrame, metric: str = "clicks_per_slate", families: Sequence[str] | None = None
) -> Figure:
    """The metric's mean over seeds on each day, with bands of 95% t intervals from three seeds on, unless there are so
    many agents that bands would hide lines.

    `daily` has columns `agent`, `family`, `seed`, `day` and the metric, for one world, logging policy and
    deployment. `families` fixes the colours: pass the same list to all figures of a report.
    """
    require_columns(daily, ["agent", "family", "seed", "day", metric], "daily")
    require_one_setting(daily, "daily")
    styles = family_styles(sorted(daily["family"].unique()) if families is None else families)
    unknown = sorted(set(daily["family"]) - set(styles))
    if unknown:
        raise ValueError(f"families must list every family of daily, got {list(styles)} without {unknown}")
    means = means_with_intervals(daily, ["family", "agent", "day"], metric).dropna(subset=["mean"])
    if means.empty:
        raise ValueError(f"daily must hold values of {metric}, got only missing ones")
    agents = means.drop_duplicates("agent")[["agent", "family"]].reset_index(drop=True)
    agents["colour"] = [styles[family].colour.light for family in agents["family"]]
    place_in_family = agents.groupby("family").cumcount()
    dashes = {
        agent: _DASHES[place % len(_DASHES)] for agent, place in zip(agents["agent"], place_in_family, strict=True)
    }

    with drawing(PHONE_WIDTH, max(270.0, 70 + 1.25 * _LABEL_GAP * len(agents))) as (canvas, axes):
        banded = agents if len(agents) <= MAX_AGENTS_WITH_INTERVALS else agents.iloc[:0]
        for agent, colour in zip(banded["agent"], banded["colour"], strict=True):
            line = means[means["agent"] == agent]
            axes.fill_between(
                line["day"],
                line["mean"] - line["half"],
                line["mean"] + line["half"],
                color=colour,
                alpha=0.13,
                linewidth=0,
            )
        seaborn.lineplot(
            data=means,
            x="day",
            y="mean",
            hue="agent",
            style="agent",
            dashes=dashes,
            errorbar=None,
            palette=dict(zip(agents["agent"], agents["colour"], strict=True)),
            legend=False,
            linewidth=1.5,
            ax=axes,
        )
        low, high = means["mean"].min(), means["mean"].max()
        room = (high - low) or abs(high) or 1.0
        axes.set_ylim(
            max((means["mean"] - means["half"].fillna(0)).min(), low - room / 3) - 0.03 * room,
            min((means["mean"] + means["half"].fillna(0)).max(), high + room / 3) + 0.03 * room,
        )
        axes.set_xlim(means["day"].min(), max(means["day"].max(), means["day"].min() + 1))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
        axes.set_xlabel("simulated day")
        axes.set_ylabel(metric_name(metric))
        last = means.sort_values("day", kind="stable").groupby("agent", sort=False).last()
        _label_ends(canvas, axes, agents.assign(end=last.loc[agents["agent"], "mean"].to_numpy()))
        panel = inline_svg(canvas)

    num_seeds = daily["seed"].nunique()
    caption = (
        f"{metric_name(metric).capitalize()} on each day after deployment ({setting_words(daily)}): mean over "
        f"{counted(num_seeds, 'seed')}"
        + (
            " with 95% t intervals. "
            if num_seeds >= MIN_SEEDS_FOR_INTERVAL and len(agents) <= MAX_AGENTS_WITH_INTERVALS
            else ". "
        )
        + "Colours are families; dashes tell their members apart."
    )
    ends = last.sort_values("mean", ascending=False, kind="stable")
    alt = (
        f"Line plot of {counted(len(agents), 'agent')} from day {int(means['day'].min())} to "
        f"{int(means['day'].max())}. Last: highest {ends.index[0]} with {ends['mean'].iloc[0]:.3f}, "
        f"lowest {ends.index[-1]} with {ends['mean'].iloc[-1]:.3f}."
    )
    return Figure((panel,), caption, alt)


def _label_ends(canvas: Canvas, axes: Axes, agents: pandas.DataFrame) -> None:
    """Write each name at the height where its line ends, or as near as leaves all of them readable."""
    low, high = axes.get_ylim()
    heights = (agents["end"].to_numpy(dtype=float) - low) / (high - low)
    names = short_agent_names(agents["agent"].tolist())
    texts = [
        axes.text(1.06, height, names[agent], color=colour, fontsize=SMALL, va="center", transform=axes.transAxes)
        for agent, colour, height in zip(agents["agent"], agents["colour"], heights, strict=True)
    ]
    # The layout makes room for the names first; how far apart they must stand follows from the height it leaves.
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
    gap = _LABEL_GAP / axes.get_window_extent().height
    label_heights = spread(heights, gap)
    label_heights += np.clip(-label_heights.min(), 0, None) - np.clip(label_heights.max() - 1.02, 0, None)
    for text, colour, height, label_height in zip(texts, agents["colour"], heights, label_heights, strict=True):
        text.set_y(label_height)
        axes.plot(
            [1.005, 1.03, 1.05],
            [height, label_height, label_height],
            color=colour,
            linewidth=0.7,
            alpha=0.6,
            transform=axes.transAxes,
            clip_on=False,
        )
