"""Which offline number, computed how, tells which model users will like best once it runs?

A world calibrated from real ratings (or any preset) serves random slates for some weeks; agents learn from the log,
are scored offline under several protocols, and then each serves the same users with the same luck. The report says
how well every offline number predicted every online one.

    python -m scenarios.offline_online              the bundled MovieLens sample, 3 seeds: about 3 minutes on 2 cores
    python -m scenarios.offline_online standard     `everyday` and `movielens`, 20 agents, 10 seeds: some hours

Expect: factor models and neighbours with enough data above popularity, the oracle far above all, and offline numbers
that agree with the online ones to very different degrees. Results lie in `runs/offline_online/<name>/`: `scores.csv`,
`correlations.csv`, `daily.csv` and `report.html`. A killed run goes on where it stopped.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from recsim_lab.evaluation.agreement import MULTIPLE_COMPARISONS_NOTE, agreement_table
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.statistics import mean_interval, paired_interval, separated_pairs
from recsim_lab.evaluation.study import Plan, run_study
from recsim_lab.reporting import (
    KeyNumber,
    KeyNumbers,
    Provenance,
    Section,
    Table,
    agreement_heatmap,
    agreement_ranking,
    engagement_over_days,
    offline_online_scatter,
    write_figure,
    write_report,
)
from scenarios.command_line import console, counting, parse, show_table
from scenarios.factories import FACTORIES

DEMO_AGENTS = (
    "random",
    "popularity",
    "popularity:by=rate",
    "recent-popularity",
    "item-knn:num_neighbours=10",
    "item-knn",
    "ease:regularization=20",
    "ease",
    "mf:dim=8",
    "mf",
    "mf:target=impressions",
    "mf:dim=64,target=impressions",
)


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/offline_online/."""
    worlds: tuple[str, ...] = ("movielens",)
    """Presets: everyday, static, movielens, ..."""
    agents: tuple[str, ...] = DEMO_AGENTS
    """Agents with their variants, such as mf:dim=32,target=impressions."""
    seeds: int = 3
    """Number of seeds; each is a world, a log and a training of its own."""
    logging_policy: str = "random"
    """The agent that collects the log."""
    log_days: int = 60
    """Days of the log."""
    test_days: int = 8
    """Last days of the log that the temporal split tests on."""
    online_days: int = 8
    """Days that each agent then serves."""
    retrain_every: int = 0
    """Deploy each agent once more, learning every so many days; 0: only as it was scored."""
    max_requests: int = 1000
    """Most test requests of a protocol."""
    num_bootstrap: int = 1000
    """Resamples behind each interval of agreement."""
    num_workers: int = min(os.cpu_count() or 1, 8)
    """Processes."""


PROFILES = {
    "demo": Config(),
    "standard": Config(
        name="standard",
        worlds=("everyday", "movielens"),
        agents=(
            *DEMO_AGENTS,
            "popularity:window_days=3,by=rate",
            "item-knn:num_neighbours=200",
            "ease:regularization=1000",
            "mf:dim=16",
            "mf:dim=16,target=impressions",
            "mf:dim=64",
            "mf:epochs=3",
            "mf:epochs=3,target=impressions",
        ),
        seeds=10,
        retrain_every=2,
    ),
}


def main() -> None:
    config = parse(PROFILES, "Which offline metric predicts online engagement?")
    run = RunFolder(Path("runs") / "offline_online" / config.name)
    provenance = run.begin(config)
    plan = Plan(
        worlds=config.worlds,
        agents=config.agents,
        seeds=tuple(range(config.seeds)),
        logging_policy=config.logging_policy,
        log_days=config.log_days,
        test_days=config.test_days,
        online_days=config.online_days,
        retrain_every=config.retrain_every,
        max_requests=config.max_requests,
    )
    with counting("Logs, training, deployment") as count:
        scores, daily = run_study(
            plan,
            FACTORIES,
            run.path,
            config.num_workers,
            lambda unit, done, total: count(f"{unit.world} seed {unit.seed} {unit.agent or 'log'}", done, total),
        )
    correlations = agreement_table(scores, config.num_bootstrap)
    run.write_table("scores", scores)
    run.write_table("daily", daily)
    path = run.write_table("correlations", correlations)
    report = _report(run, scores, daily, correlations, provenance)
    _print(scores, correlations)
    console.print(f"tables: {path.parent}\nreport: [bold]{report}[/bold]")


MAIN_METRIC = "clicks_per_slate"
BASELINE = "popularity"
SHOWN_PROTOCOLS = (
    "offline/temporal-full/ndcg@10",
    "offline/temporal-sampled100/ndcg@10",
    "offline/last-out-full/ndcg@10",
    "offline/random-full/ndcg@10",
    "offline/temporal-full/hr@10",
    "offline/temporal-full/auc",
)


def _arms(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The worlds and deployments of a table, in its order."""
    return list(dict.fromkeys(zip(table["world"], table["deployment"], strict=True)))


def _arm(table: pd.DataFrame, world: str, deployment: str) -> pd.DataFrame:
    return table[(table["world"] == world) & (table["deployment"] == deployment)]


def _ladder(scores: pd.DataFrame) -> pd.DataFrame:
    """Each agent's engagement with its 95% interval over seeds, and by how much it beats popularity on the same users
    with the same luck (paired over seeds); best first."""
    by_seed = scores.pivot(index="agent", columns="seed", values=f"online/{MAIN_METRIC}")
    rows = []
    for (agent, family), group in scores.groupby(["agent", "family"]):
        interval = mean_interval(group[f"online/{MAIN_METRIC}"].to_numpy(float))
        others = {name: group[f"online/{name}"].mean() for name in ("clicks_per_session", "satisfaction", "regret")}
        rows.append(
            {"agent": agent, "family": family, MAIN_METRIC: interval.estimate}
            | {"low": interval.low, "high": interval.high}
            | _lead(by_seed, str(agent))
            | others
        )
    return pd.DataFrame(rows).sort_values(MAIN_METRIC, ascending=False, ignore_index=True)


def _lead(by_seed: pd.DataFrame, agent: str) -> dict[str, float]:
    if BASELINE not in by_seed.index or agent == BASELINE:
        return dict.fromkeys(("above popularity", "above_low", "above_high"), float("nan"))
    lead = paired_interval(by_seed.loc[agent].to_numpy(float), by_seed.loc[BASELINE].to_numpy(float))
    return {"above popularity": lead.estimate, "above_low": lead.low, "above_high": lead.high}


def _predictors(correlations: pd.DataFrame) -> pd.DataFrame:
    """How well each offline number predicted clicks per slate, best first."""
    some = correlations[correlations["online_metric"] == MAIN_METRIC]
    columns = ["protocol", "offline_metric", "spearman", "spearman_low", "spearman_high"]
    columns += ["kendall", "pairwise_accuracy", "top1_regret", "ceiling"]
    return some.sort_values("spearman", ascending=False, ignore_index=True)[columns]


def _usual(correlations: pd.DataFrame) -> pd.DataFrame:
    """The metrics that people usually quote, under every protocol; most slates have one click, so recall and
    precision tell the same as the hit rate."""
    return correlations[correlations["offline_metric"].isin(("hr@10", "ndcg@10", "mrr@10", "auc"))]


def _report(
    run: RunFolder, scores: pd.DataFrame, daily: pd.DataFrame, correlations: pd.DataFrame, provenance: dict
) -> Path:
    sections: list[Section] = []
    families = sorted(set(scores["family"]) - {"oracle"})
    for world, deployment in _arms(scores):
        some, agreement, days = (_arm(table, world, deployment) for table in (scores, correlations, daily))
        where = f"World {world}" if deployment == "frozen" else f"World {world}, {deployment}"
        ladder, predictors = _ladder(some), _predictors(agreement)
        best = predictors.iloc[0]
        competing = some[some["agent"] != "oracle"]
        by_seed = competing.pivot(index="agent", columns="seed", values=f"online/{MAIN_METRIC}").to_numpy(float)
        separated = separated_pairs(by_seed) if by_seed.shape[1] > 1 else float("nan")
        figures = {
            "scatter": offline_online_scatter(some, list(SHOWN_PROTOCOLS), f"online/{MAIN_METRIC}", families),
            "ranking": agreement_ranking(_usual(agreement), MAIN_METRIC),
            "heatmap": agreement_heatmap(agreement),
            "days": engagement_over_days(days, families=families),
        }
        for name, figure in figures.items():
            write_figure(run.path / "figures" / f"{world}-{deployment}-{name}.svg", figure)
        numbers = KeyNumbers(
            (
                KeyNumber(
                    f"{best['spearman']:.2f}",
                    "best Spearman correlation with clicks per slate",
                    f"{best['protocol']} {best['offline_metric']}, 95% interval "
                    f"{best['spearman_low']:.2f} to {best['spearman_high']:.2f}",
                ),
                KeyNumber(
                    f"{predictors['spearman'].median():.2f}",
                    "median over all offline numbers",
                    f"from {predictors['spearman'].min():.2f} to {predictors['spearman'].max():.2f}",
                ),
                KeyNumber(
                    f"{separated:.0%}",
                    "of agent pairs differ online",
                    f"at 95%, paired over {some['seed'].nunique()} seeds",
                ),
            )
        )
        sections += [
            Section(
                f"{where}: which offline number to trust",
                "Each dot is the Spearman correlation between an offline number and clicks per slate (the metrics that "
                "people usually quote, under every protocol; the rest is in `correlations.csv`), computed over "
                "agents within a seed and averaged over seeds; bars are 95% bootstrap intervals over agent families "
                "and seeds.\n\n" + MULTIPLE_COMPARISONS_NOTE,
                (numbers, figures["ranking"], figures["scatter"]),
            ),
            Section(
                f"{where}: what the agents earned",
                "All agents serve the same users with the same luck, under the same rules; the oracle knows each "
                "user's true utility and is a reference, not a competitor. `regret` is the oracle's expected clicks "
                "at the same requests minus the agent's.",
                (
                    figures["days"],
                    Table(
                        ladder,
                        "Agents by clicks per slate, with 95% intervals over seeds (Student's t); `above` compares "
                        "each with popularity on the same users with the same luck, paired over seeds.",
                    ),
                ),
            ),
            Section(
                f"{where}: every offline number against every online one",
                "Positive means that the better offline number went with the better online one, also where less is "
                "better (regret, churn, days until return).",
                (figures["heatmap"], Table(predictors.head(20), "The twenty numbers that predicted best.")),
            ),
        ]
    path = run.path / "report.html"
    write_report(
        path,
        "Which offline number predicts engagement?",
        f"Agents learned from a log collected by the policy {provenance['config']['logging_policy']}, were scored "
        "offline under several protocols, and then served the same simulated users. This report says how well each "
        "offline number predicted what they earned.",
        [*sections, _how_it_was_done()],
        Provenance(
            command=provenance["command"],
            seed=f"0 to {scores['seed'].max()}",
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            commit=provenance["commit"],
            config=provenance["config"],
            versions=provenance["versions"],
        ),
    )
    return path


def _how_it_was_done() -> Section:
    return Section(
        "How it was done",
        "Protocols are named split-candidates. Splits: `temporal` tests on the last days of the log, and the very "
        "weights that were scored are deployed; `last-out` tests on each user's last slate with a click and learns "
        "from what came before it and from all that other users did, `random` tests on a random fifth of the slates "
        "and learns from the rest, both with copies of the agent that are not deployed (they leak the future). "
        "Candidates: `full` is every item that production could have shown at that moment, `sampled100` a hundred of "
        "them drawn uniformly, beside the clicked ones.\n\n"
        "A test request is a logged slate with a click, rebuilt as of its moment and put to the agent under the rules "
        "of production; relevant is what was clicked. Ties count by expectation.\n\n"
        "`ceiling` is the Spearman correlation of one seed's online values with the mean of the other seeds: what a "
        "number could reach that knows how good each agent is in general.",
    )


def _print(scores: pd.DataFrame, correlations: pd.DataFrame) -> None:
    for world, deployment in _arms(scores):
        ladder = _ladder(_arm(scores, world, deployment))
        show_table(
            f"{world}, {deployment}: clicks per slate online",
            ("agent", "mean", "95% interval", "above popularity", "regret"),
            [
                (
                    row["agent"],
                    f"{row[MAIN_METRIC]:.3f}",
                    f"{row['low']:.3f} to {row['high']:.3f}",
                    f"{row['above popularity']:+.3f}",
                    f"{row['regret']:.3f}",
                )
                for row in ladder.to_dict("records")
            ],
        )
        show_table(
            f"{world}, {deployment}: offline numbers by Spearman correlation with clicks per slate",
            ("offline number", "Spearman", "95% interval", "pairs right", "top-1 regret"),
            [
                (
                    f"{row.protocol} {row.offline_metric}",
                    f"{row.spearman:.2f}",
                    f"{row.spearman_low:.2f} to {row.spearman_high:.2f}",
                    f"{row.pairwise_accuracy:.0%}",
                    f"{row.top1_regret:.1%}",
                )
                for row in _predictors(_usual(_arm(correlations, world, deployment))).itertuples()
            ],
        )


if __name__ == "__main__":
    main()
