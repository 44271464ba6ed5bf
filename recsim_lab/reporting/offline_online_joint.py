"""What a study of offline against online says across its worlds: decisions, advice, sensitivity, decay."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from recsim_lab.evaluation.decisions import WHICHEVER
from recsim_lab.evaluation.estimates import PROTOCOL, estimators_table
from recsim_lab.reporting.blocks import Figure, Section, Table
from recsim_lab.reporting.figures.forest import forest
from recsim_lab.reporting.names import column_name
from recsim_lab.reporting.offline_online_tables import MAIN_METRIC, main_deployment
from recsim_lab.reporting.words import interval_words


def joint_sections(tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    """The sections of the tables that are not empty."""
    sections = []
    decisions, advice = tables["decisions"], tables["advice"]
    if len(decisions):
        decisions = decisions[decisions["deployment"] == main_deployment(decisions)]
        sections.append(Section("Which number to follow", _DECISIONS, (_decisions(decisions),)))
    if len(advice):
        sections.append(Section("Advice, tested", _ADVICE, (_advice_figure(advice), _advice(advice))))
    if len(tables["sensitivity"]):
        sections.append(Section("What agreement depends on", _SENSITIVITY, (_sensitivity(tables["sensitivity"]),)))
    if len(tables["decay"]):
        decay = tables["decay"]
        compared = (_decay_figure(decay),) if decay["beyond"].notna().any() else ()
        sections.append(Section("How long a log has fed on itself", _DECAY, (*compared, _decay(decay))))
    if len(tables["estimates"]):
        told = estimators_table(tables["estimates"]).merge(_agreement_of_estimates(tables), "left")
        sections.append(Section("What off-policy estimators said", _ESTIMATES, (_estimates(told),)))
    return sections


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
            "mean error": table["mean_error"],
            "absolute": table["mean_absolute_error"],
            "coverage": table["coverage"],
            "effective slates": table["effective_sample_size"],
            "Spearman": table["spearman"],
            "over agents": table["num_agents"],
            "why it refused": table["usual_reason"],
        }
    )
    caption = "Over agents and seeds. Errors are relative to the truth; coverage is that of 95% intervals."
    shares = {"refused": ".0%", "mean error": "+.0%", "absolute": ".0%", "coverage": ".0%", "effective slates": ",.0f"}
    return Table(frame, caption, shares | {"Spearman": ".2f", "over agents": ".0f"})


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
    "per slate that is lost by deploying the offline winner instead of the best agent."
)
_ADVICE = (
    "A lecture advises to build business rules into offline evaluation, to use simple targets, and to evaluate the way "
    "production behaves; two usual corrections of clicks stand beside that, for which slots are looked at and for what "
    "was shown. Protocols differ in how many requests they have (see `The protocols in words`), and the one with fewer "
    "agrees less for that alone. Each dot is how much better the advised number agrees with clicks per slate than the "
    "other (a difference of Spearman correlations over the same agents). Of so many comparisons, about one in twenty "
    "excludes zero by chance."
)
_SENSITIVITY = (
    "The same study in the first world with one mechanism switched off. That changes the online truth too, so changes "
    "of agreement do not sum to anything. Without popularity of logging: the log of random slates in the place of the "
    "one named."
)
_DECAY = (
    "In the first world, a model that learned every night from its own log collected ever longer logs. Agents learned "
    "from as many of the last days of each, however long it was, and were tested on the last of these. What differs is "
    "how often the model that chose what was shown had learned from what it chose; but users have also met more of the "
    "catalogue by then, more of them have left, items were released, and requests know more clicks of the past. All "
    "that differs too in logs of random slates, so what a model's own log adds is the change beyond theirs."
)


def _decisions(table: pd.DataFrame) -> Table:
    chosen = table.sort_values(["logging_policy", "chosen_in"], ascending=[True, False], kind="stable")
    halvings = zip(chosen["chosen_in"], chosen["num_halvings"], strict=True)
    frame = pd.DataFrame(
        {
            "log of": chosen["logging_policy"],
            "number": [name if name == WHICHEVER else column_name(f"offline/{name}") for name in chosen["number"]],
            "chosen in": [f"{some} of {every}" for some, every in halvings],
            "loss where chosen": chosen["loss_where_chosen"],
            "loss where followed": chosen["loss_where_followed"],
            "least possible": chosen["least_possible"],
            "any number": chosen["loss_of_any_number"],
        }
    )
    caption = (
        f"Losses of numbers that were chosen on half of the worlds, for `{main_deployment(table)}` agents, means over "
        "the halvings in which each was chosen. Least possible: of the best number where it is followed, had one known "
        "it. Any number: of choosing one blindly. Only numbers that tell of all agents but Random take part, so "
        "off-policy estimates that refuse some do not."
    )
    losses = ("loss where chosen", "loss where followed", "least possible", "any number")
    return Table(frame, caption, dict.fromkeys(losses, ".1%"))


def _advice_figure(table: pd.DataFrame) -> Figure:
    """One comparison of each kind of advice, in every world and log."""
    first = table[table["online_metric"] == MAIN_METRIC].drop_duplicates(["world", "logging_policy", "advice"])
    names = [f"{row.advice}: {row.world}, log of {row.logging_policy}" for row in first.itertuples()]
    difference, low, high = (first[name].to_numpy(float) for name in ("difference", "low", "high"))
    return forest(names, difference, low, high, "difference in Spearman's correlation")


def _advice(table: pd.DataFrame) -> Table:
    table = table[table["online_metric"] == MAIN_METRIC]
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
