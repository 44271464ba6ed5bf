"""How many users each test needs: its power over the number of users, on a logarithmic axis."""

import pandas
from matplotlib.ticker import FuncFormatter, NullFormatter

from recsim_lab.reporting.blocks import Figure
from recsim_lab.reporting.figures.base import PHONE_WIDTH, SMALL, counted, drawing, require_columns, require_one_setting
from recsim_lab.reporting.palette import MUTED, family_styles
from recsim_lab.reporting.svg import TOOLTIP, inline_svg

_DASHES = ((), (4, 1.5), (1.2, 1.2), (5, 1.5, 1.2, 1.5), (8, 2))


def power_lines(curves: pandas.DataFrame, target: float = 0.8) -> Figure:
    """A line for each protocol: the mean power over seeds; a thin dashed line at the power that is aimed at.

    `curves` has columns `protocol`, `seed`, `users` and `power`, for one world and pair.
    """
    require_columns(curves, ["protocol", "seed", "users", "power"], "curves")
    require_one_setting(curves, "curves")
    curves = curves.assign(protocol=curves["protocol"].str.replace("_", " "))
    means = curves.groupby(["protocol", "users"], sort=False)["power"].mean().reset_index()
    protocols = list(dict.fromkeys(means["protocol"]))
    styles = family_styles(protocols)
    with drawing(PHONE_WIDTH, 260.0) as (canvas, axes):
        for place, protocol in enumerate(protocols):
            line = means[means["protocol"] == protocol]
            colour, dashes = styles[protocol].colour.light, _DASHES[place % len(_DASHES)]
            axes.plot(line["users"], line["power"], color=colour, dashes=dashes, linewidth=1.5, label=protocol)
            for users, power in zip(line["users"], line["power"], strict=True):
                gid = f"{TOOLTIP}{protocol}, {users:,d} users: {power:.0%}"
                axes.plot([users], [power], "o", color=colour, markersize=3.5, gid=gid)
        axes.axhline(target, color=MUTED.light, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.set(xscale="log", ylim=(-0.03, 1.05), xlabel="users in the test", ylabel="finds the right winner")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda users, _: f"{users:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda power, _: f"{power:.0%}"))
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, frameon=False, fontsize=SMALL)
        panel = inline_svg(canvas)
    num_seeds = curves["seed"].nunique()
    caption = (
        f"How often a test finds the right winner at 95%, by its number of users (mean over "
        f"{counted(num_seeds, 'seed')}). Dashed: {target:.0%}."
    )
    ends = means.groupby("protocol", sort=False).last()
    told = "; ".join(
        f"{name}: {row['power']:.0%} of tests with {row['users']:,.0f} users" for name, row in ends.iterrows()
    )
    return Figure((panel,), caption, f"Lines of power over users. {told}.")
