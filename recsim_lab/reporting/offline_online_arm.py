"""What a report of offline against online says of one arm: a world, a log and a deployment."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from recsim_lab.evaluation.agreement import MIN_FAMILIES, MULTIPLE_COMPARISONS_NOTE
from recsim_lab.evaluation.plan import ORACLE
from recsim_lab.evaluation.resampled_agreement import MIN_AGENTS
from recsim_lab.evaluation.statistics import separated_pairs
from recsim_lab.reporting.blocks import MISSING, Details, Figure, KeyNumber, KeyNumbers, Section, Table
from recsim_lab.reporting.figures import (
    agreement_heatmap,
    agreement_ranking,
    attribution_waterfall,
    engagement_over_days,
    offline_online_scatter,
)
from recsim_lab.reporting.names import column_name, metric_name
from recsim_lab.reporting.offline_online_tables import (
    BASELINE,
    MAIN_METRIC,
    Arm,
    ladder_of,
    predictors_of,
    usual_metrics,
    with_references,
    without_repeats,
)
from recsim_lab.reporting.words import interval_words

SET_NUMBERS = (("temporal-full", "ndcg@10"), ("random-sampled100-no-rules", "ndcg@10"), ("temporal-slate", "auc"))
"""The numbers whose agreement is told by sets of agents."""
SHOWN_PROTOCOLS = (
    "offline/temporal-full/ndcg@10",
    "offline/temporal-sampled100/ndcg@10",
    "offline/last-out-full/ndcg@10",
    "offline/random-full/ndcg@10",
    "offline/temporal-full/hr@10",
    "offline/temporal-full/auc",
)


def arm_figures(arm: Arm, tables: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """The figures of an arm by name; without a waterfall where a ladder is incomplete."""
    scores, agreement = tables["scores"], arm.of(tables["correlations"])
    families = sorted(set(scores["family"]) - {ORACLE})
    some, parts = with_references(scores, arm), _parts_of_naive(arm.of(tables["attribution"]))
    return {
        "scatter": offline_online_scatter(some, list(SHOWN_PROTOCOLS), f"online/{MAIN_METRIC}", families),
        "ranking": agreement_ranking(usual_metrics(agreement), MAIN_METRIC),
        "heatmap": agreement_heatmap(without_repeats(_common_protocols(agreement), some)),
        "days": engagement_over_days(with_references(tables["daily"], arm), families=families),
        **({"waterfall": attribution_waterfall(parts)} if len(parts) else {}),
    }


def arm_predictors(arm: Arm, correlations: pd.DataFrame) -> pd.DataFrame:
    """How well each usual number predicted clicks per slate there, best first."""
    return predictors_of(usual_metrics(arm.of(correlations)))


def arm_sections(arm: Arm, tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Figure]) -> list[Section]:
    """Which number to trust, why offline and online disagree, what agents earned, and other numbers."""
    some, correlations = with_references(tables["scores"], arm), tables["correlations"]
    usual = arm_predictors(arm, correlations)
    answer = answer_of(arm.words, usual)
    competing = some[some["family"] != ORACLE]
    by_seed = competing.pivot(index="agent", columns="seed", values=f"online/{MAIN_METRIC}").to_numpy(float)
    separated = separated_pairs(by_seed) if by_seed.shape[1] > 1 else float("nan")
    ceiling = usual["ceiling"].median() if len(usual) else float("nan")
    numbers = KeyNumbers(
        (
            _best_number(usual),
            KeyNumber(
                MISSING if np.isnan(ceiling) else f"{ceiling:.2f}",
                "ceiling (test-retest)",
                "the correlation of clicks per slate with itself under other luck",
            ),
            KeyNumber(
                MISSING if np.isnan(separated) else f"{separated:.0%}",
                "of agent pairs differ online",
                f"at 95%, paired over {some['seed'].nunique()} seeds; 5% would by chance alone",
            ),
        )
    )
    ladder = (
        [Section(f"{arm.words}: why offline and online disagree", _LADDER, (figures["waterfall"],), listed=False)]
        if "waterfall" in figures
        else []
    )
    return [
        Section(
            f"{arm.words}: which offline number to trust",
            f"{answer}\n\n"
            "Each dot is the Spearman correlation between an offline number and clicks per slate (the metrics that "
            "people usually quote, under every protocol; the rest is in `correlations.csv`), computed over "
            "agents within a seed and averaged over seeds: 1 means that the log ranks the agents as the users do, "
            "0 that it says nothing. Bars are 95% bootstrap intervals over agent families and seeds.\n\n"
            + MULTIPLE_COMPARISONS_NOTE,
            (
                numbers,
                figures["ranking"],
                Details(f"All {len(usual)} usual numbers", (_predictors_table(usual),)),
                figures["scatter"],
                _sets_table(arm, correlations),
            ),
        ),
        *ladder,
        Section(
            f"{arm.words}: what the agents earned",
            "All agents serve the same users with the same luck, under the same rules; the oracle knows each "
            "user's true utility and is a reference, not a competitor. `regret` is the oracle's expected clicks "
            "at the agent's own requests minus the agent's. It may exceed the difference between their clicks per "
            "slate, because an item once shown or consumed may not come back: the oracle has less left to show at "
            "its own requests.",
            (figures["days"], ladder_table(ladder_of(some))),
            listed=False,
        ),
        Section(
            f"{arm.words}: other offline and online numbers",
            "Positive means that the better offline number went with the better online one, also where less is "
            "better (regret, churn, days until return). Left out are metrics that repeat others here (most slates "
            "have one click, so recall and precision follow the hit rate); all are in `correlations.csv`.",
            (figures["heatmap"],),
            listed=False,
        ),
    ]


_LADDER = (
    "One naive number (a random split, sampled candidates, no rules) is led to the truth, one step after the other. "
    "First its own flaws are put right, in all six orders, of which the mean is shown: labels (instead of what was "
    "clicked, what users would have taken with everything in sight), the split, the rules of production. Then what "
    "the slates of whole visits would earn of the users as they are, in expectation, takes the place of foreseeing "
    "clicks. Then users change, under other luck: that replicate's own luck is in this part too, which is why it lies "
    "below zero where nobody changes, up to chance. What is left is luck. The parts sum to what the number lacks; "
    "other numbers are in `attribution.csv`."
)


def _parts_of_naive(attribution: pd.DataFrame) -> pd.DataFrame:
    """The parts of the number that does most things wrong, where its ladder is complete."""
    some = attribution[attribution["offline_metric"] == "ndcg@10"]
    parts = some[some["protocol"] == "random-sampled100-no-rules"]
    return parts if parts["value"].notna().all() else parts.iloc[:0]


def _common_protocols(correlations: pd.DataFrame) -> pd.DataFrame:
    """Those that a heat map has room for."""
    shown = {column.split("/")[1] for column in SHOWN_PROTOCOLS} | {"temporal-slate", "temporal-full-no-rules"}
    return correlations[correlations["protocol"].isin(shown)]


def _best_number(usual: pd.DataFrame) -> KeyNumber:
    if usual.empty:
        return KeyNumber("none", "best Spearman correlation with clicks per slate", "no number is defined")
    best, _ = best_of(usual)
    return KeyNumber(
        f"{best['spearman']:.2f}",
        "highest Spearman correlation with clicks per slate",
        f"{column_name('offline/' + best['protocol'] + '/' + best['offline_metric'])}, 95% interval "
        f"{interval_words(best['spearman_low'], best['spearman_high'])}",
    )


def ladder_table(ladder: pd.DataFrame) -> Table:
    """What agents earned; their lead over popularity only where popularity was asked for."""
    lead, its_interval = f"above {BASELINE}", "95% interval, paired"
    ends_of_leads = zip(ladder["above_low"], ladder["above_high"], strict=True)
    frame = pd.DataFrame(
        {
            "agent": ladder["agent"],
            "clicks per slate": ladder[MAIN_METRIC],
            "95% interval": [interval_words(*ends, ".3f") for ends in zip(ladder["low"], ladder["high"], strict=True)],
            lead: ladder["above popularity"],
            its_interval: [interval_words(*ends, "+.3f") for ends in ends_of_leads],
            "satisfaction": ladder["satisfaction"],
            "regret": ladder["regret"],
        }
    )
    caption = "Agents by clicks per slate, with 95% intervals over seeds (Student's t)."
    if ladder["above popularity"].isna().all():
        return Table(frame.drop(columns=[lead, its_interval]), caption)
    return Table(
        frame,
        f"{caption} The lead over {BASELINE} is "
        "measured on the same users with the same luck, so its interval is usually narrower than a comparison of two "
        "intervals suggests: where it includes 0, the agent is not shown to differ.",
        {lead: "+.3f"},
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


def _sets_table(arm: Arm, correlations: pd.DataFrame) -> Table:
    """How agreement depends on which agents are compared."""
    here = correlations[
        (correlations["world"] == arm.world)
        & (correlations["logging_policy"] == arm.logging_policy)
        & (correlations["deployment"] == arm.deployment)
        & (correlations["online_metric"] == MAIN_METRIC)
    ]
    rows = [
        {
            "offline number": column_name(f"offline/{protocol}/{metric}"),
            "agents compared": row.agents,
            "agents": row.num_agents,
            "Kendall": row.kendall,
            "95% interval": interval_words(row.kendall_low, row.kendall_high),
            "pairs right": row.pairwise_accuracy,
        }
        for protocol, metric in SET_NUMBERS
        for row in here[(here["protocol"] == protocol) & (here["offline_metric"] == metric)].itertuples()
    ]
    columns = ["offline number", "agents compared", "agents", "Kendall", "95% interval", "pairs right"]
    return Table(
        pd.DataFrame(rows, columns=columns),
        "How agreement depends on the agents that are compared: with and without the random one, within either "
        "training target (clicked against sampled items, clicked against shown ones), and in pairs of one of each.",
        {"Kendall": ".2f", "pairs right": ".0%"},
    )


def best_of(predictors: pd.DataFrame) -> tuple[pd.Series, bool]:
    """The highest number, and whether more numbers agree by more than chance than chance alone would give; where they
    do, it is the highest of those."""
    surely = predictors[predictors["spearman_low"] > 0]
    told = len(surely) > 0.025 * len(predictors)
    return (surely if told else predictors).iloc[0], told


def answer_of(where: str, predictors: pd.DataFrame) -> str:
    """What the study found, in two sentences that claim no more than the intervals allow."""
    if predictors.empty:
        return f"{where}: no offline number could be compared, which takes {MIN_AGENTS} agents at least."
    if predictors["spearman_low"].isna().all():
        return (
            f"{where}: no agreement can be told from chance, which takes agents of {MIN_FAMILIES} families at least, "
            "so that this study can recommend no offline number."
        )
    best, told = best_of(predictors)
    sure = int((predictors["spearman_low"] > 0).sum())
    interval = "too few agents or seeds for an interval"
    if not np.isnan(best["spearman_low"]):
        interval = f"95% interval {interval_words(best['spearman_low'], best['spearman_high'])}"
    name = column_name("offline/" + best["protocol"] + "/" + best["offline_metric"])
    if not told:
        some = f"{sure or 'none'} of the {len(predictors)} usual numbers {'agree' if sure > 1 else 'agrees'}"
        alone = ", and chance alone would give as many" if sure else ""
        return (
            f"{where}: {some} with {metric_name(MAIN_METRIC)} by more than chance{alone}, so that this study can "
            f"recommend none. Highest was {name} (Spearman {best['spearman']:.2f}, {interval})."
        )
    return (
        f"{where}: of the {len(predictors)} usual numbers, {sure} {'agrees' if sure == 1 else 'agree'} with "
        f"{metric_name(MAIN_METRIC)} by more than chance, each taken alone. {'It' if sure == 1 else 'Highest of them'} "
        f"is {name} (Spearman {best['spearman']:.2f}, {interval}): it put {best['pairwise_accuracy']:.0%} of the pairs "
        f"of agents in the right order, and deploying its winner lost {best['top1_regret']:.1%} of the best agent's "
        "clicks."
    )
