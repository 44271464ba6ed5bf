"""Heat maps of agreement: of every offline number with every online one, and over worlds."""

from collections.abc import Sequence
from dataclasses import dataclass

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
from recsim_lab.reporting.names import column_name, metric_name, protocol_name
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

    cells = _cells(correlations, statistic).assign(
        row=correlations["offline_metric"].map(metric_name), column=correlations["online_metric"].map(metric_name)
    )
    online = list(dict.fromkeys(cells["column"]))
    size = _Size(_LEFT, _TOP, _RIGHT)
    panels = tuple(
        _panel(protocol_name(str(protocol)), group, list(dict.fromkeys(group["row"])), online, statistic, size)
        for protocol, group in cells.groupby("protocol", sort=False)
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


def worlds_heatmap(correlations: pandas.DataFrame) -> Figure:
    """One panel per logging policy: rows are offline numbers, columns worlds, Spearman's correlation in each cell.

    Numbers stand in order of their mean, best first. `correlations` holds one deployment and one online metric.
    """
    keys = ["world", "logging_policy", "protocol", "offline_metric"]
    require_columns(correlations, [*keys, "spearman", "spearman_low", "spearman_high"], "correlations")
    if correlations.duplicated(keys).any():
        raise ValueError(f"correlations must hold one row per {', '.join(keys)}, got repeated ones")
    numbers = [
        column_name(f"offline/{protocol}/{metric}")
        for protocol, metric in zip(correlations["protocol"], correlations["offline_metric"], strict=True)
    ]
    cells = _cells(correlations, "spearman").assign(row=numbers, column=correlations["world"])
    means = cells.groupby("row")["value"].mean().sort_values(ascending=False, kind="stable")
    worlds = list(dict.fromkeys(cells["column"]))
    # Slanted names reach up and to the right.
    longest = max(map(len, worlds))
    size = _Size(4.7 * max(map(len, means.index)), 24 + 3.2 * longest, max(_RIGHT, 3.6 * longest))
    panels = tuple(
        _panel(f"log of {logging}", group, list(means.index), worlds, "spearman", size)
        for logging, group in cells.groupby("logging_policy", sort=False)
    )
    caption = (
        "Spearman's correlation over agents of each offline number (rows, best mean first) with clicks per slate, by "
        "world (columns) and log. Blue agrees, orange disagrees; a pale cell with an italic number has a 95% interval "
        "that includes 0."
    )
    alt = (
        f"Heat maps for {counted(len(panels), 'log')} of {counted(len(worlds), 'world')}. The highest mean, "
        f"{signed(means.iloc[0])}, is that of {means.index[0]}; the lowest, {signed(means.iloc[-1])}, that of "
        f"{means.index[-1]}."
    )
    return Figure(panels, caption, alt)


@dataclass(frozen=True)
class _Size:
    """Room around the cells of a panel: names of rows, of columns, and where the last of these end."""

    left: float
    top: float
    right: float


def _cells(correlations: pandas.DataFrame, statistic: str) -> pandas.DataFrame:
    """The same rows with `value`, `low` and `high`."""
    names = {statistic: "value", f"{statistic}_low": "low", f"{statistic}_high": "high"}
    return correlations.rename(columns=names)


def _panel(
    title: str, cells: pandas.DataFrame, rows: Sequence[str], columns: Sequence[str], statistic: str, size: _Size
) -> str:
    value, low, high = (
        cells.pivot(index="row", columns="column", values=name)
        .reindex(index=list(rows), columns=list(columns))
        .to_numpy(dtype=float)
        for name in ("value", "low", "high")
    )
    neutral = NEUTRAL[statistic]
    strength = np.clip((value - neutral) / REACH[statistic], -1, 1)
    sure = (low > neutral) | (high < neutral)

    width = size.left + _COLUMN * len(columns) + size.right
    height = size.top + _ROW * len(rows) + 4
    with drawing(width, height) as (canvas, axes):
        canvas.set_layout_engine("none")
        across, upwards = _COLUMN * len(columns) / width, _ROW * len(rows) / height
        axes.set_position((size.left / width, 4 / height, across, upwards))
        seaborn.heatmap(
            np.zeros_like(value),
            ax=axes,
            cbar=False,
            linewidths=1.2,
            linecolor=PAPER.light,
            xticklabels=list(columns),
            yticklabels=list(rows),
        )
        axes.grid(visible=False)
        mesh = axes.collections[0]
        mesh.set_array(None)
        mesh.set_facecolor([tuple(colour) for colour in _cell_colours(strength, sure)])
        axes.set_title(title, fontweight="bold", x=-size.left / (_COLUMN * len(columns)), y=1, pad=size.top - 18)
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
                    f"{TOOLTIP}{rows[row]}, {title} with {columns[column]}: {signed(value[row, column])}, "
                    f"95% interval {interval}"
                )
        return inline_svg(canvas)


def _cell_colours(strength: Float[A, "_ _"], sure: Bool[A, "_ _"]) -> Float[A, "_ 4"]:
    """RGBA per cell, row by row: the page shines through the less the statistic says."""
    colours = np.empty((*strength.shape, 4))
    colours[..., :3] = np.where((strength >= 0)[..., None], to_rgb(AGREE.light), to_rgb(DISAGREE.light))
    colours[..., 3] = np.nan_to_num(np.abs(strength)) * np.where(sure, 0.95, 0.35)
    return colours.reshape(-1, 4)
