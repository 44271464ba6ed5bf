"""The report of a study of offline against online: which offline number to trust, and what the agents earned."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recsim_lab.reporting.blocks import Figure, Section
from recsim_lab.reporting.names import short_world_names
from recsim_lab.reporting.offline_online_across import across_answers, across_section
from recsim_lab.reporting.offline_online_arm import answer_of, arm_figures, arm_predictors, arm_sections
from recsim_lab.reporting.offline_online_joint import joint_sections
from recsim_lab.reporting.offline_online_scope import deployments_section, limits_section, protocols_section
from recsim_lab.reporting.offline_online_tables import main_arms
from recsim_lab.reporting.report import Provenance, write_figure, write_report


def write_offline_online_report(
    folder: Path, tables: Mapping[str, pd.DataFrame], provenance: Mapping[str, Any]
) -> Path:
    """Write `report.html` and `figures/` into the run's folder from its tables; returns the report's path.

    `tables` are those that the scenario writes, by name; `provenance` is the content of the run's `config.json`.
    """
    names = short_world_names(list(tables["scores"]["world"]))
    tables = {
        name: table.assign(
            **{column: table[column].map(names) for column in ("world", "least_world") if column in table}
        )
        for name, table in tables.items()
    }
    scores, correlations = tables["scores"], tables["correlations"]
    arms = main_arms(scores)
    sections = []
    for arm in arms:
        figures = arm_figures(arm, tables)
        for name, figure in figures.items():
            write_figure(folder / "figures" / f"{arm.file_name}-{name}.svg", figure)
        sections += arm_sections(arm, tables, figures)
    answers, over_worlds = [answer_of(arm.words, arm_predictors(arm, correlations)) for arm in arms], []
    if len(names) > 1:
        by_log = {logging: place for place, logging in enumerate(dict.fromkeys(scores["logging_policy"]))}
        across, agreement = (
            table.sort_values("logging_policy", key=lambda column: column.map(by_log), kind="stable")
            for table in (tables["across"], correlations)
        )
        answers = across_answers(across, tables["decisions"])
        over_worlds = [across_section(agreement, across)]
        for figure in (block for block in over_worlds[0].blocks if isinstance(block, Figure)):
            write_figure(folder / "figures" / "over-worlds.svg", figure)
    path = folder / "report.html"
    write_report(
        path,
        "Which offline number predicts engagement?",
        "Agents learned from logs, were scored offline under many protocols, and then served the same simulated users. "
        "This report says how well each offline number predicted what they earned, and why they part.\n\n"
        + "\n\n".join(answers),
        [
            *over_worlds,
            limits_section(tables),
            *joint_sections(tables),
            *sections,
            deployments_section(scores, correlations),
            protocols_section(tables["protocols"]),
            _how_it_was_done(names),
        ],
        Provenance.of_run(provenance, provenance["config"]["seeds"]),
    )
    return path


def _how_it_was_done(worlds: Mapping[str, str]) -> Section:
    named = "; ".join(f"{name} is `{world}`" for world, name in worlds.items() if name != world)
    return Section(
        "How it was done",
        (f"Worlds are named by what sets them apart from the first: {named}.\n\n" if named else "")
        + "Protocols are named split-candidates, and what differs from clicks under the rules of production. Splits: "
        "`temporal` tests on the last days of the log, `rolling` does so in two stretches, learning anew before each, "
        "`randomised` takes of these days the clicks on slots that were filled by chance. `last-out` tests on each "
        "user's last slate with a click and learns from what came before it and from all that others did, `random` "
        "tests on a random fifth of the slates and learns from the rest (both leak the future), `balanced` keeps of "
        "these the slates that test every item about as often. Candidates: `full` is every item that production could "
        "have shown at that moment, "
        "`sampled100` a hundred of them drawn uniformly and `popular100` in proportion to their clicks, beside the "
        "clicked ones; `slate` is the slate that was shown, `retrieved100` what a cheap retriever finds. Targets: a "
        "click, a long `dwell`, a `like`, a `return` within a week, and a `composite` of some.\n\n"
        "A test request is a logged slate with a click, rebuilt as of its moment. Relevant is what the target says. "
        "Ties count by expectation. Offline numbers are those of copies that learned from the training part.\n\n"
        "`frozen` agents serve with the very weights that the temporal split scored, `refit` ones learned from the "
        "whole log before they served, `retrained` ones go on learning. Which of them a section speaks of stands in "
        "its title; the tables hold all.\n\n"
        "A slate is the list of items shown at once; clicks per slate counts its clicks. `satisfaction` is the mood of "
        "all users at the end, those who left included; it, `regret` and true utility are hidden from any real "
        "platform. A seed is a repetition of everything: its own world, log and training.\n\n"
        "`ceiling` is the Spearman correlation of clicks per slate with those of a second replicate: the same users "
        "and the same models under other luck. It is no bound: both replicates are noisy, and a number that knew what "
        "each agent earns in expectation would reach about its square root.",
    )
