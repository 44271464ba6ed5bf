"""What a practitioner should do: an offline number is chosen on half of the worlds and followed on the other half.

The number that looks best in a table has been chosen for it. Here it is judged where it was not chosen: for every way
to halve the worlds, the number of least loss in one half is followed in the other.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from recsim_lab.evaluation.agreement import chosen_agents

A = np.ndarray

COLUMNS = (
    *("logging_policy", "deployment", "online_metric", "number", "chosen_in", "num_halvings"),
    *("loss_where_chosen", "loss_where_followed", "least_possible", "loss_of_any_number"),
)
WHICHEVER = "whichever was chosen"
"""The row of a logging policy and deployment that is of all halvings."""
AGENT_ELSEWHERE, SECOND_RUN = "no number: the agent best elsewhere", "no number: a second run online"
"""The rows of choices that need no offline number."""


def decisions_table(correlations: pd.DataFrame, online_metric: str = "clicks_per_slate") -> pd.DataFrame:
    """For each logging policy and deployment, what following the chosen number costs (`WHICHEVER`), then the numbers
    that were chosen in some half of the worlds, most often chosen first, with the columns `COLUMNS`.

    Losses are top-1 regrets: the share of the online metric that is lost by deploying the offline winner, averaged over
    the worlds of a half and the halvings in which the number was chosen. `least_possible` is the loss of the best
    number in the half where it is followed, had one known it; `loss_of_any_number` that of choosing one blindly, in
    expectation. Only numbers that every world has take part, and that tell of as many agents there as any number does:
    a loss is against the best agent that a number tells of. Empty with fewer than two worlds.
    """
    some = correlations[correlations["online_metric"] == online_metric]
    arm = ["logging_policy", "deployment", "world"]
    some = some[some["num_agents"] == some.groupby(arm)["num_agents"].transform("max")]
    rows = []
    for (logging, deployment), group in some.groupby(["logging_policy", "deployment"]):
        number = group["protocol"] + "/" + group["offline_metric"]
        loss = group.assign(number=number).pivot_table("top1_regret", "number", "world", dropna=False)
        for name, num_chosen, num_halvings, losses in _followed(loss.dropna()):
            rows.append((logging, deployment, online_metric, name, num_chosen, num_halvings, *losses))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def yardsticks_table(scores: pd.DataFrame, online_metric: str = "clicks_per_slate") -> pd.DataFrame:
    """What is lost without any offline number, with the columns `COLUMNS`, to hold numbers against.

    `AGENT_ELSEWHERE` deploys the agent that lost least in the other half of the worlds (`loss_of_any_number`: an agent
    taken blindly), `SECOND_RUN` the one that earned most when all of them served once more under other luck, as a test
    online would tell. Neither deploys Random or the oracle.
    """
    competing = chosen_agents(scores, "without random")
    earned, again = f"online/{online_metric}", f"replicate/{online_metric}"
    rows = []
    for (logging, deployment), group in competing.groupby(["logging_policy", "deployment"]):
        run = ["world", "seed"]
        loss = 1 - group.pivot(index=run, columns="agent", values=earned).T / group.groupby(run)[earned].max()
        found = [(AGENT_ELSEWHERE, *one[1:]) for one in _followed(loss.T.groupby("world").mean().T.dropna())[:1]]
        if again in group and group[again].notna().all():
            second = group.pivot(index=run, columns="agent", values=again).idxmax(axis=1)
            lost = pd.Series({key: loss.loc[agent, key] for key, agent in second.items()}).rename_axis(run)
            found += [(SECOND_RUN, *one[1:]) for one in _followed(lost.groupby("world").mean().to_frame().T)[:1]]
        for name, num_chosen, num_halvings, losses in found:
            rows.append((logging, deployment, online_metric, name, num_chosen, num_halvings, *losses))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _followed(loss: pd.DataFrame) -> list[tuple[str, int, int, Float[A, " 4"]]]:
    """What following a choice costs of losses of candidates (rows) in worlds (columns): (name, halvings in which it was
    chosen, all halvings, mean losses), `WHICHEVER` first. Empty with fewer than two worlds."""
    worlds = list(loss.columns)
    if len(worlds) < 2 or loss.empty:
        return []
    chosen: dict[str, list[tuple[float, float, float, float]]] = {}
    for half in combinations(worlds, len(worlds) // 2):
        rest = [world for world in worlds if world not in half]
        here, there = loss[list(half)].mean(axis=1), loss[rest].mean(axis=1)
        # Of equal ones the first by name, so that no order of the table decides.
        best = here.index[np.argmin(here.to_numpy())]
        chosen.setdefault(str(best), []).append((here[best], there[best], there.min(), there.mean()))
    num_halvings = sum(map(len, chosen.values()))
    of_all = np.mean([losses for own in chosen.values() for losses in own], axis=0)
    by_times = sorted(chosen.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    of_each = [(name, len(losses), num_halvings, np.mean(losses, axis=0)) for name, losses in by_times]
    return [(WHICHEVER, num_halvings, num_halvings, of_all), *of_each]
