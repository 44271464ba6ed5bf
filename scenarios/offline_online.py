"""Which offline number, computed how, tells which model users will like best once it runs?

A world calibrated from real ratings (or any preset) serves random slates for some weeks; agents learn from the log,
are scored offline under several protocols, and then each serves the same users with the same luck. The report says
how well every offline number predicted every online one.

    python -m scenarios.offline_online              the bundled MovieLens sample, 3 seeds: about 2 minutes on 2 cores
    python -m scenarios.offline_online standard     `everyday` and `movielens`, 20 agents, 10 seeds: some hours

Expect: factor models and neighbours with enough data above popularity, the oracle far above all, and offline numbers
that agree with the online ones to very different degrees. Results lie in `runs/offline_online/<name>/`: `scores.csv`,
`correlations.csv`, `daily.csv` and `report.html`. A killed run goes on where it stopped.
"""

import os
from dataclasses import dataclass

import pandas as pd

from recsim_lab.evaluation.agreement import agreement_table
from recsim_lab.evaluation.study import Plan, check_plan, run_study
from recsim_lab.reporting.offline_online import answer_of, interval_words, write_offline_online_report
from recsim_lab.reporting.offline_online_tables import (
    MAIN_METRIC,
    arm_of,
    arms_of,
    ladder_of,
    predictors_of,
    usual_metrics,
)
from scenarios.command_line import console, counting, parse, plain_errors, run_folder, show_table
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
    with plain_errors():
        plan = Plan(
            worlds=config.worlds,
            agents=config.agents,
            seeds=tuple(range(config.seeds)),
            logging_policies=(config.logging_policy,),
            log_days=config.log_days,
            test_days=config.test_days,
            online_days=config.online_days,
            retrain_every=config.retrain_every,
            max_requests=config.max_requests,
        )
        check_plan(plan, FACTORIES)
        run = run_folder("offline_online", config.name)
        provenance = run.begin(config)
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
    report = write_offline_online_report(run.path, scores, daily, correlations, provenance)
    _print(scores, correlations)
    console.print(f"tables: {path.parent}\nreport: [bold]{report}[/bold]")


def _print(scores: pd.DataFrame, correlations: pd.DataFrame) -> None:
    for world, deployment in arms_of(scores):
        ladder = ladder_of(arm_of(scores, world, deployment))
        show_table(
            f"{world}, {deployment}: clicks per slate online",
            ("agent", "mean", "95% interval", "above popularity", "regret"),
            [
                (
                    row["agent"],
                    f"{row[MAIN_METRIC]:.3f}",
                    interval_words(row["low"], row["high"], ".3f"),
                    "" if pd.isna(row["above popularity"]) else f"{row['above popularity']:+.3f}",
                    f"{row['regret']:.3f}",
                )
                for row in ladder.to_dict("records")
            ],
        )
        predictors = predictors_of(usual_metrics(arm_of(correlations, world, deployment)))
        ends = predictors if len(predictors) <= 8 else pd.concat([predictors.head(5), predictors.tail(3)])
        show_table(
            f"{world}, {deployment}: best and worst of {len(predictors)} offline numbers, for clicks per slate",
            ("offline number", "Spearman", "95% interval", "pairs right", "top-1 regret"),
            [
                (
                    f"{row.protocol} {row.offline_metric}",
                    f"{row.spearman:.2f}",
                    interval_words(row.spearman_low, row.spearman_high),
                    f"{row.pairwise_accuracy:.0%}",
                    f"{row.top1_regret:.1%}",
                )
                for row in ends.itertuples()
            ],
        )
        console.print(answer_of(f"{world}, {deployment}", predictors) + "\n")


if __name__ == "__main__":
    main()
