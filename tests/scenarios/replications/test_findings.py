"""A finding's verdict: in the band or not, and surely or not."""

import numpy as np
import pytest

from recsim_lab.evaluation.statistics import Interval
from scenarios.replications.findings import Finding, above, band_words, reported


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
