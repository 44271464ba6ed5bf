"""Against how many candidates must items be ranked for an offline order of agents to be the true one?

Few candidates lie: three recommenders of a toy are ordered one way over 10,000 items and the other way over 99 sampled
ones (Krichene & Rendle, KDD 2020). All candidates lie too, where what users rated was not missing at random: on ratings
that users chose to give, the order of recommenders was nearest to that on random ratings with some 50 to 100 items
beside the rated ones (Cañamares & Castells, RecSys 2020). The toy is exact. The other side is shown in worlds of the
lab whose users meet items by chance, or because some are met everywhere: agents are ordered by held-out clicks among
the user's held-out items and so many sampled ones, and by how likely users truly are to click.

    python -m scenarios.replications.candidate_set_size              6 worlds of either kind: 3 minutes on 2 cores
    python -m scenarios.replications.candidate_set_size standard     20 worlds: 6 minutes

Expect: the toy to three decimals, and not the other side. Where some items are met everywhere, agreement falls from
.70 among the held-out items alone to .23 with 50 more and .30 with all (NDCG@10): in these worlds what is met depends
on the item alone, so that held-out items, disliked ones included, are nearly a fair test, and each item added is
another that nobody met. Where items are met alike, agreement rises to .87 with 50 more and is .77 with all. Results lie
in `runs/replications.candidate_set_size/<name>/`: `findings.csv`, `agents.csv` (every metric of every agent),
`agreement.csv` (each world's Kendall's tau by number of candidates) and `agreement_by_candidates.csv` (its mean over
worlds, with an interval).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy import stats

from agents.registry import make_agent
from recsim_lab.evaluation.protocols import Sampled
from recsim_lab.evaluation.protocols.candidates import Choice
from recsim_lab.evaluation.ranking import ranking_metrics
from recsim_lab.evaluation.statistics import Interval, mean_interval, paired_interval
from recsim_lab.policy import Scorer
from scenarios.command_line import counting, parse, plain_errors, run_folder, show_table
from scenarios.replications.discovery import Discovered, discover
from scenarios.replications.findings import Finding, above, measured_words, reported, tell
from scenarios.replications.ranking_toy import toy_findings

A = np.ndarray

SIZES = (0, 5, 10, 20, 50, 100, 200, 500)
"""Sampled items beside the held-out ones, before all of them."""
FULL = "full"
METRICS = ("ndcg@10", "precision@10", "recall@10")
MET = {"skewed": "some items met everywhere", "alike": "items met alike"}
PUBLISHED_TAU = {
    ("ndcg@10", "0"): 0.643,
    ("ndcg@10", "50"): 0.929,
    ("ndcg@10", FULL): 0.714,
    ("precision@10", "0"): 0.643,
    ("precision@10", "100"): 0.929,
    ("precision@10", FULL): 0.714,
    ("recall@10", "0"): 0.643,
    ("recall@10", "100"): 0.929,
    ("recall@10", FULL): 0.786,
}
"""On Yahoo R3, whose test ratings of random items told the true order of 8 recommenders."""


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/replications.candidate_set_size/."""
    world: str = "static:num_users=500,num_items=1000,new_items_a_day=0,features=0,position=0"
    """A preset; it must be without dynamics."""
    agents: tuple[str, ...] = (
        "random",
        "popularity",
        "popularity:by=rate,prior_impressions=5",
        "item-knn",
        "item-knn:num_neighbours=10,shrinkage=0",
        "ease:regularization=30",
        "ease",
        "ials:dim=16,epochs=6",
        "mf:dim=8,epochs=6",
        "mf:dim=8,epochs=6,target=impressions",
    )
    """The agents that are ordered."""
    skew: float = 1.5
    """Where some items are met everywhere: the standard deviation of the log of how often each is met."""
    days: int = 5
    """Days on which users meet items."""
    test_share: float = 0.2
    """Share of what happened that is held out."""
    seeds: int = 6
    """Worlds of either kind."""

    def __post_init__(self) -> None:
        for name in ("days", "seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if len(self.agents) < 3:
            raise ValueError(f"agents must be at least 3 to be ordered, got {len(self.agents)}")
        if not self.skew > 0:
            raise ValueError(f"skew must be above 0, got {self.skew}")
        if not 0 < self.test_share < 1:
            raise ValueError(f"test_share must be in (0, 1), got {self.test_share}")


PROFILES = {"demo": Config(), "standard": Config(name="standard", seeds=20)}


def agent_metrics(found: Discovered, agents: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Each agent's metrics among so many candidates, and the true ones: gains are chances, all unmet items compete.

    Recall of chances is the share of the user's expected clicks that the first ten would get.
    """
    requests, num_items = found.requests, found.chance.shape[1]
    rng = np.random.default_rng([seed, 29])
    uniform = rng.random(found.chance.shape, np.float32)
    wide = [(str(size), _candidates(found, size, uniform)) for size in SIZES if size < num_items]
    wide.append((FULL, ~found.met))
    rows: list[dict[str, Any]] = []
    for spec in agents:
        agent = make_agent(spec, seed)
        agent.learn(found.train)
        scores = agent.scores(requests) if isinstance(agent, Scorer) else rng.random(found.chance.shape)
        values = {
            f"{metric}/{size}": float(np.nanmean(rated[metric]))
            for size, valid in wide
            for rated in (ranking_metrics(scores, found.clicked, (10,), valid),)
            for metric in METRICS
        }
        rows.append({"seed": seed, "agent": spec, **values, **_true_metrics(scores, found)})
    return rows


def _candidates(found: Discovered, size: int, uniform: Float[A, "users items"]) -> Bool[A, "users items"]:
    """The held-out items and so many of those that the user has not met at all."""
    if size == 0:
        return found.tested
    nothing = np.zeros((len(uniform), 0), np.int32)
    choice = Choice(~found.met, nothing, uniform, np.zeros(uniform.shape[1], np.int64), nothing)
    return Sampled(size).of(choice, found.tested)


def _true_metrics(scores: Float[A, "users items"], found: Discovered) -> dict[str, float]:
    chance = np.where(found.met, 0.0, found.chance)
    first = np.argsort(-np.where(found.met, -np.inf, scores), axis=1, kind="stable")[:, :10]
    clicks = np.take_along_axis(chance, first, axis=1).sum(axis=1)
    ndcg = ranking_metrics(scores, chance, (10,), ~found.met)["ndcg@10"]
    values = {
        "ndcg@10": ndcg.mean(),
        "precision@10": clicks.mean() / 10,
        "recall@10": (clicks / chance.sum(axis=1)).mean(),
    }
    return {f"{metric}/true": float(value) for metric, value in values.items()}


def agreement(agents: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau between each world's orders by a metric among so many candidates and by the true metric."""
    rows = []
    for (discovery, seed), own in agents.groupby(["discovery", "seed"], sort=False):
        for name in [column for column in own if "/" in column and not column.endswith("/true")]:
            metric, size = name.split("/")
            tau = float(stats.kendalltau(own[name], own[f"{metric}/true"]).statistic)
            rows.append({"discovery": discovery, "seed": seed, "metric": metric, "candidates": size, "tau": tau})
    return pd.DataFrame(rows)


def agreement_by_candidates(taus: pd.DataFrame) -> pd.DataFrame:
    """The mean tau over worlds, with its 95% interval, of each way items are met, metric and number of candidates.

    All three are NaN if a world has no tau, since the metric is the same for all its agents.
    """
    names = ["discovery", "metric", "candidates"]
    rows = []
    for key, own in taus.groupby(names, sort=False):
        told = mean_interval(own["tau"].to_numpy(np.float64))
        rows.append((*key, told.estimate, told.low, told.high))
    return pd.DataFrame(rows, columns=[*names, "mean", "low", "high"])


def show_agreement(table: pd.DataFrame, num_worlds: int) -> None:
    """Print what `agreement_by_candidates` tells: a table for each way items are met."""
    header = ("candidates", *(f"{metric}\n(95% interval)" for metric in METRICS))
    for discovery, mine in table.groupby("discovery", sort=False):
        rows = []
        for size, own in mine.groupby("candidates", sort=False):
            told = own.set_index("metric").loc[list(METRICS), ["mean", "low", "high"]].to_numpy(np.float64)
            rows.append((str(size), *(measured_words(Interval(*ends), ".3f") for ends in told.tolist())))
        show_table(f"Kendall's tau with the true order, {MET[str(discovery)]}, {num_worlds} worlds", header, rows)


def agreement_findings(taus: pd.DataFrame) -> list[Finding]:
    """Where some items are met everywhere, tau is higher in between than at either end; else nowhere above the full.

    In between is where the paper found the maximum: 50 candidates for NDCG, 100 for precision and recall.
    """

    def of(discovery: str, metric: str, size: str) -> Float[A, " seeds"]:
        mine = (taus["discovery"] == discovery) & (taus["metric"] == metric) & (taus["candidates"] == size)
        return taus[mine].sort_values("seed")["tau"].to_numpy(np.float64)

    findings = []
    for metric in METRICS:
        inner = "50" if metric == "ndcg@10" else "100"
        published = {size: PUBLISHED_TAU[metric, size] for size in ("0", inner, FULL)}
        for size, value in published.items():
            findings.append(
                reported(
                    f"met everywhere, {metric}: tau among {size}", mean_interval(of("skewed", metric, size)), value
                )
            )
        for end in (FULL, "0"):
            lead: Interval = paired_interval(of("skewed", metric, inner), of("skewed", metric, end))
            name = f"met everywhere, {metric}: tau among {inner} less among {end}"
            findings.append(above(name, lead, published[inner] - published[end]))
        lead = paired_interval(of("alike", metric, FULL), of("alike", metric, inner))
        findings.append(above(f"met alike, {metric}: tau among full less among {inner}", lead))
    return findings


def main() -> None:
    config = parse(
        PROFILES, "Against how many candidates must items be ranked for an offline order to be the true one?"
    )
    with plain_errors():
        run = run_folder("replications.candidate_set_size", config.name)
        run.begin(config)
    rows: list[dict[str, Any]] = []
    with counting("Worlds") as count:
        for seed in range(config.seeds):
            for place, (discovery, skew) in enumerate((("skewed", config.skew), ("alike", 0.0))):
                with plain_errors():
                    found = discover(config.world, seed, skew, config.days, config.test_share)
                    rows += [{"discovery": discovery, **row} for row in agent_metrics(found, config.agents, seed)]
                count(f"seed {seed} {discovery}", 2 * seed + place + 1, 2 * config.seeds)
    agents = pd.DataFrame(rows)
    taus = agreement(agents)
    run.write_table("agents", agents)
    run.write_table("agreement", taus)
    table = agreement_by_candidates(taus)
    run.write_table("agreement_by_candidates", table)
    show_agreement(table, config.seeds)
    tell(run, "Candidate-set size", toy_findings() + agreement_findings(taus), ".4f")


if __name__ == "__main__":
    main()
