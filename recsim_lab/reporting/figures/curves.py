"""What agents earn as they learn, and what others earn who do not."""

from collections.abc import Mapping

import numpy as np
import pandas

from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import (
    MIN_SEEDS_FOR_INTERVAL,
    PHONE_WIDTH,
    SHORT,
    SMALL,
    counted,
    drawing,
    means_with_intervals,
    require_columns,
)
from recsim_lab.reporting.palette import MUTED, family_styles
from recsim_lab.reporting.svg import inline_svg


def learning_curves(curves: pandas.DataFrame, value: str, label: str, levels: Mapping[str, float]) -> Figure:
    """A line for each policy over steps, the mean over seeds with a 95% t interval from three seeds on, and a dashed
    level for each of those that do not learn.

    `curves` has columns `policy`, `seed`, `step` and the value.
    """
    require_columns(curves, ["policy", "seed", "step", value], "curves")
    policies = list(dict.fromkeys(curves["policy"]))
    styles = family_styles(policies)
    means = means_with_intervals(curves, ["policy", "step"], value)
    with drawing(PHONE_WIDTH, 250.0) as (canvas, axes):
        for policy in policies:
            line = means[means["policy"] == policy]
            colour = styles[policy].colour.light
            axes.plot(line["step"], line["mean"], color=colour, linewidth=1.5, marker="o", markersize=3, label=policy)
            axes.fill_between(
                line["step"],
                line["mean"] - line["half"],
                line["mean"] + line["half"],
                color=colour,
                alpha=0.13,
                linewidth=0,
            )
        for name, level in levels.items():
            axes.axhline(level, color=MUTED.light, linewidth=1.0, linestyle=(0, (4, 3)))
            axes.annotate(
                name,
                (1.0, level),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=SMALL,
                color=MUTED.light,
            )
        axes.xaxis.set_major_formatter(SHORT)
        axes.set(xlabel="slates per seat", ylabel=label)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1, frameon=False, fontsize=SMALL)
        panel = inline_svg(canvas)
    num_seeds = curves["seed"].nunique()
    last = means.groupby("policy", sort=False)["mean"].last()
    caption = f"{label[0].upper()}{label[1:]} as the agent learns: mean over {counted(num_seeds, 'seed')}" + (
        " with 95% t intervals." if num_seeds >= MIN_SEEDS_FOR_INTERVAL else "."
    )
    ends = "; ".join(f"{policy} {last[policy]:.3f}" for policy in policies if np.isfinite(last[policy]))
    others = "; ".join(f"{name} {level:.3f}" for name, level in levels.items())
    return Figure((panel,), caption, f"Lines of {label} over steps. At the end: {ends}. Levels: {others}.")
