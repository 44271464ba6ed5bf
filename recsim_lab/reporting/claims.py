"""The report of claims put to the test: verdicts by kind of data, intervals, and what each kind of negatives costs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recsim_lab.reporting.blocks import Block, Details, Figure, KeyNumber, KeyNumbers, Section, Table
from recsim_lab.reporting.figures.forest import forest
from recsim_lab.reporting.report import Provenance, write_figure, write_report
from recsim_lab.reporting.words import interval_words, listed

ONLINE = "clicks_per_slate"


def write_claims_report(
    folder: Path, claims: pd.DataFrame, negatives: pd.DataFrame, texts: Mapping[str, str], provenance: Mapping[str, Any]
) -> Path:
    """Write `report.html` and `figures/` into the run's folder; returns the report's path.

    `claims` is the table of `recsim_lab.evaluation.claims`, with each claim's kind of `data` and its `p_holm`;
    `negatives` has a row for each kind of negatives with metrics and `seconds`. `texts` says of each kind of data what
    it is; `provenance` is the content of the run's `config.json`.
    """
    by_data = {str(data): rows for data, rows in claims.groupby("data", sort=False)}
    path = folder / "report.html"
    write_report(
        path,
        "What a lecture says of its models, put to the test",
        listed(
            [f"{_confirmed(rows)} of {len(rows)} comparisons confirm it on {data}" for data, rows in by_data.items()]
        )
        + f". Corrected for all {len(claims)} comparisons, {_confirmed(claims, corrected=True)} of "
        f"{_confirmed(claims)} still do.",
        [
            Section(
                "What came out",
                "Confirmed: the 95% interval of the difference lies above zero; contradicted: it lies below; not "
                "confirmed: it holds zero, which says that the data are too few or the difference small, and not that "
                "there is none. Each interval is of one comparison by itself: if no two models differed, about one in "
                "forty comparisons would be confirmed and one in forty contradicted. `Holm p` is corrected for all "
                "comparisons of this report, and alone stands beside a verdict that is lost by it.",
                (KeyNumbers(tuple(_key_number(data, rows) for data, rows in by_data.items())),),
                listed=False,
            ),
            *(
                Section(data[:1].upper() + data[1:], texts[data], _blocks(folder, rows))
                for data, rows in by_data.items()
            ),
            Section(
                "Kinds of negatives",
                "The same matrix factorisation on the MovieLens sample, trained against different negatives. Its "
                "settings were chosen with uniform ones, and the others were not tuned.",
                (_negatives_table(negatives),),
            ),
        ],
        Provenance.of_run(provenance, provenance["config"]["seeds"]),
    )
    return path


def _confirmed(claims: pd.DataFrame, corrected: bool = False) -> int:
    held = claims["verdict"] == "confirmed"
    return int((held & (claims["p_holm"] < 0.05)).sum() if corrected else held.sum())


def _key_number(data: str, claims: pd.DataFrame) -> KeyNumber:
    contradicted = int((claims["verdict"] == "contradicted").sum())
    return KeyNumber(
        f"{_confirmed(claims)} of {len(claims)}",
        f"confirmed on {data}",
        f"{_confirmed(claims, corrected=True)} of them corrected for all; {contradicted} contradicted",
    )


def _blocks(folder: Path, claims: pd.DataFrame) -> tuple[Block, ...]:
    """The verdicts, how each was measured, and first a figure of those that are about clicks."""
    told: tuple[Block, ...] = (_verdicts_table(claims), Details("How each was measured", (_measures_table(claims),)))
    online = claims[claims["measure"].str.contains(ONLINE)]
    return (_clicks_figure(folder, online), *told) if len(online) else told


def _clicks_figure(folder: Path, online: pd.DataFrame) -> Figure:
    figure = forest(
        online["claim"].tolist(),
        online["difference"].to_numpy(float),
        online["low"].to_numpy(float),
        online["high"].to_numpy(float),
        "difference in clicks per slate",
    )
    write_figure(folder / "figures" / "claims.svg", figure)
    return figure


def _verdicts_table(claims: pd.DataFrame) -> Table:
    alone = (claims["verdict"] != "not confirmed") & ~(claims["p_holm"] < 0.05)
    frame = pd.DataFrame(
        {
            "claim": claims["claim"],
            "verdict": claims["verdict"] + alone.map({True: ", alone", False: ""}),
            "difference": claims["difference"],
            "95% interval": [interval_words(*ends, "+.4f") for ends in zip(claims["low"], claims["high"], strict=True)],
            "Holm p": ["" if p != p else "<.001" if p < 0.001 else f"{p:.3f}" for p in claims["p_holm"]],
            "over": claims["units"].str.removesuffix(" on one test set"),
        }
    )
    return Table(
        frame,
        "Positive differences speak for the claim; intervals are over independent units of this number.",
        {"difference": "+.4f"},
    )


def _measures_table(claims: pd.DataFrame) -> Table:
    frame = claims[["claim", "where", "measure"]].rename(columns={"measure": "measured"})
    return Table(frame, "What was subtracted from what, in the names of agents that every command takes.")


def _negatives_table(negatives: pd.DataFrame) -> Table:
    return Table(
        negatives,
        "Means over training seeds and users. Seconds are those of a training beside others, one for each process.",
        {"seconds": ".1f", "ndcg@10": ".4f", "hr@10": ".4f"},
    )
