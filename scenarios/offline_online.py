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

import numpy as np
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
from recsim_lab.reporting.blocks import MISSING
from recsim_lab.reporting.names import column_name, metric_name
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


def _predictors(correlations: pd.DataFrame) -> pd.DataFrame:
    """How well each offline number predicted clicks per slate, best first; equal ones as the figure orders them."""
    some = correlations[correlations["online_metric"] == MAIN_METRIC]
    columns = ["protocol", "offline_metric", "spearman", "spearman_low", "spearman_high"]
    columns += ["kendall", "pairwise_accuracy", "top1_regret", "ceiling"]
    some = some.sort_values(["protocol", "offline_metric"]).dropna(subset="spearman")
    return some.sort_values("spearman", ascending=False, kind="stable", ignore_index=True)[columns]


def _interval_words(low: float, high: float, form: str = ".2f") -> str:
    """The ends in words that no line break parts."""
    words = f"{low:{form}} to {high:{form}}".replace("-", "\N{MINUS SIGN}").replace(" ", "\N{NO-BREAK SPACE}")
    return MISSING if np.isnan(low) else words


def _ladder_table(ladder: pd.DataFrame) -> Table:
    leads = zip(ladder["above_low"], ladder["above_high"], strict=True)
    frame = pd.DataFrame(
        {
            "agent": ladder["agent"],
            "clicks per slate": ladder[MAIN_METRIC],
            "95% interval": [_interval_words(*ends, ".3f") for ends in zip(ladder["low"], ladder["high"], strict=True)],
            f"above {BASELINE}": ladder["above popularity"],
            "95% interval, paired": [_interval_words(*ends, "+.3f") for ends in leads],
            "satisfaction": ladder["satisfaction"],
            "regret": ladder["regret"],
        }
    )
    return Table(
        frame,
        f"Agents by clicks per slate, with 95% intervals over seeds (Student's t). The lead over {BASELINE} is "
        "measured on the same users with the same luck, so its interval is usually narrower than a comparison of two "
        "intervals suggests: where it includes 0, the agent is not shown to differ.",
        {f"above {BASELINE}": "+.3f"},
    )


def _predictors_table(predictors: pd.DataFrame) -> Table:
    names = zip(predictors["protocol"], predictors["offline_metric"], strict=True)
    ends = zip(predictors["spearman_low"], predictors["spearman_high"], strict=True)
    frame = pd.DataFrame(
        {
            "offline number": [column_name(f"offline/{protocol}/{metric}") for protocol, metric in names],
            "Spearman": predictors["spearman"],
            "95% interval": [_interval_words(low, high) for low, high in ends],
            "Kendall": predictors["kendall"],
            "pairs right": predictors["pairwise_accuracy"],
            "top-1 regret": predictors["top1_regret"],
        }
    )
    return Table(
        frame,
        "What it costs to trust each number. Pairs right: of two agents, how often the better one offline was the "
        "better one online (guessing: 50%). Top-1 regret: the share of clicks per slate lost by deploying the winner "
        "offline instead of the best agent.",
        {"Spearman": ".2f", "Kendall": ".2f", "pairs right": ".0%", "top-1 regret": ".1%"},
    )


def _answer(where: str, predictors: pd.DataFrame) -> str:
    """What the study found, in two sentences that claim no more than the intervals allow."""
    if predictors.empty:
        return f"{where}: no offline number could be compared."
    best = predictors.iloc[0]
    sure = int((predictors["spearman_low"] > 0).sum())
    return (
        f"{where}: {column_name('offline/' + best['protocol'] + '/' + best['offline_metric'])} agreed best with "
        f"{metric_name(MAIN_METRIC)} (Spearman {best['spearman']:.2f}, 95% interval "
        f"{_interval_words(best['spearman_low'], best['spearman_high'])}); it put {best['pairwise_accuracy']:.0%} of "
        f"the pairs of agents in the right order, and deploying its winner lost {best['top1_regret']:.1%} of the best "
        f"agent's clicks. Of the {len(predictors)} usual numbers, {sure} agree by more than chance, each taken alone."
    )


HEATMAP_METRICS = ("hr", "ndcg", "mrr", "auc")


def _without_repeats(correlations: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """One metric of each kind at every cut-off; without the reward where it is the clicks."""
    kinds = correlations["offline_metric"].str.partition("@")[0]
    some = correlations[kinds.isin(HEATMAP_METRICS)]
    reward, clicks = (scores[f"online/{name}"].to_numpy(float) for name in ("reward_per_slate", MAIN_METRIC))
    return some[some["online_metric"] != "reward_per_slate"] if np.allclose(reward, clicks, equal_nan=True) else some


def _usual(correlations: pd.DataFrame) -> pd.DataFrame:
    """The metrics that people usually quote, under every protocol; most slates have one click, so recall and
    precision tell the same as the hit rate."""
    return correlations[correlations["offline_metric"].isin(("hr@10", "ndcg@10", "mrr@10", "auc"))]


def _report(
    run: RunFolder, scores: pd.DataFrame, daily: pd.DataFrame, correlations: pd.DataFrame, provenance: dict
) -> Path:
    sections: list[Section] = []
    answers: list[str] = []
    families = sorted(set(scores["family"]) - {"oracle"})
    for world, deployment in _arms(scores):
        some, agreement, days = (_arm(table, world, deployment) for table in (scores, correlations, daily))
        where = f"World {world}" if deployment == "frozen" else f"World {world}, {deployment}"
        predictors, usual = _predictors(agreement), _predictors(_usual(agreement))
        answers.append(_answer(where, usual))
        competing = some[some["agent"] != "oracle"]
        by_seed = competing.pivot(index="agent", columns="seed", values=f"online/{MAIN_METRIC}").to_numpy(float)
        separated = separated_pairs(by_seed) if by_seed.shape[1] > 1 else float("nan")
        figures = {
            "scatter": offline_online_scatter(some, list(SHOWN_PROTOCOLS), f"online/{MAIN_METRIC}", families),
            "ranking": agreement_ranking(_usual(agreement), MAIN_METRIC),
            "heatmap": agreement_heatmap(_without_repeats(agreement, some)),
            "days": engagement_over_days(days, families=families),
        }
        for name, figure in figures.items():
            write_figure(run.path / "figures" / f"{world}-{deployment}-{name}.svg", figure)
        numbers = KeyNumbers(
            (
                _best_number(usual),
                KeyNumber(
                    f"{predictors['spearman'].median():.2f}",
                    "median Spearman correlation",
                    f"all {len(predictors)} offline numbers, from {predictors['spearman'].min():.2f} to "
                    f"{predictors['spearman'].max():.2f}",
                ),
                KeyNumber(
                    MISSING if np.isnan(separated) else f"{separated:.0%}",
                    "of agent pairs differ online",
                    f"at 95%, paired over {some['seed'].nunique()} seeds; 5% would by chance alone",
                ),
            )
        )
        sections += [
            Section(
                f"{where}: which offline number to trust",
                "Each dot is the Spearman correlation between an offline number and clicks per slate (the metrics that "
                "people usually quote, under every protocol; the rest is in `correlations.csv`), computed over "
                "agents within a seed and averaged over seeds: 1 means that the log ranks the agents as the users do, "
                "0 that it says nothing. Bars are 95% bootstrap intervals over agent families and seeds.\n\n"
                + MULTIPLE_COMPARISONS_NOTE,
                (numbers, figures["ranking"], _predictors_table(usual), figures["scatter"]),
            ),
            Section(
                f"{where}: what the agents earned",
                "All agents serve the same users with the same luck, under the same rules; the oracle knows each "
                "user's true utility and is a reference, not a competitor. `regret` is the oracle's expected clicks "
                "at the agent's own requests minus the agent's. It may exceed the difference between their clicks per "
                "slate, because an item once shown or consumed may not come back: the oracle has less left to show at "
                "its own requests.",
                (
                    figures["days"],
                    _ladder_table(_ladder(some)),
                ),
            ),
            Section(
                f"{where}: other offline and online numbers",
                "Positive means that the better offline number went with the better online one, also where less is "
                "better (regret, churn, days until return). Left out are metrics that repeat others here (most slates "
                "have one click, so recall and precision follow the hit rate); all are in `correlations.csv`.",
                (figures["heatmap"],),
            ),
        ]
    path = run.path / "report.html"
    write_report(
        path,
        "Which offline number predicts engagement?",
        f"Agents learned from a log collected by the policy `{provenance['config']['logging_policy']}`, were scored "
        "offline under several protocols, and then served the same simulated users. This report says how well each "
        "offline number predicted what they earned.\n\n" + "\n\n".join(answers),
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


def _best_number(usual: pd.DataFrame) -> KeyNumber:
    if usual.empty:
        return KeyNumber("none", "best Spearman correlation with clicks per slate", "no number is defined")
    best = usual.iloc[0]
    return KeyNumber(
        f"{best['spearman']:.2f}",
        "best Spearman correlation with clicks per slate",
        f"{column_name('offline/' + best['protocol'] + '/' + best['offline_metric'])}, 95% interval "
        f"{_interval_words(best['spearman_low'], best['spearman_high'])}",
    )


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
        "A slate is the list of items shown at once; clicks per slate counts its clicks. `frozen` agents serve with "
        "what they had learned when they were scored, `retrained` ones go on learning. `satisfaction` is the mood of "
        "all users at the end, those who left included; it, `regret` and true utility are hidden from any real "
        "platform. A seed is a repetition of everything: its own world, log and training.\n\n"
        "`ceiling` is the Spearman correlation of one seed's online values with the mean of the other seeds: what a "
        "number could reach that knows how good each agent is in general. It is no bound: an offline number judges the "
        "very model that a seed deploys, and may pass it.",
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
                    "" if row["agent"] == BASELINE else f"{row['above popularity']:+.3f}",
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
