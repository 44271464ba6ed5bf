"""Gates mean what they say, rows survive the table, and a run replaces only its own rows."""

import json
import math
import subprocess

import pytest

from benchmarks.real_data.gates import COLUMNS, Gate, Row, judged, merged
from benchmarks.real_data.results import MACHINE, TABLE, Results, measured_commit, this_machine, uncommitted

OTHERS = {"mf-mlp": 0.7, "a.b:c=1": 0.2}


@pytest.mark.parametrize(
    "text, passing, failing",
    [
        (">= .715", [0.715, 1.0], [0.714, math.nan]),
        ("> .5", [0.51], [0.5, -1.0]),
        ("<= 1e-3", [0.001, -5.0], [0.0011]),
        ("< -1", [-1.5], [-1.0, math.nan]),
        (".055 to .066", [0.055, 0.06, 0.066], [0.0549, 0.0661, math.nan]),
        ("above mf-mlp", [0.71], [0.7, 0.1]),
        ("below a.b:c=1", [0.1], [0.2, 0.3]),
        (">= .6 and above mf-mlp", [0.8], [0.5, 0.65]),
        (">= .6 and < .7 and .62 to .64", [0.63], [0.59, 0.61, 0.7]),
    ],
)
def test_a_gate_means_what_it_says(text, passing, failing):
    gate = Gate(text)
    assert [gate.passed(value, OTHERS.get) for value in passing] == [True] * len(passing)
    assert [gate.passed(value, OTHERS.get) for value in failing] == [False] * len(failing)


def test_a_gate_without_an_answer():
    assert Gate("").passed(0.5, OTHERS.get) is None
    assert Gate("above nobody").passed(0.5, OTHERS.get) is None
    assert Gate("above nobody and >= .4").passed(0.5, OTHERS.get) is None
    assert Gate("above nobody and >= .6").passed(0.5, OTHERS.get) is False


@pytest.mark.parametrize("text", ["about .5", ">=.5", ">= .5, < .6", "above", "above Two Towers", ".5 to", "and", " "])
def test_what_is_no_gate_is_refused(text):
    with pytest.raises(ValueError, match=r"gate must join .* got"):
        Gate(text)
    with pytest.raises(ValueError, match="gate must join"):
        row(gate=text)


def row(name="mf", metric="HR@10", ours=0.5, **fields):
    return Row(name, "a set", "a protocol, with a comma", metric, ours, **fields)


def test_rows_of_seeds():
    found = Row.of_seeds("mf", "a set", "a protocol", "HR@10", [0.1, 0.2, 0.6], published=0.3, gate="> .2", seconds=5.0)
    assert (found.ours, found.num_seeds) == (pytest.approx(0.3), 3)
    assert found.ours_sd == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09) / 2))
    assert (found.published, found.gate, found.seconds) == (0.3, "> .2", 5.0)
    assert Row.of_seeds("mf", "a set", "a protocol", "HR@10", [0.1]).ours_sd is None
    with pytest.raises(ValueError, match="values must hold a value per seed, got none"):
        Row.of_seeds("mf", "a set", "a protocol", "HR@10", [])


def test_the_columns_are_the_announced_ones():
    announced = (
        "name, dataset, protocol, metric, ours, ours_sd, num_seeds, published, gate, passed, seconds, command, commit"
    )
    assert announced.split(", ") == COLUMNS


@pytest.mark.parametrize("passed", [None, True, False])
def test_a_row_survives_its_cells(passed):
    for full in (
        row(passed=passed),
        row(ours_sd=0.25, num_seeds=3, published=0.5, seconds=2.0, command="x", commit="y"),
    ):
        assert Row.from_cells(full.cells()) == full


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"name": "MF"}, "name must be of lower-case letters"),
        ({"metric": ""}, "metric must not be empty"),
        ({"num_seeds": 0}, "num_seeds must be at least 1, got 0"),
    ],
)
def test_a_wrong_row_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        row(**fields)


def test_new_rows_take_the_place_of_old_ones_of_their_name_and_metric():
    old = [row("a", "HR@10", 0.1), row("a", "NDCG@10", 0.2), row("b", "HR@10", 0.3)]
    found = merged(old, [row("c", "HR@10", 0.6), row("a", "HR@10", 0.4)])
    assert [(r.name, r.metric, r.ours) for r in found] == [
        ("a", "HR@10", 0.4),
        ("a", "NDCG@10", 0.2),
        ("b", "HR@10", 0.3),
        ("c", "HR@10", 0.6),
    ]
    with pytest.raises(ValueError, match="the only one of its name and metric, got two of a, HR@10"):
        merged([], [row("a", ours=0.1), row("a", ours=0.2)])
    with pytest.raises(ValueError, match="ours must not be infinite"):
        merged([], [row(ours=math.inf)])


def test_gates_on_other_rows_are_judged_again_when_those_change():
    mf = row("mf", ours=0.5, gate="above mlp")
    assert judged([mf])[0].passed is None
    assert judged([mf, row("mlp", "NDCG@10", 0.4)])[0].passed is None  # another metric
    rows = merged([mf], [row("mlp", ours=0.4)])
    assert rows[0].passed is True and rows[1].passed is None
    assert merged(rows, [row("mlp", ours=0.6)])[0].passed is False


def test_the_table_keeps_what_was_not_run(tmp_path):
    results = Results(tmp_path / "results")
    assert results.rows() == [] and results.machines() == {}
    assert results.keep([row("long", ours=0.5, gate=">= .4")], {"cpu": "one"})[0].passed is True
    new = results.keep([row("quick", ours=0.2, gate="above long")], {"cpu": "two"})
    assert [(r.name, r.passed) for r in new] == [("quick", False)]
    assert [r.name for r in results.rows()] == ["long", "quick"]
    assert results.machines() == {"long": {"cpu": "one"}, "quick": {"cpu": "two"}}
    assert sorted(file.name for file in (tmp_path / "results").iterdir()) == [TABLE, MACHINE]  # nothing half written
    assert (tmp_path / "results" / TABLE).read_text().splitlines()[0] == ",".join(COLUMNS)


def test_a_damaged_table_is_not_overwritten(tmp_path):
    results = Results(tmp_path)
    results.keep([row("long"), row("longer")], {})
    text = (tmp_path / TABLE).read_text().replace("longer,a set", "LONGER,a set")
    (tmp_path / TABLE).write_text(text)
    with pytest.raises(ValueError, match=r"real_data\.csv, line 3: name must be of lower-case letters"):
        results.keep([row("quick")], {})
    assert (tmp_path / TABLE).read_text() == text
    (tmp_path / TABLE).write_text("name,ours\nlong,1\n")
    with pytest.raises(ValueError, match=r"line 2: columns must be name, dataset, .* got name, ours"):
        results.rows()


def test_this_machine_can_be_written_down():
    found = json.loads(json.dumps(this_machine()))
    assert found["cpu"] and found["num_cores"] >= 1 and found["versions"]["numpy"]
    assert found["gpu"] is None or isinstance(found["gpu"], str)
    assert measured_commit()


def test_changes_that_matter_are_found(tmp_path):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    assert uncommitted(tmp_path) == []  # no checkout
    git("init")
    for name in ("agents/model.py", "docs/text.md", "benchmarks/results/real_data.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    git("add", ".")
    git("commit", "-m", "all")
    for name in ("docs/text.md", "benchmarks/results/real_data.csv"):
        (tmp_path / name).write_text("two")
    assert uncommitted(tmp_path) == []
    (tmp_path / "agents/model.py").write_text("two")
    (tmp_path / "benchmarks/new.py").write_text("one")
    assert sorted(uncommitted(tmp_path)) == ["agents/model.py", "benchmarks/new.py"]
