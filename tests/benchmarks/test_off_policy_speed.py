"""The speed figures of off-policy estimators are figures, and none of a refusal."""

import pytest

from benchmarks import off_policy


@pytest.mark.parametrize("measure", [off_policy.estimators, off_policy.pseudo_inverse])
def test_figures(measure):
    figures = list(measure(400))
    assert len({figure["name"] for figure in figures}) == len(figures) >= 2
    assert all(figure["unit"] == "s" and figure["value"] >= 0 and "400 slates" in figure["work"] for figure in figures)


def test_what_is_measured_is_an_estimate(monkeypatch):
    estimates = []
    monkeypatch.setattr(off_policy, "_figure", lambda name, run, work: estimates.append(run()) or {})
    for measure in (off_policy.estimators, off_policy.pseudo_inverse):
        list(measure(2000))
    assert len(estimates) == len(off_policy.ESTIMATORS) + 2
    assert [estimate.reason for estimate in estimates] == [""] * len(estimates)
