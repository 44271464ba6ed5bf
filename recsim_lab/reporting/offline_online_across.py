"""What a study of offline against online says first: how well numbers agree over all its worlds, by log."""

import numpy as np
import pandas as pd

from recsim_lab.evaluation.decisions import AGENT_ELSEWHERE, WHICHEVER
from recsim_lab.evaluation.resampled_agreement import MIN_AGENTS
from recsim_lab.reporting.blocks import Details, Section, Table
from recsim_lab.reporting.figures import worlds_heatmap
from recsim_lab.reporting.figures.base import counted, signed
from recsim_lab.reporting.names import column_name
from recsim_lab.reporting.offline_online_tables import MAIN_METRIC, MAIN_NUMBER, main_deployment, usual_metrics
from recsim_lab.reporting.words import Estimate, interval_words

SHOWN_METRICS = ("ndcg@10", "auc")
SHOWN_PROTOCOLS = (
    *("temporal-full", "temporal-full-no-rules", "temporal-sampled100", "temporal-retrieved100", "temporal-slate"),
    *("temporal-full-examined", "temporal-full-unselected", "rolling-full", "randomised-full", "balanced-full"),
    *("last-out-full", "last-out-sampled100-no-rules", "random-full", "random-sampled100-no-rules"),
)
"""What the heat map has room for."""


def across_answers(across: pd.DataFrame, decisions: pd.DataFrame) -> list[str]:
    """A paragraph for each logging policy: all numbers, the one quoted most, the highest, and what following costs."""
    across = across[across["deployment"] == main_deployment(across)]
    decisions = decisions[decisions["deployment"] == main_deployment(across)]
    return [
        _answer(str(logging), group, decisions[decisions["logging_policy"] == logging])
        for logging, group in across.groupby("logging_policy", sort=False)
    ]


def _answer(logging: str, numbers: pd.DataFrame, decisions: pd.DataFrame) -> str:
    usual = usual_metrics(numbers)
    if usual.empty:
        return f"Log of {logging}: no offline number could be compared, which takes {MIN_AGENTS} agents at least."
    num_worlds = int(usual["num_worlds"].max())
    said = [
        f"Log of {logging}, mean of {counted(num_worlds, 'world')}: the {len(usual)} usual numbers (hit rate, NDCG, "
        "MRR and AUC under every protocol) agree with clicks per slate by Spearman "
        f"{signed(usual['agreement'].mean())} on average."
    ]
    if len(quoted := usual[(usual["protocol"] == MAIN_NUMBER[0]) & (usual["offline_metric"] == MAIN_NUMBER[1])]):
        row = quoted.iloc[0]
        words = f"{_name(row)}, quoted most, agrees by {_mean(row)}"
        if not np.isnan(row["less_than_random"]):
            words += f", {_less(row)} from random slates in the same worlds"
        said.append(f"{words}; least in {row['least_world']} ({signed(row['least'])}).")
    best = usual[usual["num_worlds"] == num_worlds].iloc[0]
    said.append(f"Highest of all, picked after the fact, is {_name(best)}: {_mean(best)}.")
    losses = decisions.set_index("number")["loss_where_followed"]
    blindly = decisions.set_index("number")["loss_of_any_number"]
    if WHICHEVER in losses:
        words = (
            f"Following the number that lost least in half of the worlds lost {losses[WHICHEVER]:.1%} of the best "
            f"agent's clicks in the other half, a number taken blindly {blindly[WHICHEVER]:.1%}"
        )
        if AGENT_ELSEWHERE in losses:
            words += f", and, with no number at all, the agent that lost least elsewhere {losses[AGENT_ELSEWHERE]:.1%}"
        said.append(f"{words}.")
    return " ".join(said)


def across_section(correlations: pd.DataFrame, across: pd.DataFrame) -> Section:
    """Every usual number over the worlds."""
    here = correlations[
        (correlations["deployment"] == main_deployment(correlations))
        & (correlations["agents"] == "all")
        & (correlations["online_metric"] == MAIN_METRIC)
    ]
    shown = here[here["protocol"].isin(SHOWN_PROTOCOLS) & here["offline_metric"].isin(SHOWN_METRICS)]
    usual = usual_metrics(across[across["deployment"] == main_deployment(across)])
    return Section(
        "Over all worlds",
        "In one world a number may agree by the luck of that world. Whether it can be followed elsewhere is told by "
        "other worlds alone, so here worlds are what is counted: means of their Spearman correlations with clicks per "
        "slate, intervals over worlds (Student's t, each taken alone). Logs that a model filled show what it liked; "
        "how much less a number agrees on them than on logs of random slates, with the same agents in the same worlds, "
        "stands in the table's last column.",
        (
            *((worlds_heatmap(shown),) if len(shown) else ()),
            Details(f"All {len(usual)} usual numbers, by log", (_table(usual),)),
        ),
    )


def _table(usual: pd.DataFrame) -> Table:
    def estimates(value: str, low: str, high: str, form: str) -> list[Estimate]:
        return [Estimate(*row, form) for row in zip(usual[value], usual[low], usual[high], strict=True)]

    frame = pd.DataFrame(
        {
            "log of": usual["logging_policy"],
            "offline number": [_name(row) for _, row in usual.iterrows()],
            "mean Spearman": estimates("agreement", "low", "high", ".2f"),
            "least": usual["least"],
            "in": usual["least_world"],
            "above chance in": [f"{row.num_above_chance} of {row.num_worlds}" for row in usual.itertuples()],
            "top-1 regret": usual["top1_regret"],
            "less than from random slates": estimates("less_than_random", "less_low", "less_high", "+.2f"),
        }
    )
    caption = (
        "The usual numbers by their mean over worlds. Above chance: in how many worlds the interval over agents and "
        "seeds lies above zero. Top-1 regret: the share of clicks per slate that deploying the offline winner loses."
    )
    return Table(frame, caption, {"least": ".2f", "top-1 regret": ".1%"})


def _name(row: pd.Series) -> str:
    return column_name(f"offline/{row['protocol']}/{row['offline_metric']}")


def _mean(row: pd.Series) -> str:
    if np.isnan(row["low"]):
        return f"{signed(row['agreement'])} (too few worlds for an interval)"
    return f"{signed(row['agreement'])} (95% interval over worlds {interval_words(row['low'], row['high'])})"


def _less(row: pd.Series) -> str:
    less, ends = row["less_than_random"], (row["less_low"], row["less_high"])
    word, ends = ("less", ends) if less >= 0 else ("more", (-ends[1], -ends[0]))
    return f"{abs(less):.2f} {word}" + ("" if np.isnan(ends[0]) else f" ({interval_words(*ends)})") + " than"
