"""Agreement of every offline number with every online one, a heat map per protocol."""

from collections.abc import Sequence

import numpy as np
import pandas
import seaborn
from jaxtyping import Bool, Float
from matplotlib.colors import to_rgb

from recsim_lab.reporting.blocks import MISSING, Figure
from recsim_lab.reporting.figures.base import (
    SMALL,
    counted,
    drawing,
    require_columns,
    require_one_setting,
    setting_words,
    signed,
)
from recsim_lab.reporting.names import metric_name, protocol_name
from recsim_lab.reporting.palette import AGREE, DISAGREE, INK, MUTED, PAPER
from recsim_lab.reporting.svg import TOOLTIP, inline_svg

A = np.ndarray

# The value that says nothing, and the distance from it to perfect agreement.
NEUTRAL = {"spearman": 0.0, "kendall": 0.0, "pearson": 0.0, "pairwise_accuracy": 0.5}
REACH = {"spearman": 1.0, "kendall": 1.0, "pearson": 1.0, "pairwise_accuracy": 0.5}

# Room in figure units: for a row, a column, the names on the left, the slanted names on top and right.
_ROW, _COLUMN, _LEFT, _TOP, _RIGHT = 15.0, 26.0, 59.0, 84.0, 38.0


def agreement_heatmap(correlations: pandas.DataFrame, statistic: str = "spearman") -> Figure:
    """One panel per protocol: rows are offline metrics, columns online ones, the statistic in each cell.

    The stronger the colour, the further the statistic is from its neutral value (0, or one half for
    `pairwise_accuracy`). Where its interval includes that value the cell is paler and its number italic.
    `correlations` holds one world, logging policy and deployment, with columns `protocol`,
    `offline_metric`, `online_metric`, the statistic, and the statistic's `_low` and `_high`.
    """
    if statistic not in NEUTRAL:
        raise ValueError(f"statistic must be one of {', '.join(NEUTRAL)}, got {statistic!r}")
    bounds = [f"{statistic}_low", f"{statistic}_high"]
    keys = ["protocol", "offline_metric", "online_metric"]
    require_columns(correlations, [*keys, statistic, *bounds], "correlations")
    require_one_setting(correlations, "correlations")
    if correlations.duplicated(keys).any():
        raise ValueError(f"correlations must hold one row per {', '.join(keys)}, got repeated ones")

    online = list(dict.fromkeys(correlations["online_metric"]))
    panels = tuple(
        _panel(group, str(protocol), online, statistic)
        for protocol, group in correlations.groupby("protocol", sort=False)
    )
    words = statistic.replace("_", " ").capitalize() if statistic == "pairwise_accuracy" else statistic.capitalize()
    caption = (
        f"{words} between offline metrics (rows) and online metrics (columns) over agents, one panel per "
        f"protocol ({setting_words(correlations)}). Blue agrees, orange disagrees; a pale cell with an italic "
        f"number has a 95% interval that includes {NEUTRAL[statistic]:g}, which is no agreement."
    )
    best = correlations.dropna(subset=[statistic]).nlargest(1, statistic)
    alt = f"Heat maps for {counted(len(panels), 'protocol')}."
    for row in best.itertuples():
        alt += (
            f" The highest value, {signed(getattr(row, statistic))}, is that of {metric_name(row.offline_metric)} "
            f"under {protocol_name(row.protocol)} with {metric_name(row.online_metric)}."
        )
    return Figure(panels, caption, alt)


def _panel(group: pandas.DataFrame, protocol: str, online: Sequence[str], statistic: str) -> str:
    offline = list(dict.fromkeys(group["offline_metric"]))
    value, low, high = (
        group.pivot(index="offline_metric", columns="online_metric", values=name)
        .reindex(index=offline, columns=list(online))
        .to_numpy(dtype=float)
        for name in (statistic, f"{statistic}_low", f"{statistic}_high")
    )
    neutral = NEUTRAL[statistic]
    strength = np.clip((value - neutral) / REACH[statistic], -1, 1)
    sure = (low > neutral) | (high < neutral)

    width = _LEFT + _COLUMN * len(online) + _RIGHT
    height = _TOP + _ROW * len(offline) + 4
    with drawing(width, height) as (canvas, axes):
        canvas.set_layout_engine("none")
        axes.set_position((_LEFT / width, 4 / height, _COLUMN * len(online) / width, _ROW * len(offline) / height))
        seaborn.heatmap(
            np.zeros_like(value),
            ax=axes,
            cbar=False,
            linewidths=1.2,
            linecolor=PAPER.light,
            xticklabels=[metric_name(name) for name in online],
            yticklabels=[metric_name(name) for name in offline],
        )
        axes.grid(visible=False)
        mesh = axes.collections[0]
        mesh.set_array(None)
        mesh.set_facecolor([tuple(colour) for colour in _cell_colours(strength, sure)])
        axes.set_title(protocol_name(protocol), fontweight="bold", x=-_LEFT / (_COLUMN * len(online)), y=1, pad=66)
        axes.tick_params(length=0, pad=2, labelcolor=INK.light)
        axes.xaxis.tick_top()
        axes.tick_params(axis="y", rotation=0)
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="left", rotation_mode="anchor")
        for row, column in np.ndindex(*value.shape):
            known, certain = np.isfinite(value[row, column]), bool(sure[row, column])
            text = axes.text(
                column + 0.5,
                row + 0.53,
                signed(value[row, column]) if known else MISSING,
                ha="center",
                va="center",
                fontsize=SMALL,
                color=INK.light if certain else MUTED.light,
                style="normal" if certain or not known else "italic",
            )
            if known and np.isfinite(low[row, column]) and np.isfinite(high[row, column]):
                interval = f"{signed(low[row, column])} to {signed(high[row, column])}"
                text.set_gid(
                    f"{TOOLTIP}{metric_name(offline[row])}, {protocol_name(protocol)} with "
                    f"{metric_name(online[column])}: {signed(value[row, column])}, 95% interval {interval}"
                )
        return inline_svg(canvas)


def _cell_colours(strength: Float[A, "_ _"], sure: Bool[A, "_ _"]) -> Float[A, "_ 4"]:
    """RGBA per cell, row by row: the page shines through the less the statistic says."""
    colours = np.empty((*strength.shape, 4))
    colours[..., :3] = np.where((strength >= 0)[..., None], to_rgb(AGREE.light), to_rgb(DISAGREE.light))
    colours[..., 3] = np.nan_to_num(np.abs(strength)) * np.where(sure, 0.95, 0.35)
    return colours.reshape(-1, 4)
