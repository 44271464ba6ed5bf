"""A finding's verdict: in the band or not, and surely or not; and how a replication ends whose gate fails."""

import numpy as np
import pandas as pd
import pytest

from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.statistics import Interval
from scenarios.replications.findings import Finding, above, band_words, exactly, measured_words, reported, tell


@pytest.mark.parametrize(
    "measured, verdict",
    [
        (Interval(0.5, 0.4, 0.6), "holds"),
        (Interval(0.5, 0.2, 0.6), "holds, unsure"),
        (Interval(0.2, 0.1, 0.4), "fails, unsure"),
        (Interval(0.2, 0.1, 0.25), "fails"),
        (Interval(0.9, 0.8, 1.0), "fails"),
        (Interval(0.5, np.nan, np.nan), "holds"),
        (Interval(0.2, np.nan, np.nan), "fails"),
        (Interval(np.nan, np.nan, np.nan), "fails"),
    ],
)
def test_verdicts(measured, verdict):
    assert Finding("x", 0.5, 0.3, 0.7, measured).verdict == verdict


def test_a_bound_has_one_side_and_a_report_none():
    assert above("x", Interval(0.1, 0.05, 9.0)).verdict == "holds"
    assert above("x", Interval(0.1, -0.05, 9.0)).verdict == "holds, unsure"
    assert reported("x", Interval(0.1, 0.0, 0.2)).verdict == ""


@pytest.mark.parametrize("low, high, gate", [(1.0, 0.0, False), (np.nan, 1.0, False), (np.nan, np.nan, True)])
def test_bands_that_make_no_sense_are_refused(low, high, gate):
    with pytest.raises(ValueError, match="must"):
        Finding("x", 0.5, low, high, Interval(0.0, 0.0, 0.0), gate)


def test_bands_in_words():
    words = [band_words(*ends, ".1f") for ends in ((np.nan, np.nan), (0.0, np.inf), (-np.inf, 2.0), (0.0, 1.0))]
    assert [word.replace("\N{NO-BREAK SPACE}", " ") for word in words] == ["", "above 0.0", "below 2.0", "0.0 to 1.0"]


def test_an_estimate_in_words():
    assert measured_words(Interval(0.5, 0.25, 0.75), ".2f").replace("\N{NO-BREAK SPACE}", " ") == "0.50\n(0.25 to 0.75)"
    assert measured_words(Interval(0.5, np.nan, np.nan), ".2f") == "0.50"


HOLDING = (
    Finding("a gate", 0.5, 0.3, 0.7, exactly(0.5), gate=True, note="seen before"),
    Finding("no gate", 0.5, 0.3, 0.7, exactly(0.9)),
    reported("a report", exactly(0.9), note="seen before"),
)


def test_a_replication_whose_gates_hold_ends_well(tmp_path, capsys):
    tell(RunFolder(tmp_path), "Tiny", HOLDING)
    words = capsys.readouterr().out
    assert "gate not met" not in words
    assert "(gate, note 1)" in words and words.count("seen before") == 1
    assert pd.read_csv(tmp_path / "findings.csv")["note"].fillna("").tolist() == ["seen before", "", "seen before"]


@pytest.mark.parametrize(
    "measured, verdict",
    [(exactly(0.8), "fails"), (Interval(0.8, 0.6, 1.0), "fails, unsure"), (exactly(float("nan")), "fails")],
)
def test_a_replication_whose_gate_fails_says_which_and_ends_with_status_1(tmp_path, capsys, measured, verdict):
    failing = Finding("a gate [of two]", 0.5, 0.3, 0.7, measured, gate=True)
    with pytest.raises(SystemExit) as stopped:
        tell(RunFolder(tmp_path), "Tiny", [*HOLDING, failing])
    assert stopped.value.code == 1
    told = [line for line in capsys.readouterr().out.splitlines() if "gate not met" in line]
    assert told == [f"gate not met: a gate [of two] ({verdict})"]
    assert pd.read_csv(tmp_path / "findings.csv")["quantity"].tolist()[-1] == "a gate [of two]"
