"""The report of two stages: what each of them adds, where the loss comes from, and what it takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsim_lab.evaluation.statistics import mean_interval, paired_interval
from recsim_lab.reporting.blocks import Section, Table
from recsim_lab.reporting.figures.forest import forest
from recsim_lab.reporting.figures.losses import stacked_losses
from recsim_lab.reporting.report import Provenance, write_figure, write_report
from recsim_lab.reporting.words import interval_words

MEASURES = ("clicks_per_slate", "regret", "retrieval", "ranking")


def compared_arms(arms: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """A row for each arm, in order of appearance: means over seeds of `MEASURES` with 95% intervals, and the same for
    the differences to the baseline, which met the same users with the same luck in each seed.

    `arms` has a row for each arm and seed.

    Raises:
        ValueError: if the baseline is not among the arms.
    """
    if baseline not in set(arms["arm"]):
        raise ValueError(f"baseline must be one of {sorted(set(arms['arm']))}, got {baseline!r}")
    wide = {name: arms.pivot(index="seed", columns="arm", values=name) for name in MEASURES}
    rows = []
    for arm in dict.fromkeys(arms["arm"]):
        row: dict[str, Any] = {"arm": arm}
        for name, values in wide.items():
            own, other = values[arm].to_numpy(float), values[baseline].to_numpy(float)
            for ending, interval in (("", mean_interval(own)), ("_difference", paired_interval(own, other))):
                row[name + ending] = interval.estimate
                row[f"{name}{ending}_low"], row[f"{name}{ending}_high"] = interval.low, interval.high
        rows.append(row)
    return pd.DataFrame(rows)


def write_two_stage_report(
    folder: Path,
    compared: pd.DataFrame,
    recall: pd.DataFrame,
    latency: pd.DataFrame,
    baseline: str,
    provenance: Mapping[str, Any],
) -> Path:
    """Write `report.html` and `figures/` into the run's folder; returns the report's path.

    `compared` is made by `compared_arms`; `recall` and `latency` have a row for each arm, seed and retriever or stage.
    `provenance` is the content of the run's `config.json`.
    """
    config = provenance["config"]
    others = compared[compared["arm"] != baseline]
    gained = "clicks_per_slate_difference"
    gain, low, high = (others[gained + end].to_numpy(float) for end in ("", "_low", "_high"))
    gains = forest(list(others["arm"]), gain, low, high, f"difference in clicks per slate to {baseline}")
    retrieval, ranking = (np.maximum(compared[name].to_numpy(float), 0) for name in ("retrieval", "ranking"))
    parts = ("by retrieval", "by ranking")
    losses = stacked_losses(list(compared["arm"]), retrieval, ranking, parts, "Clicks per slate lost")
    for name, figure in (("gains", gains), ("losses", losses)):
        write_figure(folder / "figures" / f"{name}.svg", figure)
    sections = [
        Section(
            "What each stage adds",
            f"All arms learned from the same log and served the same users with the same luck; dots are mean "
            f"differences to `{baseline}` over {config['seeds']} seeds, paired, with 95% intervals.",
            (gains, _table(compared, "clicks_per_slate", "Clicks per slate online.")),
        ),
        Section(
            "Where the loss comes from",
            "At a share of the requests the lab compared, by the hidden truth, the expected clicks of three slates: "
            "the best of all items that could be shown, the best of the candidates, and the one that was shown. What "
            "lies between the first two was lost by retrieval, between the last two by ranking; an arm of one stage "
            "ranks everything, so that all its loss is the ranker's.",
            (losses, *(_table(compared, name, words) for name, words in _LOSSES.items())),
        ),
    ]
    if len(recall):
        shares = recall.pivot_table(index=["arm", "retriever"], values="recall", aggfunc="mean", sort=False)
        caption = f"Share of the {config['depth']} truly best items of a request that was found, means over seeds."
        sections.append(Section("What retrievers find", "", (Table(shares.reset_index(), caption, {"recall": ".3f"}),)))
    took = latency.pivot_table(index=["arm", "stage"], values="seconds", aggfunc="mean", sort=False).reset_index()
    sections.append(
        Section(
            "What it takes",
            "Measured on one batch of 1,000 requests, on a machine that may do other work.",
            (Table(took, "Seconds per 1,000 requests, means over seeds.", {"seconds": ".3f"}),),
        )
    )
    path = folder / "report.html"
    write_report(
        path,
        "What two stages add and what they lose",
        _lead(compared),
        sections,
        Provenance.of_run(provenance, provenance["config"]["seeds"]),
    )
    return path


_LOSSES = {
    "regret": "Expected clicks per slate below the best slate of all.",
    "retrieval": "Of it by retrieval: the best slate of the candidates is below the best of all.",
    "ranking": "Of it by ranking: the slate shown is below the best of the candidates.",
}


def _table(compared: pd.DataFrame, name: str, caption: str) -> Table:
    def words(start: str, specification: str) -> list[str]:
        ends = zip(compared[f"{start}_low"], compared[f"{start}_high"], strict=True)
        return [interval_words(low, high, specification) for low, high in ends]

    frame = pd.DataFrame(
        {
            "arm": compared["arm"],
            "mean": compared[name],
            "95% interval": words(name, ".3f"),
            "difference": compared[f"{name}_difference"],
            "its 95% interval": words(f"{name}_difference", "+.3f"),
        }
    )
    return Table(frame, caption, {"mean": ".3f", "difference": "+.3f"})


def _lead(compared: pd.DataFrame) -> str:
    staged = compared[compared["retrieval"] > 0]
    if staged.empty:
        return "No arm lost anything by retrieval."
    best = staged.loc[staged["clicks_per_slate"].idxmax()]
    lost = max(best["regret"], 1e-12)
    return (
        f"Of the arms of two stages, `{best['arm']}` earned most, {best['clicks_per_slate']:.3f} clicks per slate. "
        f"Of the {best['regret']:.3f} expected clicks that its slates lacked, {best['retrieval'] / lost:.0%} were lost "
        "by retrieval and the rest by ranking."
    )
