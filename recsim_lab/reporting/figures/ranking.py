"""Which offline numbers predict an online one best: a dot and an interval for each, and the ceiling."""

import numpy as np
import pandas

from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import (
    PHONE_WIDTH,
    SMALL,
    counted,
    drawing,
    require_columns,
    require_one_setting,
    setting_words,
    signed,
)
from recsim_lab.reporting.figures.heatmap import NEUTRAL
from recsim_lab.reporting.names import column_name, metric_name
from recsim_lab.reporting.palette import INK, MUTED, PAPER, family_styles
from recsim_lab.reporting.svg import TOOLTIP, inline_svg

_ROW = 14.5


def agreement_ranking(
    correlations: pandas.DataFrame, online_metric: str, statistic: str = "spearman", num_rows: int = 24
) -> Figure:
    """The `num_rows` offline numbers that agree most with one online metric, the best on top.

    A hollow dot has an interval that includes the statistic's neutral value. The dashed line is the
    ceiling: the rank correlation of two replicates of the online metric under different luck
    (drawn for `spearman`, the statistic it is measured in).
    """
    if statistic not in NEUTRAL:
        raise ValueError(f"statistic must be one of {', '.join(NEUTRAL)}, got {statistic!r}")
    if num_rows < 1:
        raise ValueError(f"num_rows must be at least 1, got {num_rows}")
    online_metric = online_metric.removeprefix("online/")
    bounds = [f"{statistic}_low", f"{statistic}_high"]
    require_columns(
        correlations,
        ["protocol", "offline_metric", "online_metric", statistic, *bounds, "ceiling", "num_agents", "num_seeds"],
        "correlations",
    )
    require_one_setting(correlations, "correlations")
    rows = correlations[correlations["online_metric"] == online_metric]
    if rows.empty:
        known = ", ".join(sorted(correlations["online_metric"].unique()))
        raise ValueError(f"online_metric must be one of {known}, got {online_metric!r}")
    ranked = rows.dropna(subset=[statistic]).sort_values(
        [statistic, "protocol", "offline_metric"], ascending=[False, True, True], kind="stable"
    )
    shown = ranked.head(num_rows).reset_index(drop=True)
    pairs = zip(shown["protocol"], shown["offline_metric"], strict=True)
    names = [column_name(f"offline/{protocol}/{metric}") for protocol, metric in pairs]
    styles = family_styles(sorted(correlations["protocol"].unique()))
    ceiling = float(rows["ceiling"].iloc[0]) if statistic == "spearman" else float("nan")

    with drawing(PHONE_WIDTH, 62 + _ROW * max(len(shown), 1)) as (canvas, axes):
        for place, row in enumerate(shown.itertuples()):
            value, low, high = (float(getattr(row, name)) for name in (statistic, *bounds))
            style = styles[row.protocol]
            ends = f", 95% interval {signed(low)} to {signed(high)}" if np.isfinite(low) else ""
            sure = low > NEUTRAL[statistic] or high < NEUTRAL[statistic]
            axes.plot([low, high], [place, place], color=style.colour.light, linewidth=1.6, alpha=0.45)
            axes.plot(
                [value],
                [place],
                style.marker,
                color=style.colour.light,
                markersize=5.5,
                markeredgewidth=1.2,
                markerfacecolor=style.colour.light if sure else PAPER.light,
                markeredgecolor=style.colour.light,
                gid=f"{TOOLTIP}{names[place]}: {signed(value)}{ends}",
            )
            axes.text(
                1.02,
                place,
                signed(value),
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=SMALL,
                color=INK.light if sure else MUTED.light,
                style="normal" if sure else "italic",
            )
        axes.axvline(NEUTRAL[statistic], color=MUTED.light, linewidth=0.8, zorder=1)
        if np.isfinite(ceiling):
            axes.axvline(ceiling, color=INK.light, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            axes.text(
                ceiling,
                1.01,
                f"ceiling {signed(ceiling)}",
                transform=axes.get_xaxis_transform(),
                ha="right" if ceiling > 0.5 else "left",
                va="bottom",
                fontsize=SMALL,
            )
        axes.set_yticks(range(len(shown)), names)
        axes.set_ylim(max(len(shown), 1) - 0.4, -0.6)
        # Few agents leave dots without intervals; then the dots alone say how far the axis reaches.
        low_end = np.nanmin([*shown[bounds[0]], *shown[statistic], NEUTRAL[statistic]]) if len(shown) else -1.0
        axes.set_xlim(max(low_end - 0.05, 2 * NEUTRAL[statistic] - 1), 1.02)
        axes.tick_params(axis="y", length=0, pad=1, labelcolor=INK.light)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"{statistic.replace('_', ' ').capitalize()} with {metric_name(online_metric)} online")
        panel = inline_svg(canvas)

    first = rows.iloc[0]
    undefined = len(rows) - len(ranked)
    caption = (
        f"How well offline numbers predict {metric_name(online_metric)} ({setting_words(rows)}; "
        f"{counted(int(first['num_agents']), 'agent')}, {counted(int(first['num_seeds']), 'seed')}): "
        f"the best {len(shown)} of {len(rows)}"
        + (f", of which {undefined} have no defined value" if undefined else "")
        + (". Too few agent families for intervals" if len(shown) and shown[bounds[0]].isna().all() else "")
        + ". Lines are 95% bootstrap intervals; a hollow dot's interval includes "
        f"{NEUTRAL[statistic]:g}; colours are protocols. "
        "The first of many candidates flatters itself: read the interval."
    )
    if np.isfinite(ceiling):
        caption += (
            " Dashed: the ceiling, how well the same agents under other luck tell it. It is no bound: a number that "
            "knew what each agent earns in expectation would reach about its square root."
        )
    alt = f"Dot plot of {len(shown)} offline numbers."
    if len(shown):
        alt += f" Best: {names[0]} with {signed(float(shown[statistic].iloc[0]))}."
    return Figure((panel,), caption, alt)
