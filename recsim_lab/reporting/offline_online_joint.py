"""What a study of offline against online says across its worlds: decisions, advice, sensitivity, decay."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from recsim_lab.evaluation.decisions import AGENT_ELSEWHERE, SECOND_RUN, WHICHEVER
from recsim_lab.evaluation.estimates import PROTOCOL, estimators_table
from recsim_lab.evaluation.sensitivity import NOTHING
from recsim_lab.reporting.blocks import Details, Figure, Section, Table
from recsim_lab.reporting.figures.forest import forest
from recsim_lab.reporting.names import column_name, protocol_name
from recsim_lab.reporting.offline_online_tables import MAIN_METRIC, main_deployment
from recsim_lab.reporting.words import Estimate, interval_words


def joint_sections(tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    """The sections of the tables that are not empty."""
    sections = []
    decisions, advice = tables["decisions"], tables["advice"]
    if len(decisions):
        decisions = decisions[decisions["deployment"] == main_deployment(decisions)]
        sections.append(Section("Which number to follow", _DECISIONS, (_decisions(decisions),)))
    if len(advice):
        over_worlds, advice = (
            table[table["online_metric"] == MAIN_METRIC] for table in (tables["advice_over_worlds"], advice)
        )
        text = f"{_ADVICE}. {_excluding_zero(advice, '')}\n\n{_over_worlds(over_worlds)}"
        table = Details(f"All {len(advice)} comparisons", (_advice(advice),))
        sections.append(Section("Advice, tested", text, (_advice_figure(over_worlds), table)))
    if len(tables["sensitivity"]):
        sensitivity = tables["sensitivity"]
        changed = _excluding_zero(sensitivity[sensitivity["switched_off"] != NOTHING], "change_")
        text = f"{_SENSITIVITY} {changed}"
        sections.append(Section("What agreement depends on", text, (_sensitivity(sensitivity),)))
    if len(tables["decay"]):
        decay = tables["decay"]
        compared = (_decay_figure(decay),) if decay["beyond"].notna().any() else ()
        later = decay[decay["log_days"] > decay["log_days"].min()]
        text = f"{_DECAY} {_excluding_zero(later, 'beyond_' if compared else 'change_')}"
        sections.append(Section("How long a log has fed on itself", text, (*compared, _decay(decay))))
    if len(tables["estimates"]):
        told = estimators_table(tables["estimates"]).merge(_agreement_of_estimates(tables), "left")
        sections.append(Section("What off-policy estimators said", _ESTIMATES, (_estimates(told), *_refusals(told))))
    return sections


_FEWEST_AGENTS = 8
_ESTIMATES = (
    "Estimators tell from the log what an agent would have earned at its last days' requests, had it served them, and "
    "refuse where the log cannot tell. The truth beside them is what the agent's own slates would have earned of the "
    "users as they were, in expectation; it is hidden from any real platform. Every estimate and every reason to "
    "refuse is in `estimates.csv`. Estimators stand apart from the ranking of offline numbers, since most refuse some "
    "agents and so order others than these: how well they agree with clicks per slate, over how many agents, stands "
    "here."
)


def _estimates(table: pd.DataFrame) -> Table:
    frame = pd.DataFrame(
        {
            "estimator": table["estimator"],
            "world": table["world"],
            "log of": table["logging_policy"],
            "refused": table["refused"],
            "Spearman": table["spearman"].where(table["num_agents"] >= _FEWEST_AGENTS),
            "over agents": table["num_agents"],
            "mean error": table["mean_error"],
            "absolute": table["mean_absolute_error"],
            "coverage": table["coverage"],
            "effective slates": table["effective_sample_size"],
        }
    )
    caption = (
        "Over agents and seeds. Errors are relative to the truth; coverage is that of 95% intervals; effective slates "
        f"are the effective sample size. No correlation is told of fewer than {_FEWEST_AGENTS} agents."
    )
    shares = {"refused": ".0%", "mean error": "+.0%", "absolute": ".0%", "coverage": ".0%", "effective slates": ",.0f"}
    return Table(frame, caption, shares | {"Spearman": ".2f", "over agents": ".0f"})


def _refusals(table: pd.DataFrame) -> tuple[Details, ...]:
    """Why estimators refused, each reason once with where; nothing where none did."""
    refused = table[table["usual_reason"] != ""]
    if refused.empty:
        return ()
    where = refused["world"] + ", log of " + refused["logging_policy"]
    frame = (
        pd.DataFrame({"estimator": refused["estimator"], "why": refused["usual_reason"], "where": where})
        .groupby(["estimator", "why"], sort=False)["where"]
        .agg("; ".join)
        .reset_index()
    )
    return (Details("Why they refused", (Table(frame, "The most frequent reason of each world and log.", {}),)),)


def _agreement_of_estimates(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How well each estimator agrees with clicks per slate, in each world and log."""
    every = tables["correlations"]
    rows = every[
        (every["protocol"] == PROTOCOL)
        & (every["online_metric"] == MAIN_METRIC)
        & (every["deployment"] == main_deployment(every))
        & (every["agents"] == "all")
    ].rename(columns={"offline_metric": "estimator"})
    return rows[["world", "logging_policy", "estimator", "spearman", "num_agents"]]


_DECISIONS = (
    "The number that looks best in a table was chosen for it. Here it is judged where it was not chosen: for every way "
    "to halve the worlds, the number of least loss in one half is followed in the other. Loss is the share of clicks "
    "per slate that is lost by deploying the offline winner instead of the best agent. Random is no candidate, for "
    "numbers or without them. What is lost without any offline number stands below: by the agent that lost least in "
    "the other half (where `any` is an agent taken blindly), and by the winner of a second run online, the same users "
    "under other luck, as a small A/B test of all agents would tell."
)
_ADVICE = (
    "A lecture advises to build business rules into offline evaluation, to use simple targets, and to evaluate the way "
    "production behaves; two usual corrections of clicks stand beside that, for which slots are looked at and for what "
    "was shown. Protocols differ in how many requests they have (see `The protocols in words`), and the one with fewer "
    "agrees less for that alone. Each dot is how much better the advised number agrees with clicks per slate than the "
    "other (a difference of Spearman correlations over the same agents)"
)
_SENSITIVITY = (
    "The first world with one mechanism switched off, by `light_agents` alone (Provenance names them), so that numbers "
    "differ from those of all agents. That changes the online truth too, so changes of agreement do not sum to "
    "anything. Without popularity of logging: the log of random slates in the place of the one named."
)
_DECAY = (
    "In the first world, a model that learned every night from its own log collected ever longer logs. Agents "
    "(`light_agents` alone) learned "
    "from as many of the last days of each, however long it was, and were tested on the last of these. What differs is "
    "how often the model that chose what was shown had learned from what it chose; but users have also met more of the "
    "catalogue by then, more of them have left, items were released, and requests know more clicks of the past. All "
    "that differs too in logs of random slates, so what a model's own log adds is the change beyond theirs."
)


def _excluding_zero(table: pd.DataFrame, prefix: str) -> str:
    """How many of the intervals `<prefix>low` to `<prefix>high` exclude zero, beside how many would by chance."""
    known = table.dropna(subset=[f"{prefix}low"])
    above, below = int((known[f"{prefix}low"] > 0).sum()), int((known[f"{prefix}high"] < 0).sum())
    if known.empty:
        return "There are too few agents or seeds for intervals."
    return (
        f"Of {len(known)} intervals, {above} {'lies' if above == 1 else 'lie'} above zero and {below} below; by chance "
        f"alone about {max(round(0.025 * len(known)), 1)} would on either side."
    )


def _decisions(table: pd.DataFrame) -> Table:
    chosen = table.sort_values(["logging_policy", "chosen_in"], ascending=[True, False], kind="stable")
    unnamed = (WHICHEVER, AGENT_ELSEWHERE, SECOND_RUN)
    frame = pd.DataFrame(
        {
            "log of": chosen["logging_policy"],
            "number": [name if name in unnamed else column_name(f"offline/{name}") for name in chosen["number"]],
            f"chosen in, of {chosen['num_halvings'].max()}": chosen["chosen_in"],
            "loss where chosen": chosen["loss_where_chosen"],
            "loss where followed": chosen["loss_where_followed"],
            "least possible": chosen["least_possible"],
            "any": chosen["loss_of_any_number"],
        }
    )
    caption = (
        f"Losses of numbers that were chosen on half of the worlds, for `{main_deployment(table)}` agents, means over "
        "the halvings in which each was chosen. Least possible: of the best number where it is followed, had one known "
        "it. Any: of choosing blindly. Only numbers that tell of all agents but Random take part, so "
        "off-policy estimates that refuse some do not."
    )
    losses = ("loss where chosen", "loss where followed", "least possible", "any")
    return Table(frame, caption, dict.fromkeys(losses, ".1%"))


def _over_worlds(table: pd.DataFrame) -> str:
    """Which comparisons hold over worlds."""
    tested = table.dropna(subset="p_value")
    if tested.empty:
        return "Over so few worlds, no comparison can be tested: the figure shows means."
    sure = tested[tested["p_holm"] < 0.05]
    told = [
        f"{_compared(row)} (log of {row.logging_policy}): " + str(Estimate(row.difference, row.low, row.high, "+.2f"))
        for row in sure.itertuples()
    ]
    return (
        f"With the {tested['num_worlds'].max()} worlds as units, {(tested['p_value'] < 0.05).sum()} of {len(tested)} "
        f"comparisons differ from zero at 5% each taken alone, and {len(sure)} after Holm's correction for all of them"
        + (f": {'; '.join(told)}." if told else ".")
    )


def _compared(row: Any) -> str:
    advised, instead_of = (protocol_name(name.rpartition("/")[0]) for name in (row.advised, row.instead_of))
    return f"{advised} instead of {instead_of}"


def _advice_figure(table: pd.DataFrame) -> Figure:
    """Every comparison by log: its mean over worlds, with the interval over them."""
    names = [f"{row.advice}, log of {row.logging_policy}:\n{_compared(row)}" for row in table.itertuples()]
    difference, low, high = (table[name].to_numpy(float) for name in ("difference", "low", "high"))
    return forest(names, difference, low, high, "difference in Spearman's correlation, mean over worlds")


def _advice(table: pd.DataFrame) -> Table:
    frame = pd.DataFrame(
        {
            "advice": table["advice"],
            "world": table["world"],
            "log of": table["logging_policy"],
            "advised": [column_name(f"offline/{name}") for name in table["advised"]],
            "instead of": [column_name(f"offline/{name}") for name in table["instead_of"]],
            "advised agrees": table["agreement_advised"],
            "other agrees": table["agreement_instead"],
            "difference": table["difference"],
            "95% interval": _ends(table, "low", "high"),
        }
    )
    caption = "Every piece of advice in every world; other online metrics are in `advice.csv`."
    return Table(frame, caption, {"advised agrees": ".2f", "other agrees": ".2f", "difference": "+.2f"})


def _sensitivity(table: pd.DataFrame) -> Table:
    frame = pd.DataFrame(
        {
            "switched off": table["switched_off"],
            "log of": table["logging_policy"],
            "offline number": _numbers(table),
            "Spearman": table["agreement"],
            "95% interval": _ends(table, "low", "high"),
            "change": np.where(table["switched_off"] == "nothing", np.nan, table["change"]),
            "interval of the change": _ends(table, "change_low", "change_high"),
        }
    )
    return Table(frame, "Agreement with clicks per slate.", {"Spearman": ".2f", "change": "+.2f"})


def _decay_figure(table: pd.DataFrame) -> Figure:
    """How much more the agreement of each number changed by the longest log than in random logs of the same age."""
    last = table[(table["log_days"] == table["log_days"].max()) & table["beyond"].notna()]
    pairs = zip(_numbers(last), last["logging_policy"], strict=True)
    names = [f"{number}, log of {logging}" for number, logging in pairs]
    beyond, low, high = (last[name].to_numpy(float) for name in ("beyond", "beyond_low", "beyond_high"))
    days = f"{table['log_days'].min()} to {table['log_days'].max()} days"
    return forest(names, beyond, low, high, f"change of Spearman's correlation beyond that in random logs, {days}")


def _decay(table: pd.DataFrame) -> Table:
    shortest = table["log_days"] == table["log_days"].min()
    frame = pd.DataFrame(
        {
            "log of": table["logging_policy"],
            "days of log": table["log_days"],
            "nights it learned": table["num_retrainings"],
            "offline number": _numbers(table),
            "Spearman": table["agreement"],
            "95% interval": _ends(table, "low", "high"),
            "change": np.where(shortest, np.nan, table["change"]),
            "interval of the change": np.where(shortest, "", _ends(table, "change_low", "change_high")),
            "beyond random logs": np.where(shortest, np.nan, table["beyond"]),
            "its interval": np.where(shortest, "", _ends(table, "beyond_low", "beyond_high")),
            "ceiling": table["ceiling"],
        }
    )
    caption = "Agreement with clicks per slate, and its change since the shortest log."
    signed = dict.fromkeys(("change", "beyond random logs"), "+.2f")
    return Table(frame, caption, {"Spearman": ".2f", "ceiling": ".2f"} | signed)


def _numbers(table: pd.DataFrame) -> list[str]:
    pairs = zip(table["protocol"], table["offline_metric"], strict=True)
    return [column_name(f"offline/{protocol}/{metric}") for protocol, metric in pairs]


def _ends(table: pd.DataFrame, low: str, high: str) -> list[str]:
    return [interval_words(*ends) for ends in zip(table[low], table[high], strict=True)]
