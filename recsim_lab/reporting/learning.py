"""The report of agents that learn by acting: how they learned, and what users earned them who had not met them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recsim_lab.evaluation.learning import LearningPlan
from recsim_lab.reporting.blocks import Section, Table
from recsim_lab.reporting.figures.curves import learning_curves
from recsim_lab.reporting.figures.forest import forest
from recsim_lab.reporting.report import Provenance, write_figure, write_report
from recsim_lab.reporting.words import interval_words

_JUDGED = (
    "Agents learn from half of the users of a seed's world. The other half, whom none of them has met, are then served "
    "by each policy over their lives, with the same luck, so that differences are paired: within a seed by user. "
    "Intervals are over seeds, each of which is a world and a training of its own. The oracle shows what each user "
    "likes most at the moment: it is a bound on the next slate, not on a life."
)


def write_learning_report(
    folder: Path,
    title: str,
    plan: LearningPlan,
    lives: pd.DataFrame,
    gains: pd.DataFrame,
    curves: pd.DataFrame,
    provenance: Mapping[str, Any],
) -> Path:
    """Write `report.html` and `figures/` into the run's folder; returns the report's path.

    `lives` are those of `run_learning`, `gains` of `compared` for the first learner, and `curves` what was earned per
    slate during training (columns `policy`, `seed`, `step`, `reward`), or none.
    """
    names = short_names(plan)
    lives, gains, curves = (
        table.assign(policy=table["policy"].map(names)) if len(table) else table for table in (lives, gains, curves)
    )
    judged = names[plan.learners[0].label]
    others = gains[gains["policy"] != judged]
    levels = {name: float(lives.loc[lives["policy"] == name, "reward"].mean()) for name in plan.references}
    sections = []
    of_learners = lives[lives["num_steps"] > 0].rename(columns={"num_steps": "step"})
    if len(plan.num_steps) > 1:
        figure = learning_curves(of_learners, "reward", "reward per life", levels)
        write_figure(folder / "figures" / "lives.svg", figure)
        sections.append(Section("What lives earn, by what was learned from", _JUDGED, (figure,)))
    figures = tuple(
        forest(
            list(others["policy"]),
            others[f"{name}_gain"].to_numpy(float),
            others[f"{name}_low"].to_numpy(float),
            others[f"{name}_high"].to_numpy(float),
            f"difference in {words}, the first agent minus another",
        )
        for name, words in (("reward", "reward per life"), ("first", "reward of the first slate"))
    )
    for name, figure in zip(("life", "first"), figures, strict=True):
        write_figure(folder / "figures" / f"gain-{name}.svg", figure)
    told = "After the largest number of slates." if sections else _JUDGED
    sections.append(Section(f"What {judged} earns above others", told, (*figures, _table(gains))))
    if len(curves):
        figure = learning_curves(curves, "reward", "reward per slate while it learns", {})
        write_figure(folder / "figures" / "training.svg", figure)
        sections.append(
            Section(
                "How it learned",
                "What the agent earned while it explored, on the users it learned from: not what it earns when it "
                "serves. Lives that begin together also end together, so that the line may rise and fall with their "
                "age.",
                (figure,),
            )
        )
    path = folder / "report.html"
    write_report(path, title, _lead(plan, gains, judged), sections, Provenance.of_run(provenance, len(plan.seeds)))
    return path


def short_names(plan: LearningPlan) -> dict[str, str]:
    """Each policy without the parameters that all learners of its family share, with how it learned; what is made of
    parts in brackets keeps its name."""
    whole = {learner.agent for learner in plan.learners if "(" in learner.agent}
    specs = [(a, "", "") if a in whole else a.partition(":") for a in (learner.agent for learner in plan.learners)]
    parameters = {
        family: [set(text.split(",")) for other, _, text in specs if other == family] for family, _, _ in specs
    }
    names = {name: name for name in plan.references}
    for learner, (family, _, text) in zip(plan.learners, specs, strict=True):
        shared = set.intersection(*parameters[family]) if len(parameters[family]) > 1 else set(text.split(","))
        own = ",".join(part for part in text.split(",") if part not in shared)
        names[learner.label] = learner.label.replace(learner.agent, family + (f":{own}" if own else ""))
    return names


def _lead(plan: LearningPlan, gains: pd.DataFrame, judged: str) -> str:
    """What came out, in sentences, and what the names are short for."""
    sentences = []
    for row in gains[gains["policy"] != judged].to_dict("records"):
        sure = row["reward_low"] > 0 or row["reward_high"] < 0
        more = "more" if row["reward_gain"] > 0 else "less"
        sentences.append(
            f"`{judged}` earns {abs(row['reward_gain']):.2f} {more} per life than `{row['policy']}` "
            f"({interval_words(row['reward_low'], row['reward_high'], '+.2f')})"
            + ("." if sure else ", which could be chance.")
        )
    agents = dict.fromkeys(learner.agent for learner in plan.learners)
    told = f"In `{plan.world}`, {len(plan.seeds)} seeds: " + " ".join(sentences)
    return told + "\n\nIn full, the agents are " + ", ".join(f"`{agent}`" for agent in agents) + "."


def _table(gains: pd.DataFrame) -> Table:
    frame = pd.DataFrame({"policy": gains["policy"], "reward per life": gains["reward"]})
    for name, words in (("reward", "per life"), ("first", "on the first slate")):
        frame[f"gain {words}"] = gains[f"{name}_gain"]
        frame[f"95% interval {words}"] = [
            interval_words(low, high, "+.3f")
            for low, high in zip(gains[f"{name}_low"], gains[f"{name}_high"], strict=True)
        ]
    frame["slates per life"] = gains["num_slates"]
    return Table(frame, "Means over seeds; gains are those of the first policy over the others, paired.")
