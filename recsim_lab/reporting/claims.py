"""The report of claims put to the test: verdicts, intervals, and what each kind of negatives costs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recsim_lab.reporting.blocks import KeyNumber, KeyNumbers, Section, Table
from recsim_lab.reporting.figures.forest import forest
from recsim_lab.reporting.report import Provenance, write_figure, write_report
from recsim_lab.reporting.words import interval_words

ONLINE = "clicks_per_slate"


def write_claims_report(
    folder: Path, claims: pd.DataFrame, negatives: pd.DataFrame, provenance: Mapping[str, Any]
) -> Path:
    """Write `report.html` and `figures/` into the run's folder; returns the report's path.

    `claims` is the table of `recsim_lab.evaluation.claims`, `negatives` has a row for each kind of negatives with
    metrics and `seconds`; `provenance` is the content of the run's `config.json`.
    """
    online = claims[claims["measure"].str.endswith(ONLINE)]
    figure = forest(
        [f"{row.claim} ({row.where.partition(':')[0]})" for row in online.itertuples()],
        online["difference"].to_numpy(float),
        online["low"].to_numpy(float),
        online["high"].to_numpy(float),
        "difference in clicks per slate",
    )
    write_figure(folder / "figures" / "claims.svg", figure)
    counts = claims["verdict"].value_counts()
    numbers = KeyNumbers(
        tuple(
            KeyNumber(f"{counts.get(verdict, 0)} of {len(claims)}", verdict, meaning)
            for verdict, meaning in (
                ("confirmed", "the 95% interval lies above zero"),
                ("not confirmed", "the interval holds zero, or there is none"),
                ("contradicted", "the interval lies below zero"),
            )
        )
    )
    path = folder / "report.html"
    write_report(
        path,
        "What a lecture says of its models, put to the test",
        f"Of {len(claims)} claims {counts.get('confirmed', 0)} are confirmed, {counts.get('contradicted', 0)} "
        "contradicted; the others could not be told from chance.",
        [
            Section(
                "What it does to clicks",
                "Two agents learn from the same log and then serve the same users with the same luck; each dot is the "
                "mean difference over seeds of clicks per slate with its 95% interval, positive if the claim holds. "
                "For a ground, it is the difference of two such differences: in the world as it is, minus in the world "
                "without what the model was made for.",
                (numbers, figure),
            ),
            Section(
                "All claims",
                f"The intervals are of each claim by itself: of {len(claims)} claims that were false, one in forty "
                "would be called confirmed by chance. `Holm p` is corrected for that. Where the independent units are "
                "training seeds on one test set, the interval says how trainings come out there, and not what other "
                "test users would say.",
                (_claims_table(claims),),
            ),
            Section(
                "Kinds of negatives",
                "The same factor model on real ratings, trained against different negatives: quality, and what it "
                "costs to train.",
                (Table(negatives, "Means over training seeds.", {"seconds": ".1f", "ndcg@10": ".4f", "hr@10": ".4f"}),),
            ),
        ],
        Provenance.of_run(provenance, provenance["config"]["seeds"]),
    )
    return path


def _claims_table(claims: pd.DataFrame) -> Table:
    frame = pd.DataFrame(
        {
            "claim": claims["claim"],
            "verdict": claims["verdict"],
            "where": claims["where"],
            "measured": claims["measure"],
            "difference": claims["difference"],
            "95% interval": [interval_words(*ends, "+.4f") for ends in zip(claims["low"], claims["high"], strict=True)],
            "Holm p": claims["p_holm"],
            "independent units": claims["units"],
        }
    )
    return Table(frame, "Positive differences speak for the claim.", {"difference": "+.4f", "Holm p": ".3f"})
