"""Observed and true accuracy: published values, closed forms, a slow twin, and the scenario from the command line."""

import sys

import numpy as np
import pandas as pd
import pytest

from scenarios.replications import true_accuracy
from scenarios.replications.true_accuracy import PUBLISHED, TOLERANCE, _first_unknown, simulate, top

NUM_DRAWS, STANDARD_ERRORS = 500, 4.5


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_values(kind):
    """Within .01 of the mean of many draws: of few, .01 and their own standard error."""
    values = simulate(NUM_DRAWS, 3_700, kind, np.random.default_rng(5))
    error = values.std(axis=0, ddof=1) / np.sqrt(NUM_DRAWS)
    assert (error < 0.015).all()
    assert (np.abs(values.mean(axis=0) - PUBLISHED[kind]) < TOLERANCE + STANDARD_ERRORS * error).all()


@pytest.mark.parametrize("kind, expected", [("observed", 0.2 / 8 / (1 - 0.8 / 4)), ("true", 0.5)])
def test_random_order_in_closed_form(kind, expected):
    """Expected earnings of an item over the chance that it is not known: (1 - .8) / 8 and 1/2 - 1/8, .8 / 4 and 1/4."""
    values = simulate(20_000, 60, kind, np.random.default_rng(6))[:, 0]
    assert abs(values.mean() - expected) < STANDARD_ERRORS * values.std() / np.sqrt(len(values))


def test_no_order_beats_the_best():
    for kind in PUBLISHED:
        values = simulate(50, 300, kind, np.random.default_rng(7))
        assert (values[:, 3] >= values.max(axis=1) - 1e-12).all()


def test_first_unknown_is_that_of_a_loop():
    earned, known, values = np.random.default_rng(8).random((3, 4, 9))
    expected = []
    for row in range(4):
        total, before = 0.0, 1.0
        for item in sorted(range(9), key=lambda item: -values[row, item]):
            total += earned[row, item] * before
            before *= known[row, item]
        expected.append(total)
    np.testing.assert_allclose(_first_unknown(earned, known, values), expected, rtol=1e-12)


def test_top_is_the_start_of_the_whole_order():
    values = np.random.default_rng(9).random((5, 40))
    np.testing.assert_array_equal(top(values, 7), np.argsort(-values, axis=1)[:, :7])
    np.testing.assert_array_equal(top(values, 40), np.argsort(-values, axis=1))


def test_the_command_writes_what_it_found(tmp_path, monkeypatch, capsys):
    options = "--draws 4 --items 50 --seeds 2 --world static:num_users=60,num_items=40,new_items_a_day=0,features=0"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["true_accuracy", *options.split()])
    with pytest.raises(SystemExit, match="1"):  # 50 items are not the published 3,700
        true_accuracy.main()
    folder = tmp_path / "runs" / "replications.true_accuracy" / "demo"
    findings, lab = pd.read_csv(folder / "findings.csv"), pd.read_csv(folder / "lab.csv")
    assert findings["gate"].sum() == 8 and len(findings) == 14 and findings["measured"].notna().all()
    # Nobody's first item is truly better than the perfect one.
    perfect = lab[lab["ranker"] == "perfect"].set_index(["seed", "discovery"])["true"]
    best = lab.groupby(["seed", "discovery"])["true"].max()
    np.testing.assert_allclose(best, perfect[best.index])
    words = capsys.readouterr().out
    assert "verdict" in words and "gate not met: observed P@1 of popularity" in words
