"""From what an offline number agrees to what it could: the parts of the gap, one step after the other."""

import numpy as np
import pandas
from matplotlib.axes import Axes

from recsim_lab.evaluation.attribution import PARTS
from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import PHONE_WIDTH, SMALL, drawing, require_columns, signed
from recsim_lab.reporting.names import column_name
from recsim_lab.reporting.palette import AGREE, DISAGREE, INK, MUTED
from recsim_lab.reporting.svg import TOOLTIP, inline_svg

NAMES = {
    "labels": "labels: what was clicked, not what was wanted",
    "split": "split: trained with the future in hand",
    "rules": "rules of production left out",
    "prediction": "clicks foreseen, not slates valued",
    "change": "users change while they are served",
    "noise": "luck: another replicate",
}
"""The parts in words."""
_ROW = 30.0


def attribution_waterfall(attribution: pandas.DataFrame) -> Figure:
    """Bars that lead from a number's agreement to 1; `attribution` holds the parts of one number in one world."""
    require_columns(
        attribution, ["protocol", "offline_metric", "online_metric", "part", "value", "low", "high"], "parts"
    )
    parts = attribution.set_index("part")
    if not parts.index.is_unique or set(parts.index) != {*PARTS, "total"}:
        raise ValueError(f"attribution must hold each part of one number once, got {list(attribution['part'])}")
    row = attribution.iloc[0]
    number = column_name(f"offline/{row['protocol']}/{row['offline_metric']}")
    at = 1 - float(parts.loc["total", "value"])
    with drawing(PHONE_WIDTH, 56 + _ROW * (len(PARTS) + 1)) as (canvas, axes):
        axes.barh([0], [at], height=0.34, color=MUTED.light, gid=f"{TOOLTIP}agreement: {signed(at)}")
        _name(axes, 0, f"agreement of this number: {signed(at)}")
        for place, part in enumerate(PARTS, 1):
            value, low, high = (float(parts.loc[part, name]) for name in ("value", "low", "high"))
            colour = (AGREE if value >= 0 else DISAGREE).light
            ends = f", 95% interval {signed(low)} to {signed(high)}" if np.isfinite(low) else ""
            axes.barh(
                [place], [value], left=[at], height=0.34, color=colour, gid=f"{TOOLTIP}{part}: {signed(value)}{ends}"
            )
            axes.plot([at + low, at + high], [place, place], color=INK.light, linewidth=1.0)
            _name(axes, place, f"{NAMES[part]}: {signed(value)}")
            at += value
        axes.axvline(1, color=MUTED.light, linewidth=0.8, linestyle="--", zorder=1)
        axes.set(xlabel="Spearman's correlation", yticks=[], ylim=(len(PARTS) + 0.5, -0.8))
        axes.grid(False, axis="y")
        panel = inline_svg(canvas)
    caption = (
        f"What parts {number} from {row['online_metric'].replace('_', ' ')}. Each bar starts where the last one ends; "
        "a bar to the left is a remedy that made it worse. Lines are 95% intervals of a part."
    )
    return Figure((panel,), caption, f"Waterfall of {len(PARTS)} parts of the gap between {number} and the truth.")


def _name(axes: Axes, place: int, words: str) -> None:
    axes.text(
        0.0, place - 0.36, words, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL, color=INK.light
    )
