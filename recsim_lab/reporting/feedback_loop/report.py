"""The report of a feedback loop: what narrows, what remedies cost and buy, and what can't be told."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recsim_lab.evaluation.feedback.plan import FeedbackPlan
from recsim_lab.reporting.blocks import Block, Details, Figure, Section
from recsim_lab.reporting.feedback_loop.answer import answer
from recsim_lab.reporting.feedback_loop.bubble import bubble
from recsim_lab.reporting.feedback_loop.equal_price import equal_price
from recsim_lab.reporting.feedback_loop.lives import lives
from recsim_lab.reporting.feedback_loop.method import how
from recsim_lab.reporting.feedback_loop.narrowing import narrowing
from recsim_lab.reporting.feedback_loop.opening import in_short
from recsim_lab.reporting.feedback_loop.prices import prices
from recsim_lab.reporting.feedback_loop.readings import other_readings
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.feedback_loop.trust import trust
from recsim_lab.reporting.feedback_loop.welfare import what_happened
from recsim_lab.reporting.report import Provenance, write_figure, write_report


def write_feedback_loop_report(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    plan: FeedbackPlan,
    provenance: Mapping[str, Any],
    remedies: Sequence[str] | None = None,
) -> Path:
    """Write `report.html` and `figures/` into the run's folder; returns the report's path.

    `tables` are those of `recsim_lab.evaluation.feedback` by the names in `run.TABLES`, and of `readings` if there
    are any; `provenance` is the content of the run's `config.json`. `remedies` are the arms that are shown in all
    sections (without: remedies that are no setting of a dial); further settings of dials are shown at equal price
    alone.
    """
    if remedies is None:
        remedies = [arm.name for arm in plan.arms[1:] if arm.role == "remedy" and not arm.dial]
    run = LoopRun(plan, tables, tuple(remedies))
    found: tuple[Section | None, ...] = (
        in_short(run),
        what_happened(run),
        bubble(run, "exposure"),
        bubble(run, "consumption"),
        bubble(run, "preference"),
        prices(run),
        equal_price(run),
        narrowing(run),
        lives(run),
        other_readings(run),
        trust(run),
        how(run),
    )
    sections = [section for section in found if section is not None]
    for name, figure in named_figures(sections).items():
        write_figure(folder / "figures" / f"{name}.svg", figure)
    path = folder / "report.html"
    write_report(
        path,
        "The feedback loop: what it narrows, and what remedies cost and buy",
        answer(run),
        sections,
        Provenance.of_run(provenance, run.num_seeds),
    )
    return path


def named_figures(sections: list[Section]) -> dict[str, Figure]:
    """Every figure of the sections by a name for its file."""
    named: dict[str, Figure] = {}
    for section in sections:
        title = re.sub(r"\W+", "-", section.title.lower()).strip("-")
        named |= {f"{title}-{number}": figure for number, figure in enumerate(_figures(section.blocks), 1)}
    return named


def _figures(blocks: tuple[Block, ...]) -> list[Figure]:
    found: list[Figure] = []
    for block in blocks:
        if isinstance(block, Figure):
            found.append(block)
        elif isinstance(block, Details):
            found += _figures(block.blocks)
    return found
