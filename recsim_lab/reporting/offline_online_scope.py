"""What a study of offline against online covers: what it can't conclude, its protocols in words, its deployments."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from recsim_lab.evaluation.plan import ORACLE
from recsim_lab.evaluation.statistics import mean_interval
from recsim_lab.reporting.blocks import Section, Table
from recsim_lab.reporting.figures.base import counted
from recsim_lab.reporting.names import protocol_name
from recsim_lab.reporting.offline_online_tables import MAIN_METRIC, MAIN_NUMBER, main_deployment, usual_metrics
from recsim_lab.reporting.words import Estimate, listed


def limits_section(tables: Mapping[str, pd.DataFrame]) -> Section:
    """What the size of the study forbids to say."""
    scores, correlations = tables["scores"], tables["correlations"]
    agents = scores[scores["family"] != ORACLE]
    num_worlds, num_seeds = scores["world"].nunique(), scores["seed"].nunique()
    said = [
        f"It rests on {counted(num_worlds, 'world')}, logs of {counted(scores['logging_policy'].nunique(), 'kind')}, "
        f"{counted(num_seeds, 'seed')} and {counted(agents['agent'].nunique(), 'agent')} of "
        f"{counted(agents['family'].nunique(), 'kind')}."
    ]
    served = tables["daily"][tables["daily"]["family"] != ORACLE]
    arm = ["world", "logging_policy", "deployment", "agent", "seed"]
    slates = served.groupby(arm)["num_slates"].sum()
    by_world = slates.groupby("world").mean()
    said.append(
        f"Each agent served {counted(served['day'].nunique(), 'day')} of a seed, in the mean {slates.mean():,.0f} "
        f"slates ({by_world.min():,.0f} to {by_world.max():,.0f} by world)."
    )
    width = _usual_width(correlations)
    if np.isnan(width):
        said.append("It has too few agent families or seeds for intervals: no number can be told from another.")
    else:
        said.append(
            f"Half of the intervals of agreement are wider than {width:.2f}: a number's place among others is mostly "
            "luck, and the first of many flatters itself. Paired differences, as in `Advice, tested`, are known better."
        )
    if num_seeds < 3:
        said.append("With so few seeds, intervals over seeds rest on one or two differences.")
    if num_worlds == 1:
        said.append("With one world, no number could be judged where it was not chosen.")
    elif num_worlds < 4:
        said.append(
            f"Numbers are judged where they were not chosen by halving {num_worlds} worlds, so that each choice rests "
            "on one or two: that is an example, no recommendation."
        )
    if missing := [words for name, words in _PARTS.items() if tables[name].empty]:
        said.append(f"It does not tell {listed(missing)}; `standard` and `full` do.")
    said.append("All worlds are synthetic: what holds in them is a hypothesis about others.")
    return Section("What this study cannot tell", " ".join(said), ())


_PARTS = {
    "sensitivity": "what agreement depends on",
    "decay": "how it changes as a log feeds on itself",
    "decisions": "which number to follow where it was not chosen",
}


def _usual_width(correlations: pd.DataFrame) -> float:
    usual = usual_metrics(correlations)
    usual = usual[(usual["online_metric"] == MAIN_METRIC) & (usual["agents"] == "all")]
    usual = usual[usual["deployment"] == main_deployment(usual)] if len(usual) else usual
    return float((usual["spearman_high"] - usual["spearman_low"]).median())


def protocols_section(table: pd.DataFrame) -> Section:
    """Every protocol in words, and how many requests it was asked of."""
    of_protocol = table.groupby(["reads", "protocol", "words"], sort=False)["num_requests"]
    rows = of_protocol.agg(["mean", "min", "max"]).reset_index()
    frame = pd.DataFrame(
        {
            "protocol": [
                protocol_name(row.protocol) + ("" if row.reads == "offline" else " (truth)")
                for row in rows.itertuples()
            ],
            "requests a log": rows["mean"],
            "fewest": rows["min"],
            "most": rows["max"],
            "in words": rows["words"],
        }
    )
    caption = (
        "Requests in which the protocol finds something relevant, those of all its folds together. Where they are few, "
        "a number agrees less for that reason alone: of two protocols compare how many they had before anything else."
    )
    return Section(
        "The protocols in words",
        "Each protocol says which part of the log agents learn from and are tested on, what counts as relevant, which "
        "items compete, and whether production's rules bind them. Those of the truth read what no platform can.",
        (Table(frame, caption, {"requests a log": ",.0f", "fewest": ",d", "most": ",d"}),),
    )


def deployments_section(scores: pd.DataFrame, correlations: pd.DataFrame) -> Section:
    """What agents earn as they were scored, taught the whole log, and learning on."""
    protocol, metric = MAIN_NUMBER
    agreement = correlations[
        (correlations["protocol"] == protocol)
        & (correlations["offline_metric"] == metric)
        & (correlations["online_metric"] == MAIN_METRIC)
        & (correlations["agents"] == "all")
    ].set_index(["world", "logging_policy", "deployment"])
    rows = []
    agents = scores[scores["family"] != ORACLE]
    for (world, logging), group in agents.groupby(["world", "logging_policy"], sort=False):
        by_seed = group.groupby(["deployment", "seed"], sort=False)[f"online/{MAIN_METRIC}"].mean().unstack()
        for deployment, earned in by_seed.iterrows():
            more = mean_interval((earned - by_seed.loc["frozen"]).to_numpy(float))
            key = (world, logging, deployment)
            found = agreement.loc[key] if key in agreement.index else None
            rows.append(
                {
                    "world": world,
                    "log of": logging,
                    "deployment": deployment,
                    "clicks per slate": float(earned.mean()),
                    "more than frozen": Estimate(np.nan, np.nan, np.nan)
                    if deployment == "frozen"
                    else Estimate(more.estimate, more.low, more.high, "+.4f"),
                    "agreement": Estimate(np.nan, np.nan, np.nan)
                    if found is None
                    else Estimate(found["spearman"], found["spearman_low"], found["spearman_high"], ".2f"),
                    "ceiling": np.nan if found is None else found["ceiling"],
                }
            )
    caption = (
        "Clicks per slate are the mean of all agents, with the paired difference from the frozen ones over seeds; "
        "agreement is Spearman's correlation of NDCG@10 of the temporal split with them."
    )
    return Section(
        "With and without further learning",
        "`frozen` agents serve with the weights that the temporal split scored, `refit` ones learned from the whole "
        "log first, and `retrained` ones go on learning from what they show.",
        (Table(pd.DataFrame(rows), caption, {"clicks per slate": ".3f", "ceiling": ".2f"}),),
    )
