"""What each arm loses, in two parts one after the other."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import PHONE_WIDTH, SMALL, drawing
from recsim_lab.reporting.palette import AGREE, DISAGREE, INK
from recsim_lab.reporting.svg import TOOLTIP, inline_svg

A = np.ndarray

_ROW = 30.0


def stacked_losses(
    names: Sequence[str], first: Float[A, " arms"], second: Float[A, " arms"], parts: tuple[str, str], label: str
) -> Figure:
    """A bar for each arm, in the order given: the first part from zero on, the second behind it."""
    with drawing(PHONE_WIDTH, 70 + _ROW * max(len(names), 1)) as (canvas, axes):
        for values, start, part, colour in (
            (first, np.zeros(len(names)), parts[0], AGREE.light),
            (second, first, parts[1], DISAGREE.light),
        ):
            for place, (value, left) in enumerate(zip(values, start, strict=True)):
                (bar,) = axes.barh(place, value, left=left, height=0.42, color=colour, label=part if not place else "")
                bar.set_gid(f"{TOOLTIP}{names[place]}, {part}: {value:.3f}")
        for place, name in enumerate(names):
            axes.text(
                0.0, place - 0.36, name, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL,
                color=INK.light,
            )  # fmt: skip
        axes.set(xlabel=label, yticks=[], ylim=(max(len(names), 1) - 0.5, -0.8))
        axes.grid(False, axis="y")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=SMALL)
        panel = inline_svg(canvas)
    told = "; ".join(
        f"{name}: {one:.3f} and {other:.3f}" for name, one, other in zip(names, first, second, strict=True)
    )
    return Figure((panel,), f"{label}, {parts[0]} and {parts[1]}.", f"{label}, {parts[0]} and {parts[1]}: {told}.")
