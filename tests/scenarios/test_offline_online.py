"""The main job from the command line: tables of the promised columns, a report, and a second run that only reads."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from recsim_lab.evaluation.sensitivity import NOTHING
from scenarios import offline_online
from scenarios.offline_online import PROFILES, Config, decay_plans, found_already, plan_of, sensitivity_plans

ATTRIBUTION_COLUMNS = (
    *("world", "logging_policy", "protocol", "offline_metric", "online_metric"),
    *("part", "value", "low", "high"),
)
STATISTICS = ("spearman", "kendall", "pearson", "pairwise_accuracy", "top1_regret")
OPTIONS = (
    "--worlds movielens:num_users=80,num_items=200 --logging-policies random "
    "--agents random popularity ease item-knn popularity:by=rate "
    "--seeds 1 --log-days 6 --test-days 2 --online-days 1 --num-bootstrap 20 --estimated-slates 60 --max-requests 200"
)


def run(folder: Path, *options: str) -> None:
    """The scenario as from the command line, in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["offline_online", *OPTIONS.split(), *options])
        offline_online.main()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    run(folder, "--num-workers", "1", "--retrain-every", "1")
    return folder


def test_tables_and_report_are_there(finished):
    results = finished / "runs" / "offline_online" / "demo"
    correlations, scores = pd.read_csv(results / "correlations.csv"), pd.read_csv(results / "scores.csv")
    expected = [
        "world",
        "logging_policy",
        "deployment",
        "num_retrainings",
        "agents",
        "protocol",
        "offline_metric",
        "online_metric",
    ]
    expected += [name + end for name in STATISTICS for end in ("", "_low", "_high")]
    assert list(correlations.columns) == [*expected, "ceiling", "num_agents", "num_seeds"]
    arms = scores[["world", "logging_policy", "agent", "seed", "deployment", "num_retrainings"]]
    assert not arms.duplicated().any()
    assert len(arms) == 3 * 5 + 1  # each agent frozen, refitted and retrained, and the oracle
    assert {"all", "without random", "between"} <= set(correlations["agents"])
    attribution = pd.read_csv(results / "attribution.csv")
    assert list(attribution.columns) == list(ATTRIBUTION_COLUMNS)
    total = attribution[attribution["part"] == "total"].set_index(["protocol", "offline_metric"])["value"]
    main = correlations.query("deployment == 'refit' and agents == 'all' and online_metric == 'clicks_per_slate'")
    agreement = main.set_index(["protocol", "offline_metric"])["spearman"]
    assert len(total) == 72
    pd.testing.assert_series_equal(total, 1 - agreement[total.index], check_names=False)
    for name in ("across", "sensitivity", "advice", "advice_over_worlds", "decay", "decisions"):
        assert (results / f"{name}.csv").exists()
    assert {"offline/temporal-full/ndcg@10", "offline/random-sampled100/auc", "online/regret"} <= set(scores.columns)
    pd.testing.assert_frame_equal(pd.read_parquet(results / "scores.parquet"), scores)
    page = (results / "report.html").read_text()
    assert page.count("<svg") >= 8 and "nan" not in page.replace("nance", "")
    config = json.loads((results / "config.json").read_text())
    assert config["config"]["log_days"] == 6 and {"versions", "commit", "command"} <= set(config)


def test_a_second_run_goes_on_from_the_first(finished, capsys, monkeypatch):
    monkeypatch.setattr(offline_online, "write_offline_online_report", lambda folder, *_: folder / "report.html")
    results = finished / "runs" / "offline_online" / "demo"
    before = {path.name: path.read_bytes() for path in results.glob("*.csv")}
    units = {path: path.stat().st_mtime_ns for path in (results / "units").rglob("*.json")}
    run(finished, "--num-workers", "1", "--retrain-every", "1")
    assert str(Path("runs/offline_online/demo/report.html")) in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in results.glob("*.csv")} == before
    assert {path: path.stat().st_mtime_ns for path in (results / "units").rglob("*.json")} == units
    with pytest.raises(SystemExit):
        run(finished, "--retrain-every", "2")
    told = capsys.readouterr().out
    assert "retrain_every" in told and "--name" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--worlds nope", "error: unknown preset 'nope'; there are everyday"),
        ("--agents nope", "error: agent must be one of random"),
        ("--agents mf:dim=x", "error: dim must be"),
        ("--test-days 9 --log-days 5", "error: test_days must be"),
        (
            "--sensitivity --light-agents ease --agents random mf",
            "error: sensitivity needs some of light_agents among agents: ease",
        ),
        ("--worlds everyday:num_users=9,num_items=3", "error: num_slots must be at most the items on offer"),
        ("--name ../elsewhere", "error: name must be a folder's name"),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, *options.split())
    assert stopped.value.code == 2 and message in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "runs").exists()


def test_logs_of_any_age_teach_as_many_days():
    standard = PROFILES["standard"]
    plans = decay_plans(standard)
    assert list(plans) == list(standard.decay_days) == [plan.log_days for plan in plans.values()]
    assert {plan.learn_days for plan in plans.values()} == {min(standard.decay_days)}
    assert {plan.logging_policies for plan in plans.values()} == {("mf", "random")}
    assert decay_plans(Config()) == {}


def test_what_the_study_has_found_is_not_run_again():
    """Where nothing is switched off, the light agents of the first world are those of the study; the log of random
    slates stands beside each other log."""
    standard = PROFILES["standard"]
    assert NOTHING not in sensitivity_plans(standard) and sensitivity_plans(Config()) == {}
    first = plan_of(standard).worlds[0]
    for name, plan in sensitivity_plans(standard).items():
        assert plan.agents == standard.light_agents and plan.rules == (name != "rules")
        assert plan.worlds[0].startswith(first) and (plan.worlds[0] == first) == (name == "rules")
    rows = [
        {"world": world, "logging_policy": logging, "agent": agent, "family": agent}
        for world in standard.worlds[:2]
        for logging in standard.logging_policies
        for agent in ("popularity", "sasrec", "oracle")
    ]
    found = found_already(standard, pd.DataFrame(rows))
    assert found[NOTHING]["agent"].tolist() == ["popularity", "popularity"]
    assert found[NOTHING]["world"].unique().tolist() == [first]
    (by_chance,) = found["popularity of logging"].to_dict("records")
    assert by_chance["logging_policy"] == "mf:epsilon=0.2" and by_chance["agent"] == "popularity"
