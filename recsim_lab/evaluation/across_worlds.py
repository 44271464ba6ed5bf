"""How well each offline number agrees over many worlds, and how much of that it owes to the log's randomness.

Within a world, agents and seeds are what varies; whether a number can be followed elsewhere is told by other worlds
alone. So worlds are the units here: means of their agreement, and Student's t intervals over them.
"""

import numpy as np
import pandas as pd

from recsim_lab.evaluation.statistics import Interval, mean_interval

FEWEST_WORLDS = 3
"""For an interval over worlds: of two, Student's is 13 times the distance of either from their mean."""
NUMBER = ("protocol", "offline_metric")
COLUMNS = (
    *("logging_policy", "deployment", *NUMBER, "online_metric", "agreement", "low", "high", "least", "least_world"),
    *("top1_regret", "num_worlds", "num_above_chance", "less_than_random", "less_low", "less_high"),
)


def over_worlds(values: pd.Series) -> Interval:
    """The mean of a value per world and Student's 95% interval, those unknown left out; without ends of too few."""
    known = values.dropna().to_numpy(float)
    found = mean_interval(known)
    return found if len(known) >= FEWEST_WORLDS else Interval(found.estimate, np.nan, np.nan)


def across_worlds_table(
    correlations: pd.DataFrame, online_metric: str = "clicks_per_slate", random: str = "random"
) -> pd.DataFrame:
    """A row for each logging policy, deployment and offline number, best first, with the columns `COLUMNS`.

    `agreement` is the mean over worlds of Spearman's correlation with the online metric over all agents, `low` and
    `high` the ends of its 95% interval over worlds (NaN of fewer than three); `least` is the lowest, of `least_world`;
    `top1_regret` the mean of what deploying the offline winner loses; `num_above_chance` counts worlds whose own
    interval lies above zero. `less_than_random` is how much less the number agrees than from logs of the policy
    `random` in the same worlds, with the paired interval; NaN in these logs' own rows. Worlds where a number is
    undefined are left out of its row (`num_worlds`).
    """
    some = correlations[(correlations["online_metric"] == online_metric) & (correlations["agents"] == "all")]
    some = some.dropna(subset="spearman")

    def by_world(values: pd.Series) -> pd.DataFrame:
        index = ["logging_policy", "deployment", *NUMBER]
        return some.assign(values=values).pivot(index=index, columns="world", values="values")

    agreement, regret = by_world(some["spearman"]), by_world(some["top1_regret"]).mean(axis=1)
    num_above_chance = by_world((some["spearman_low"] > 0).astype(float)).sum(axis=1).astype(int)
    others = agreement.index.get_level_values("logging_policy") != random
    by_chance = agreement[~others].droplevel("logging_policy")
    by_chance = by_chance.reindex(agreement.index.droplevel("logging_policy")).set_axis(agreement.index)
    less = (by_chance - agreement)[others].reindex(agreement.index)
    rows = []
    for key, values in agreement.iterrows():
        known, found, lost = values.dropna(), over_worlds(values), over_worlds(less.loc[key])
        rows.append(
            (
                *(*key, online_metric, found.estimate, found.low, found.high),
                *(known.min(), known.idxmin(), regret[key], len(known), num_above_chance[key]),
                *(lost.estimate, lost.low, lost.high),
            )
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = ["logging_policy", "deployment", "agreement", *NUMBER]
    return table.sort_values(order, ascending=[True, True, False, True, True], ignore_index=True)
