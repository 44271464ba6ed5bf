"""The report of a study of offline against online: which offline number to trust, and what the agents earned."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsim_lab.evaluation.agreement import MULTIPLE_COMPARISONS_NOTE
from recsim_lab.evaluation.statistics import separated_pairs
from recsim_lab.reporting.blocks import MISSING, KeyNumber, KeyNumbers, Section, Table
from recsim_lab.reporting.figures import (
    agreement_heatmap,
    agreement_ranking,
    engagement_over_days,
    offline_online_scatter,
)
from recsim_lab.reporting.names import column_name, metric_name
from recsim_lab.reporting.offline_online_tables import (
    BASELINE,
    MAIN_METRIC,
    arm_of,
    arms_of,
    ladder_of,
    predictors_of,
    usual_metrics,
    without_repeats,
)
from recsim_lab.reporting.report import Provenance, write_figure, write_report

SHOWN_PROTOCOLS = (
    "offline/temporal-full/ndcg@10",
    "offline/temporal-sampled100/ndcg@10",
    "offline/last-out-full/ndcg@10",
    "offline/random-full/ndcg@10",
    "offline/temporal-full/hr@10",
    "offline/temporal-full/auc",
)


def write_offline_online_report(
    folder: Path,
    scores: pd.DataFrame,
    daily: pd.DataFrame,
    correlations: pd.DataFrame,
    provenance: Mapping[str, Any],
) -> Path:
    """Write `report.html` and `figures/` into the run's folder from its three tables; returns the report's path.

    `provenance` is the content of the run's `config.json`: config, command, versions and commit.
    """
    sections: list[Section] = []
    answers: list[str] = []
    families = sorted(set(scores["family"]) - {"oracle"})
    for world, deployment in arms_of(scores):
        some, agreement, days = (arm_of(table, world, deployment) for table in (scores, correlations, daily))
        where = f"World {world}" if deployment == "frozen" else f"World {world}, {deployment}"
        predictors, usual = predictors_of(agreement), predictors_of(usual_metrics(agreement))
        answers.append(answer_of(where, usual))
        competing = some[some["agent"] != "oracle"]
        by_seed = competing.pivot(index="agent", columns="seed", values=f"online/{MAIN_METRIC}").to_numpy(float)
        separated = separated_pairs(by_seed) if by_seed.shape[1] > 1 else float("nan")
        figures = {
            "scatter": offline_online_scatter(some, list(SHOWN_PROTOCOLS), f"online/{MAIN_METRIC}", families),
            "ranking": agreement_ranking(usual_metrics(agreement), MAIN_METRIC),
            "heatmap": agreement_heatmap(without_repeats(agreement, some)),
            "days": engagement_over_days(days, families=families),
        }
        for name, figure in figures.items():
            write_figure(folder / "figures" / f"{world}-{deployment}-{name}.svg", figure)
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
                    _ladder_table(ladder_of(some)),
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
    path = folder / "report.html"
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
        f"{interval_words(best['spearman_low'], best['spearman_high'])}",
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


def interval_words(low: float, high: float, form: str = ".2f") -> str:
    """The ends in words that no line break parts."""
    words = f"{low:{form}} to {high:{form}}".replace("-", "\N{MINUS SIGN}").replace(" ", "\N{NO-BREAK SPACE}")
    return MISSING if np.isnan(low) else words


def _ladder_table(ladder: pd.DataFrame) -> Table:
    leads = zip(ladder["above_low"], ladder["above_high"], strict=True)
    frame = pd.DataFrame(
        {
            "agent": ladder["agent"],
            "clicks per slate": ladder[MAIN_METRIC],
            "95% interval": [interval_words(*ends, ".3f") for ends in zip(ladder["low"], ladder["high"], strict=True)],
            f"above {BASELINE}": ladder["above popularity"],
            "95% interval, paired": [interval_words(*ends, "+.3f") for ends in leads],
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
            "95% interval": [interval_words(low, high) for low, high in ends],
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


def answer_of(where: str, predictors: pd.DataFrame) -> str:
    """What the study found, in two sentences that claim no more than the intervals allow."""
    if predictors.empty:
        return f"{where}: no offline number could be compared."
    best = predictors.iloc[0]
    sure = int((predictors["spearman_low"] > 0).sum())
    interval = "too few agents or seeds for an interval"
    if not np.isnan(best["spearman_low"]):
        interval = f"95% interval {interval_words(best['spearman_low'], best['spearman_high'])}"
    return (
        f"{where}: {column_name('offline/' + best['protocol'] + '/' + best['offline_metric'])} agreed best with "
        f"{metric_name(MAIN_METRIC)} (Spearman {best['spearman']:.2f}, {interval}); it put "
        f"{best['pairwise_accuracy']:.0%} of the pairs of agents in the right order, and deploying its winner lost "
        f"{best['top1_regret']:.1%} of the best agent's clicks. Of the {len(predictors)} usual numbers, {sure} agree "
        "by more than chance, each taken alone."
    )
