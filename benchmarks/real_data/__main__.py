"""`python -m benchmarks.real_data [--only NAME ...] [--list]`: measures, prints the table and keeps it.

The table is `benchmarks/results/real_data.csv`; `real_data_machine.json` beside it says what each name ran on.
"""

import os
import sys
import time
import traceback
from dataclasses import dataclass, replace
from typing import Annotated

import tyro
from rich.markup import escape

from benchmarks.real_data import registry
from benchmarks.real_data.gates import Row, judged
from benchmarks.real_data.registry import Benchmark
from benchmarks.real_data.results import Results, measured_commit, this_machine, uncommitted
from recsim_lab.reporting.words import listed
from scenarios.command_line import console, plain_errors, show_table

PROGRAM = "python -m benchmarks.real_data"


@dataclass(frozen=True)
class Config:
    """The models on real data, beside published numbers: prints a table and keeps it in benchmarks/results.

    Data sets are looked for in the folder that the environment variable RECSIM_DATA names. Exits with 1 if a gate was
    missed or a benchmark broke.
    """

    only: tuple[str, ...] = ()
    """Run these alone; patterns such as `popularity-*` and names of kept rows work. All without it."""
    keep: bool = True
    """Keep the rows, which has to be of committed code; without, print them and leave the kept ones as they are."""
    show: Annotated[bool, tyro.conf.arg(name="list"), tyro.conf.FlagCreatePairsOff] = False
    """Say what there is, and run nothing."""


def main() -> None:
    config = tyro.cli(Config, prog=PROGRAM)
    with plain_errors():
        benchmarks = registry.chosen(config.only, Results().rows())
        if config.show:
            show_benchmarks(benchmarks)
            return
        if config.keep and (changed := uncommitted()):  # at once, rather than after hours
            raise ValueError(
                f"rows to keep must be of committed code, got changes in {listed(changed, most=3)}; "
                "commit them, or pass --no-keep to measure without keeping"
            )
        rows, broken = run_all(benchmarks, Results() if config.keep else None)
        if not (rows or broken):
            raise ValueError("nothing was measured: see docs/data.md for where the data sets come from")
    if rows:
        show_rows(rows)
    missed = [row for row in rows if row.passed is False]
    for name in broken:
        console.print(f"[bold red]broke:[/bold red] {name}")
    for row in missed:
        console.print(f"[bold red]gate missed:[/bold red] {row.name} {row.metric} {row.ours:.4g}, gate {row.gate}")
    sys.exit(1 if missed or broken else 0)


def run_all(benchmarks: list[Benchmark], results: Results | None) -> tuple[list[Row], list[str]]:
    """Run one after the other and keep each one's rows at once; returns them and the names of those that broke.

    Without `results` nothing is kept, and gates on rows of other benchmarks are left open.
    """
    present = [entry for entry in benchmarks if not entry.missing_files]
    unset = "" if os.environ.get("RECSIM_DATA") else ", which is not set,"
    console.print(
        f"{len(present)} benchmarks, about {sum(entry.minutes for entry in present):.0f} minutes on two cores"
    )
    commit = measured_commit()  # of the code that has been loaded, whatever is edited meanwhile
    rows: list[Row] = []
    broken: list[str] = []
    for entry in benchmarks:
        if entry.missing_files:
            missing = ", ".join(entry.missing_files)
            console.print(f"[bold]{entry.name}[/bold]: skipped, RECSIM_DATA{unset} names no folder with {missing}")
            continue
        console.print(f"[bold]{entry.name}[/bold]: {entry.dataset}, about {entry.minutes:g} minutes")
        try:
            rows += run_one(entry, results, commit)
        except Exception:  # one that breaks must not cost the hours of those after it
            console.print(traceback.format_exc(), markup=False, highlight=False)
            broken.append(entry.name)
    return rows, broken


def run_one(entry: Benchmark, results: Results | None, commit: str) -> list[Row]:
    """Run a benchmark and keep its rows, each with its gate, seconds (its own, else the benchmark's), command, commit.

    Without `results` the rows are judged among themselves and not kept.

    Raises ValueError, when the rows are kept, if a gate is of none of them.
    """
    began = time.perf_counter()

    def report(text: str) -> None:
        console.print(f"  [dim]{time.perf_counter() - began:6.0f} s  {escape(text)}[/dim]", highlight=False)

    measured = entry.run(report)
    seconds = time.perf_counter() - began
    command = f"{PROGRAM} --only {entry.name}"
    complete = [
        replace(
            row,
            gate=entry.gates.get((row.name, row.metric), ""),
            seconds=seconds if row.seconds is None else row.seconds,
            command=command,
            commit=commit,
        )
        for row in measured
    ]
    kept = judged(complete) if results is None else results.keep(complete, this_machine())
    if unmeasured := entry.gates.keys() - {(row.name, row.metric) for row in kept}:
        raise ValueError(f"gates of {entry.name} must be of rows that it measures, got {sorted(unmeasured)}")
    return kept


def show_benchmarks(benchmarks: list[Benchmark]) -> None:
    rows: list[tuple[str, ...]] = [
        (entry.name, entry.dataset, f"{entry.minutes:g}", "missing" if entry.missing_files else "there")
        for entry in benchmarks
    ]
    show_table("Benchmarks on real data", ("name", "data set", "minutes", "data"), rows)


def show_rows(rows: list[Row]) -> None:
    show_table(
        "Measured on real data",
        ("name", "metric", "ours", "seeds", "published", "gate", "seconds"),
        [
            (
                row.name,
                row.metric,
                f"{row.ours:.4f}" + ("" if row.ours_sd is None else f" ± {row.ours_sd:.4f}"),
                str(row.num_seeds),
                "" if row.published is None else f"{row.published:.4f}",
                {True: "[green]passed[/green]: ", False: "[red]missed[/red]: ", None: ""}[row.passed] + row.gate,
                f"{row.seconds:.1f}",
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
