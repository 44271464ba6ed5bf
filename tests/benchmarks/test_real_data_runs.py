"""Running benchmarks: what is missing is said, what breaks costs nobody else, and the baselines come out."""

import re

import pytest

from benchmarks.real_data import __main__ as command
from benchmarks.real_data import registry
from benchmarks.real_data.gates import Row
from benchmarks.real_data.registry import Benchmark
from benchmarks.real_data.results import Results


def made_up(name, run, files=()):
    return Benchmark(name, "a set", files, 1.0, run)


def test_rows_get_seconds_command_and_commit(tmp_path, capsys):
    def run(report):
        report("epoch 1 [of 2]")
        return [Row("a", "a set", "p", "HR@10", 0.5, gate=">= .4"), Row("b", "a set", "p", "HR@10", 0.3, seconds=7.0)]

    rows, broken = command.run_all([made_up("both", run)], Results(tmp_path))
    assert broken == []
    assert [(row.name, row.passed, row.command) for row in rows] == [
        ("a", True, "python -m benchmarks.real_data --only both"),
        ("b", None, "python -m benchmarks.real_data --only both"),
    ]
    assert rows[0].seconds < 7.0 == rows[1].seconds and all(row.commit for row in rows)
    assert [row.name for row in Results(tmp_path).rows()] == ["a", "b"]
    assert "epoch 1 [of 2]" in capsys.readouterr().out


def test_missing_data_and_a_broken_benchmark_cost_nobody_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RECSIM_DATA", str(tmp_path))

    def breaks(report):
        raise RuntimeError("no luck")

    def never(report):
        raise AssertionError("was run without its data")

    works = made_up("works", lambda report: [Row("w", "a set", "p", "HR@10", 0.5)])
    missing = made_up("missing", never, files=("no/such.npz",))
    rows, broken = command.run_all([missing, made_up("breaks", breaks), works], Results(tmp_path / "results"))
    assert [row.name for row in rows] == ["w"] and broken == ["breaks"]
    said = capsys.readouterr().out
    assert re.search(r"missing: skipped, RECSIM_DATA names no folder with\s+no/such\.npz", said)
    assert "no luck" in said


def test_benchmarks_are_chosen_by_name_or_pattern():
    known = registry.benchmarks()
    assert {"popularity-ncf", "constant-coat"} <= known.keys()
    assert [entry.name for entry in registry.chosen(())] == list(known)
    assert {entry.name for entry in registry.chosen(("popularity-*", "constant-coat"))} == {
        name for name in known if name.startswith("popularity-") or name == "constant-coat"
    }
    with pytest.raises(ValueError, match=r"only must name benchmarks .* got 'svd'"):
        registry.chosen(("popularity-ncf", "svd"))
    with pytest.raises(ValueError, match="name must not be taken, got 'constant-coat'"):
        registry.benchmark("constant-coat", "Coat", (), 1.0)(lambda report: [])


BASELINES = {
    # Known independently of this code: published tables, or counts made by hand.
    "popularity-ncf": {("popularity-ncf", "HR@10"): 0.4535, ("popularity-ncf", "NDCG@10"): 0.2543},
    "popularity-ml-1m": {("popularity-ml-1m", "HR@10"): 0.0364, ("popularity-ml-1m", "NDCG@10"): 0.0179},
    "popularity-beauty": {
        ("popularity-with-test-beauty", "HR@10"): 0.0152,
        ("popularity-with-test-beauty", "NDCG@10"): 0.0068,
    },
    "popularity-lastfm": {
        ("popularity-with-test-lastfm", "HR@10"): 0.0440,
        ("popularity-with-test-lastfm", "NDCG@10"): 0.0203,
    },
    "constant-coat": {("constant-coat-mean", "MSE"): 1.692, ("constant-coat-snips", "MSE"): 1.556},
    "single-feature-mq2008": {("single-feature-mq2008", "MAP"): 0.4712},
}


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_come_out(name, tmp_path):
    entry = registry.benchmarks()[name]
    if entry.missing_files:
        pytest.skip("RECSIM_DATA names no folder with this data set")
    rows = command.run_one(entry, Results(tmp_path), "some commit")
    found = {(row.name, row.metric): row.ours for row in rows}
    for key, expected in BASELINES[name].items():
        assert found[key] == pytest.approx(expected, abs=5e-4), key
    assert not [row for row in rows if row.passed is False]
