"""The tables behind a report of offline against online: who earned what, and which numbers predicted it."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from recsim_lab.evaluation.plan import ORACLE
from recsim_lab.evaluation.statistics import mean_interval, paired_interval
from recsim_lab.evaluation.units import safe_name

MAIN_METRIC = "clicks_per_slate"
"""The online metric that the report is about."""
MAIN_NUMBER = ("temporal-full", "ndcg@10")
"""Protocol and metric of the offline number that is quoted most."""
BASELINE = "popularity"
"""The agent that all others are compared with, where it took part."""
HEATMAP_METRICS = ("hr", "ndcg", "mrr", "auc")


@dataclass(frozen=True)
class Arm:
    """What is held fixed while agents are compared."""

    world: str
    logging_policy: str
    deployment: str

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that belong here, with all agents where it has several sets of them."""
        rows = (table["world"] == self.world) & (table["logging_policy"] == self.logging_policy)
        if "deployment" in table:
            rows &= table["deployment"] == self.deployment
        if "agents" in table:
            rows &= table["agents"] == "all"
        return table[rows]

    @property
    def words(self) -> str:
        return f"{self.world}, log of {self.logging_policy}, {self.deployment}"

    @property
    def file_name(self) -> str:
        return safe_name(f"{self.world}-{self.logging_policy}-{self.deployment}")


def main_deployment(table: pd.DataFrame) -> str:
    """That of models that learned from the whole log, where there are such; else of the weights that were scored."""
    return "refit" if "refit" in set(table["deployment"]) else "frozen"


def main_arms(scores: pd.DataFrame) -> list[Arm]:
    """An arm for each world and logging policy, in order of appearance, of the `main_deployment`."""
    deployment = main_deployment(scores)
    pairs = dict.fromkeys(zip(scores["world"], scores["logging_policy"], strict=True))
    return [Arm(world, logging, deployment) for world, logging in pairs]


def with_references(scores: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    """The arm's rows, and those of references, which learn nothing and are deployed once."""
    references = replace(arm, deployment="frozen").of(scores[scores["family"] == ORACLE])
    rows = pd.concat([arm.of(scores[scores["family"] != ORACLE]), references], ignore_index=True)
    return rows.assign(deployment=arm.deployment)


def ladder_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Each agent's engagement with its 95% interval over seeds, and by how much it beats popularity on the same users
    with the same luck (paired over seeds); best first."""
    by_seed = scores.pivot(index="agent", columns="seed", values=f"online/{MAIN_METRIC}")
    rows = []
    for agent, group in scores.groupby("agent"):
        interval = mean_interval(group[f"online/{MAIN_METRIC}"].to_numpy(float))
        others = {name: group[f"online/{name}"].mean() for name in ("satisfaction", "regret")}
        rows.append(
            {"agent": agent, MAIN_METRIC: interval.estimate, "low": interval.low, "high": interval.high}
            | _lead(by_seed, str(agent))
            | others
        )
    return pd.DataFrame(rows).sort_values(MAIN_METRIC, ascending=False, ignore_index=True)


def _lead(by_seed: pd.DataFrame, agent: str) -> dict[str, float]:
    if BASELINE not in by_seed.index or agent == BASELINE:
        return dict.fromkeys(("above popularity", "above_low", "above_high"), float("nan"))
    lead = paired_interval(by_seed.loc[agent].to_numpy(float), by_seed.loc[BASELINE].to_numpy(float))
    return {"above popularity": lead.estimate, "above_low": lead.low, "above_high": lead.high}


def predictors_of(correlations: pd.DataFrame) -> pd.DataFrame:
    """How well each offline number predicted clicks per slate, best first; equal ones as the figure orders them."""
    some = correlations[correlations["online_metric"] == MAIN_METRIC]
    columns = ["protocol", "offline_metric", "spearman", "spearman_low", "spearman_high"]
    columns += ["kendall", "pairwise_accuracy", "top1_regret", "ceiling"]
    some = some.sort_values(["protocol", "offline_metric"]).dropna(subset="spearman")
    return some.sort_values("spearman", ascending=False, kind="stable", ignore_index=True)[columns]


def without_repeats(correlations: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """One metric of each kind at every cut-off; without the reward where it is the clicks."""
    kinds = correlations["offline_metric"].str.partition("@")[0]
    some = correlations[kinds.isin(HEATMAP_METRICS)]
    reward, clicks = (scores[f"online/{name}"].to_numpy(float) for name in ("reward_per_slate", MAIN_METRIC))
    return some[some["online_metric"] != "reward_per_slate"] if np.allclose(reward, clicks, equal_nan=True) else some


def usual_metrics(correlations: pd.DataFrame) -> pd.DataFrame:
    """The metrics that people usually quote, under every protocol; most slates have one click, so recall and
    precision tell the same as the hit rate."""
    return correlations[correlations["offline_metric"].isin(("hr@10", "ndcg@10", "mrr@10", "auc"))]
