"""The report of a feedback loop: what narrows, what remedies cost and buy, and what can't be told."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recsim_lab.evaluation.feedback.plan import FeedbackPlan
from recsim_lab.reporting import feedback_loop_sections as parts
from recsim_lab.reporting.blocks import Section
from recsim_lab.reporting.feedback_loop_answer import answer
from recsim_lab.reporting.feedback_loop_readings import other_readings
from recsim_lab.reporting.feedback_loop_run import LoopRun
from recsim_lab.reporting.report import Provenance, write_figure, write_report


def write_feedback_loop_report(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    plan: FeedbackPlan,
    provenance: Mapping[str, Any],
    remedies: Sequence[str] | None = None,
) -> Path:
    """Write `report.html` and `figures/` into the run's folder; returns the report's path.

    `tables` are those of `recsim_lab.evaluation.feedback`, by the names in `feedback_loop_run.TABLES` and, if any,
    `feedback_loop_readings`; `provenance` is
    the content of the run's `config.json`. `remedies` are the arms that are shown in all sections (without: remedies
    that are no setting of a dial); further settings of dials are shown at equal price alone.
    """
    if remedies is None:
        remedies = [arm.name for arm in plan.arms[1:] if arm.role == "remedy" and not arm.dial]
    run = LoopRun(plan, tables, tuple(remedies))
    found: tuple[Section | None, ...] = (
        parts.in_short(run),
        parts.what_happened(run),
        parts.bubble(run, "exposure"),
        parts.bubble(run, "consumption"),
        parts.bubble(run, "preference"),
        parts.prices(run),
        parts.equal_price(run),
        parts.narrowing(run),
        parts.lives(run),
        other_readings(run),
        parts.trust(run),
        parts.how(run),
    )
    sections = [section for section in found if section is not None]
    for name, figure in parts.named_figures(sections).items():
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
