"""Running benchmarks: what is missing is said, what breaks costs nobody else, and the baselines come out."""

import re
import sys

import pytest

from benchmarks.real_data import __main__ as command
from benchmarks.real_data import registry
from benchmarks.real_data.gates import Row
from benchmarks.real_data.registry import Benchmark
from benchmarks.real_data.results import Results

NO_GATES = {}


@pytest.fixture(autouse=True)
def committed(monkeypatch):
    """As if nothing that matters differed from the commit, whatever is being worked on."""
    monkeypatch.setattr(command, "measured_commit", lambda: "abc1234")
    monkeypatch.setattr(command, "uncommitted", list)


def made_up(name, run, files=(), gates=NO_GATES):
    return Benchmark(name, "a set", files, 1.0, run, gates)


def test_rows_get_seconds_command_and_commit(tmp_path, capsys):
    def run(report):
        report("epoch 1 [of 2]")
        return [Row("a", "a set", "p", "HR@10", 0.5), Row("b", "a set", "p", "HR@10", 0.3, seconds=7.0)]

    rows, broken = command.run_all([made_up("both", run, gates={("a", "HR@10"): ">= .4"})], Results(tmp_path))
    assert broken == []
    assert [(row.name, row.passed, row.command) for row in rows] == [
        ("a", True, "python -m benchmarks.real_data --only both"),
        ("b", None, "python -m benchmarks.real_data --only both"),
    ]
    assert rows[0].seconds < 7.0 == rows[1].seconds and all(row.commit for row in rows)
    assert [row.name for row in Results(tmp_path).rows()] == ["a", "b"]
    assert "epoch 1 [of 2]" in capsys.readouterr().out


def test_a_gate_of_no_row_is_an_error_that_costs_no_rows(tmp_path):
    entry = made_up("one", lambda report: [Row("a", "a set", "p", "HR@10", 0.5)], gates={("b", "HR@10"): "> 0"})
    with pytest.raises(ValueError, match=r"gates of one must be of rows that it measures, got \[\('b', 'HR@10'\)\]"):
        command.run_one(entry, Results(tmp_path), "some commit")
    assert [row.name for row in Results(tmp_path).rows()] == ["a"]
    with pytest.raises(ValueError, match="gate must join"):
        made_up("two", lambda report: [], gates={("a", "HR@10"): "good"})


def test_nothing_is_kept_of_code_that_no_commit_holds(tmp_path, monkeypatch, capsys):
    entry = made_up("one", lambda report: [Row("a", "a set", "p", "HR@10", 0.5)], gates={("a", "HR@10"): ">= .4"})
    with pytest.raises(ValueError, match="rows to keep must be of a commit, got a of 'abc1234 with changes'"):
        command.run_one(entry, Results(tmp_path), "abc1234 with changes")
    assert Results(tmp_path).rows() == []
    (row,) = command.run_one(entry, None, "abc1234 with changes")
    assert row.passed and row.commit == "abc1234 with changes"

    ran = []
    monkeypatch.setattr(registry, "chosen", lambda only, kept: [entry])
    monkeypatch.setattr(command, "uncommitted", lambda: ["agents/new.py"])
    monkeypatch.setattr(command, "run_all", lambda benchmarks, results: ran.append(results) or ([row], []))
    monkeypatch.setattr(sys, "argv", ["real_data"])
    with pytest.raises(SystemExit) as refused:
        command.main()
    assert refused.value.code != 0 and not ran
    said = "".join(capsys.readouterr())
    assert "agents/new.py" in said and "--no-keep" in said
    monkeypatch.setattr(sys, "argv", ["real_data", "--no-keep"])
    with pytest.raises(SystemExit, match="0"):
        command.main()
    assert ran == [None]
    monkeypatch.setattr(command, "run_all", lambda benchmarks, results: ([], []))  # no data there
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "docs/data.md" in capsys.readouterr().out


def kept_rows():
    """The committed rows by the benchmark that measured them."""
    kept = {name: [] for name in registry.benchmarks()}
    for row in Results().rows():
        kept[row.command.removeprefix(f"{command.PROGRAM} --only ")].append(row)
    return kept


def seconds_of_run(rows):
    """One time for all rows is that of a seed; of several, the longest is the run's."""
    times = {row.seconds for row in rows}
    return max(times) * (max(row.num_seeds for row in rows) if len(times) == 1 else 1)


def test_kept_rows_have_the_gates_of_the_code():
    for name, rows in kept_rows().items():
        gates = {(row.name, row.metric): row.gate for row in rows if row.gate}
        assert gates == registry.benchmarks()[name].gates, name


def test_every_benchmark_has_been_run_and_kept():
    assert [name for name, rows in kept_rows().items() if not rows] == []


def test_minutes_are_those_of_the_kept_runs():
    for name, rows in kept_rows().items():
        took = max(seconds_of_run(rows) / 60, 0.1)  # the least that is said is a tenth of a minute
        assert took / 1.5 <= registry.benchmarks()[name].minutes <= 1.5 * took, (name, took)


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
    monkeypatch.delenv("RECSIM_DATA")
    command.run_all([missing], None)
    assert "RECSIM_DATA, which is not set, names no folder" in " ".join(capsys.readouterr().out.split())


def test_benchmarks_are_chosen_by_name_or_pattern():
    known = registry.benchmarks()
    assert {"popularity-ncf", "constant-coat"} <= known.keys()
    assert [entry.name for entry in registry.chosen(())] == list(known)
    assert {entry.name for entry in registry.chosen(("popularity-*", "constant-coat"))} == {
        name for name in known if name.startswith("popularity-") or name == "constant-coat"
    }
    kept = Results().rows()
    for row in ("mf-128-ncf", "mlp-128-ncf", "mf-mlp-n*"):
        assert [entry.name for entry in registry.chosen((row,), kept)] == ["mf-mlp-ncf"]
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
