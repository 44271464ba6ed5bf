"""What was published beside what was measured: a row for each quantity, and whether it holds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich.markup import escape

from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.statistics import Interval
from recsim_lab.reporting.words import interval_words
from scenarios.command_line import console, show_table


@dataclass(frozen=True)
class Finding:
    """A quantity that was published, and ours.

    It holds if the estimate is in [`low`, `high`], the band that was accepted before anything was measured; an end that
    is infinite bounds nothing, and without a band (NaN) the quantity is reported alone. `gate` marks those that must
    hold for the rest to mean anything. A `note` says what a reader must know to trust the row.
    """

    quantity: str
    published: float
    low: float
    high: float
    measured: Interval
    gate: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if np.isnan(self.low) != np.isnan(self.high) or self.low > self.high:
            raise ValueError(f"low must be at most high, or both NaN, got {self.low} and {self.high}")
        if self.gate and np.isnan(self.low):
            raise ValueError(f"gate must have a band, got none for {self.quantity!r}")

    @property
    def holds(self) -> bool:
        """Whether the estimate is in the band; never so without one."""
        return bool(self.low <= self.measured.estimate <= self.high)

    @property
    def verdict(self) -> str:
        """Whether it holds, and whether the interval leaves room for doubt; empty without a band."""
        if np.isnan(self.low):
            return ""
        ends = (self.measured.low, self.measured.high)
        inside = [self.low <= end <= self.high for end in ends]
        # Outside for sure where the whole interval lies on one side of the band.
        beyond = ends[1] < self.low or ends[0] > self.high
        sure = bool(np.isnan(ends).any()) or (all(inside) if self.holds else beyond)
        return ("holds" if self.holds else "fails") + ("" if sure else ", unsure")

    def row(self) -> dict[str, float | str | bool]:
        """One row of `findings.csv`."""
        return {
            "quantity": self.quantity,
            "published": self.published,
            "accepted_low": self.low,
            "accepted_high": self.high,
            "measured": self.measured.estimate,
            "low": self.measured.low,
            "high": self.measured.high,
            "gate": self.gate,
            "verdict": self.verdict,
            "note": self.note,
        }


def exactly(value: float) -> Interval:
    """A value that no luck was in."""
    return Interval(value, value, value)


def above(quantity: str, measured: Interval, published: float = float("nan"), bound: float = 0.0) -> Finding:
    """The finding that a quantity exceeds a bound."""
    return Finding(quantity, published, bound, float("inf"), measured)


def reported(quantity: str, measured: Interval, published: float = float("nan"), note: str = "") -> Finding:
    """A quantity of which nothing is asked."""
    return Finding(quantity, published, float("nan"), float("nan"), measured, note=note)


def tell(run: RunFolder, title: str, findings: Sequence[Finding], form: str = ".3f") -> None:
    """Write `findings.csv`, and print it: the last that a replication does.

    Raises:
        SystemExit: with status 1 if a gate fails, after saying which.
    """
    run.write_table("findings", pd.DataFrame([finding.row() for finding in findings]))
    notes = list(dict.fromkeys(finding.note for finding in findings if finding.note))
    show_table(
        title,
        ("quantity", "published\n(accepted)", "measured\n(95% interval)", "verdict"),
        [
            (
                finding.quantity + _marks(finding, notes),
                _two_lines(finding.published, band_words(finding.low, finding.high, form), form),
                measured_words(finding.measured, form),
                finding.verdict.replace(", ", ",\n"),
            )
            for finding in findings
        ],
    )
    for number, note in enumerate(notes, 1):
        console.print(f"note {number}: {escape(note)}")
    console.print(f"tables: {run.path}")
    failed = [finding for finding in findings if finding.gate and not finding.holds]
    for finding in failed:
        told = f"{escape(finding.quantity)} ({finding.verdict})"
        console.print(f"[bold red]gate not met:[/bold red] {told}", soft_wrap=True)
    if failed:
        raise SystemExit(1)


def band_words(low: float, high: float, form: str) -> str:
    """A band of acceptance in words."""
    if np.isnan(low):
        return ""
    if np.isinf(high):
        return f"above {low:{form}}"
    return f"below {high:{form}}" if np.isinf(low) else interval_words(low, high, form)


def measured_words(measured: Interval, form: str) -> str:
    """An estimate, and below it the ends of its interval where there are any."""
    ends = "" if np.isnan(measured.low) else interval_words(measured.low, measured.high, form)
    return _two_lines(measured.estimate, ends, form)


def _marks(finding: Finding, notes: Sequence[str]) -> str:
    marks = ["gate"] if finding.gate else []
    marks += [f"note {notes.index(finding.note) + 1}"] if finding.note else []
    return f" ({', '.join(marks)})" if marks else ""


def _two_lines(value: float, within: str, form: str) -> str:
    number = "" if np.isnan(value) else f"{value:{form}}"
    return "\n".join(line for line in (number, f"({within})" if within else "") if line)
