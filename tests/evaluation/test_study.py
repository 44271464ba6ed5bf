"""The study runs a grid of worlds, agents and seeds, goes on where it was killed, and does not depend on workers."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.business_rules import RepeatRules
from agents.registry import family_of, make_agent, target_of
from recsim_lab.evaluation import study, units
from recsim_lab.evaluation.estimates import ESTIMATORS, estimators_table
from recsim_lab.evaluation.online import ONLINE_METRICS
from recsim_lab.evaluation.plan import Factories, Plan, Unit
from recsim_lab.evaluation.protocols import Click, Full, RandomisedOnly, Return, TemporalSplit, usual_protocols
from recsim_lab.evaluation.study import Tables, run_study
from recsim_lab.interaction_log import read_log
from recsim_lab.policy import TICKS_PER_DAY, Observation, Policy
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World
from recsim_lab.streams import draws_of

ROOT = Path(__file__).parents[2]


def _tiny_world(name: str, seed: int) -> World:
    everyday = make_world(name, seed=seed, num_users=60, num_items=80, num_slots=5, new_items_a_day=1, days=10)
    return replace(everyday, session_steps=4)


def _with_rules(policy: Policy) -> RepeatRules:
    return RepeatRules(policy)


def _restricted(observation: Observation, num_slots: int) -> Observation:
    return RepeatRules(make_agent("random")).apply(observation, num_slots)


FACTORIES = Factories(_tiny_world, make_agent, family_of, target_of, _with_rules, _restricted)
PLAN = Plan(
    worlds=("everyday",),
    agents=("popularity", "ease:regularization=50"),
    seeds=(0, 1),
    log_days=5,
    test_days=2,
    online_days=2,
    retrain_every=1,
    replicate=True,
    protocols=usual_protocols(2, num_sampled=10),
    cutoffs=(1, 5),
    max_requests=100,
    estimated_slates=100,
)
SCRIPT = """
import sys
from multiprocessing import active_children
from pathlib import Path
from tests.evaluation.test_study import FACTORIES, PLAN
from tests.killed import die
from recsim_lab.evaluation.study import run_study


def die_after_the_first(*_: object) -> None:
    (Path(sys.argv[1]) / "workers").write_text(" ".join(str(worker.pid) for worker in active_children()))
    die()


if __name__ == "__main__":
    progress = die_after_the_first if sys.argv[2:] else None
    for name, table in vars(run_study(PLAN, FACTORIES, Path(sys.argv[1]), 2, progress)).items():
        table.to_parquet(Path(sys.argv[1]) / f"{name}.parquet")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def tables(folder: Path) -> Tables:
    return run_study(PLAN, FACTORIES, folder)


def _assert_same(first: Tables, second: Tables) -> None:
    for name, table in vars(first).items():
        pd.testing.assert_frame_equal(table, getattr(second, name), check_exact=True)


def test_there_is_a_row_for_each_agent_seed_and_deployment(tables: Tables) -> None:
    scores, daily = tables.scores, tables.daily
    keys = ["world", "logging_policy", "agent", "seed", "deployment"]
    assert not scores.duplicated(keys).any()
    found = set(scores[["agent", "seed", "deployment"]].itertuples(index=False, name=None))
    agents = {
        (agent, seed, how) for agent in PLAN.agents for seed in (0, 1) for how in ("frozen", "refit", "retrained")
    }
    assert found == agents | {("oracle", 0, "frozen"), ("oracle", 1, "frozen")}
    assert set(scores["family"]) == {"popularity", "ease", "oracle"}
    # What would be learned at the end of the last day would serve nobody.
    assert (scores["num_retrainings"] == np.where(scores["deployment"] == "retrained", 1, 0)).all()
    assert (daily.groupby([*keys]).size() == PLAN.online_days).all()
    assert set(daily["day"]) == {5, 6}


def test_every_protocol_and_every_online_metric_is_there(tables: Tables) -> None:
    scores = tables.scores
    agents = scores[scores["family"] != "oracle"]
    ranking = {"hr@1", "recall@5", "precision@5", "ndcg@5", "dcg@5", "mrr@5", "map@5", "auc"}
    for protocol in PLAN.protocols:
        columns = agents.filter(regex=f"^{protocol.prefix}/")
        names = {name.rpartition("/")[2] for name in columns}
        known = agents["deployment"] != "frozen"
        if isinstance(protocol.split, (TemporalSplit, RandomisedOnly)):
            known[:] = True
        if protocol.candidates.name == "slate" and protocol.target != Return():
            assert names == {"auc", "ndcg@5", "ndcg@10", "auc_pooled", "log_loss", "rmse", "calibration_error"}
            continue
        # Five days are too short to see who returns within seven.
        if protocol.target != Return():
            assert names > ranking, protocol.name
            assert columns[known].map(lambda value: 0 <= value < 12).all(axis=None), protocol.name
            of_lists = protocol.candidates == Full() and protocol.target == Click()
            assert ({"coverage@5", "novelty@5", "diversity@5"} <= names) == of_lists, protocol.name
        assert columns[~known].isna().all(axis=None), protocol.name
    assert {f"replicate/{name}" for name in ONLINE_METRICS} <= set(scores)
    assert agents.loc[agents["deployment"] != "retrained", "replicate/clicks_per_slate"].notna().all()
    assert (agents["replicate/clicks_per_slate"] != agents["online/clicks_per_slate"]).all()
    assert not any(
        c.startswith("offline/") for c in scores if scores.loc[scores["family"] == "oracle", c].notna().any()
    )
    for metric in ONLINE_METRICS:
        assert scores[f"online/{metric}"].notna().all(), metric


def test_every_protocol_is_told_in_words_with_its_requests(tables: Tables, folder: Path) -> None:
    table = tables.protocols
    assert len(table) == len(PLAN.protocols) * len(PLAN.seeds)
    words = dict(zip(table["reads"] + "/" + table["protocol"], table["words"], strict=True))
    assert words == {protocol.prefix: protocol.said for protocol in PLAN.protocols}
    assert not any("rules" in words[p.prefix] for p in PLAN.protocols if p.candidates.name == "slate")
    log = read_log(folder / "units" / "everyday" / "random" / "seed=1" / "platform" / "log")
    requests = table[table["seed"] == 1].set_index("protocol")["num_requests"]
    late = log.clicks[log.day >= PLAN.log_days - PLAN.test_days].any(axis=1)
    assert requests["temporal-slate"] == late.sum()
    assert (requests["temporal-full"] == min(late.sum(), PLAN.max_requests)).all()
    assert (requests["last-out-full"] == min(len(np.unique(log.user[log.clicks.any(axis=1)])), PLAN.max_requests)).all()
    liked = log.likes[log.day >= PLAN.log_days - PLAN.test_days].any(axis=1)
    assert requests["temporal-slate-like"] == liked.sum() < late.sum()


def test_each_estimator_has_a_row_with_a_value_or_a_reason(tables: Tables) -> None:
    estimates, scores = tables.estimates, tables.scores
    assert len(estimates) == len(PLAN.agents) * len(PLAN.seeds) * len(ESTIMATORS)
    assert (estimates["value"].isna() == (estimates["reason"] != "")).all()
    assert estimates["truth"].between(0.01, 2).all()
    known = estimates[estimates["reason"] == ""]
    assert {"direct", "ips", "snips", "dr"} <= {name.partition(":")[0] for name in known["estimator"]}
    summary = estimators_table(estimates).set_index("estimator")
    assert list(summary.index) == [estimator.name for estimator in ESTIMATORS]
    of_one = estimates[estimates["estimator"] == "direct"]
    error = of_one["value"] / of_one["truth"] - 1
    assert summary.loc["direct", "mean_absolute_error"] == pytest.approx(error.abs().mean())
    refused = estimates.groupby("estimator")["value"].apply(lambda values: values.isna().mean())
    pd.testing.assert_series_equal(summary["refused"], refused[summary.index], check_names=False)
    row = known.iloc[0]
    same = (scores["agent"] == row["agent"]) & (scores["seed"] == row["seed"])
    assert (scores.loc[same, f"offline/off-policy/{row['estimator']}"] == row["value"]).all()


def test_deployments_share_their_offline_scores(tables: Tables) -> None:
    scores = tables.scores
    offline = [c for c in scores if c.startswith("offline/")]
    agents = scores[scores["family"] != "oracle"]
    assert (agents.groupby(["agent", "seed"])[offline].nunique() <= 1).all(axis=None)
    assert (agents.groupby("agent")[offline].nunique() > 1).any(axis=None)


def test_what_slates_earn_of_frozen_users_is_near_what_they_earn(tables: Tables) -> None:
    """In expectation before anyone answered, and with luck and changing users: two days of 60 users."""
    scores = tables.scores
    agents = scores[(scores["family"] != "oracle") & (scores["deployment"] != "retrained")]
    ratio = agents["truth/frozen-users/expected_clicks"] / agents["online/clicks_per_slate"]
    assert ratio.between(0.5, 2).all()
    assert agents.groupby(["agent", "seed"])["truth/frozen-users/expected_clicks"].nunique().max() == 2


def test_the_oracle_earns_most_and_regrets_nothing(tables: Tables) -> None:
    scores = tables.scores
    means = scores.groupby("family")[["online/clicks_per_slate", "online/regret"]].mean()
    assert means["online/clicks_per_slate"].idxmax() == "oracle"
    assert (scores.loc[scores["family"] == "oracle", "online/regret"] == 0).all()


def test_a_finished_study_is_read_back(tables: Tables, folder: Path) -> None:
    done: list[int] = []
    again = run_study(PLAN, FACTORIES, folder, progress=lambda unit, now, _: done.append(now))
    assert done == [2, 8]  # the logs and the rest are found done, and nothing is done again
    _assert_same(tables, again)


def test_missing_units_are_done_again(tables: Tables, folder: Path) -> None:
    missing = [Unit("everyday", 0, "oracle"), Unit("everyday", 1, PLAN.agents[1])]
    for unit in missing:
        (folder / "units" / unit.file_name).unlink()
    done: list[tuple[Unit, int, int]] = []
    again = run_study(PLAN, FACTORIES, folder, progress=lambda *now: done.append(now))
    assert [now[1:] for now in done] == [(2, 8), (6, 8), (7, 8), (8, 8)]
    assert [now[0] for now in done[2:]] == missing
    _assert_same(tables, again)


def test_a_killed_study_goes_on_to_the_same_tables_with_two_workers(tables: Tables, tmp_path: Path) -> None:
    """Killed when the first log is there and the other is not, then run to the end. One worker made `tables`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = tmp_path / "study_script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "study")]
    run = subprocess.run([*command, "die"], env=environment, cwd=ROOT)
    assert run.returncode == -signal.SIGKILL
    workers = [int(worker) for worker in (tmp_path / "study" / "workers").read_text().split()]
    assert len(workers) == 2
    # Workers that live on would write beside the run that goes on.
    deadline = time.monotonic() + 20
    while any(map(_is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(_is_alive, workers))
    assert not (tmp_path / "study" / "scores.parquet").exists()
    subprocess.run(command, env=environment, cwd=ROOT, check=True)
    found = {name: pd.read_parquet(tmp_path / "study" / f"{name}.parquet") for name in vars(tables)}
    _assert_same(tables, Tables(**found))


def _is_alive(pid: int) -> bool:
    """Whether the process runs (Linux)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"agents": ()}, "agents must hold at least one, got none"),
        ({"seeds": ()}, "seeds must hold at least one, got none"),
        ({"worlds": ()}, "worlds must hold at least one, got none"),
        ({"test_days": 40}, "test_days must be at least 1 and less than log_days, got 40 of 40"),
        ({"test_days": 0}, "test_days must be at least 1 and less than log_days, got 0 of 40"),
        ({"learn_days": 8}, r"learn_days must be more than test_days \(8\) and at most log_days \(40\) or None, got 8"),
        ({"learn_days": 41}, "learn_days must be more than test_days .* got 41"),
        ({"online_days": 0}, "online_days must be at least 1, got 0"),
        ({"agents": ("ease", "mf", "ease")}, "agents must be distinct, got 'ease' more than once"),
        ({"seeds": (3, 3)}, "seeds must be distinct, got 3 more than once"),
        ({"worlds": ("static", "static")}, "worlds must be distinct, got 'static' more than once"),
        ({"references": ("delphi",)}, "references must be among oracle,.*got delphi"),
    ],
)
def test_a_wrong_plan_is_named(wrong: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"worlds": ("everyday",), "agents": ("random",), "seeds": (0,)} | wrong
    with pytest.raises(ValueError, match=message):
        Plan(**arguments)  # type: ignore[arg-type]


def test_an_unknown_agent_or_world_stops_the_study(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are everyday"):
        run_study(Plan(("nowhere",), ("random",), (0,), log_days=2, test_days=1), FACTORIES, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agents": ("popularity", "popularty")}, "agent must be one of .*got 'popularty'"),
        ({"agents": ("popularity", "mf:dim=0")}, "dim must be at least 1, got 0"),
        ({"logging_policies": ("random", "randon")}, "agent must be one of .*got 'randon'"),
    ],
)
def test_a_typo_costs_nothing(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    def unused(name: str, seed: int) -> World:
        raise AssertionError("no world may be made before all agents can be")

    with pytest.raises(ValueError, match=message):
        run_study(replace(PLAN, **change), replace(FACTORIES, world=unused), tmp_path)


def test_after_an_error_the_rest_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Unit] = []

    def fail(unit: Unit, **_: object) -> None:
        begun.append(unit)
        time.sleep(0.1)
        raise ZeroDivisionError

    monkeypatch.setattr(study, "run_unit", fail)
    monkeypatch.setattr(units, "ProcessPoolExecutor", lambda num_workers, **_: ThreadPoolExecutor(num_workers))
    with pytest.raises(ZeroDivisionError):
        run_study(replace(PLAN, seeds=tuple(range(30))), FACTORIES, tmp_path, num_workers=2)
    assert len(begun) < 10


def test_another_plan_does_not_take_over_results(tables: Tables, folder: Path) -> None:
    other = replace(PLAN, log_days=6, cutoffs=(1, 10))
    with pytest.raises(ValueError, match=r"another plan \(different: cutoffs, log_days\); use another folder"):
        run_study(other, FACTORIES, folder)
    _assert_same(tables, run_study(PLAN, FACTORIES, folder, num_workers=2))


def test_another_agent_is_run_and_what_was_done_stays(tables: Tables, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "more")
    ran: list[Unit] = []
    more = replace(PLAN, agents=(*PLAN.agents, "random"))
    found = run_study(more, FACTORIES, tmp_path / "more", 1, lambda unit, done, total: ran.append(unit))
    # The first two calls tell of logs and units that were found.
    assert [unit.agent for unit in ran[-2:]] == ["random", "random"] and len(ran) == 4
    old = found.scores[found.scores["agent"] != "random"].reset_index(drop=True)
    pd.testing.assert_frame_equal(old[tables.scores.columns], tables.scores)
    with pytest.raises(ValueError, match=r"another plan \(different: online_days\);"):
        run_study(replace(more, online_days=3), FACTORIES, tmp_path / "more")


def test_agents_do_not_depend_on_who_else_takes_part(tables: Tables, tmp_path: Path) -> None:
    """So a smaller study may be read off a larger one."""
    fewer = replace(PLAN, agents=PLAN.agents[:1], seeds=(0,), references=(), retrain_every=0)
    alone = run_study(fewer, FACTORIES, tmp_path).scores
    scores = tables.scores
    same = (scores["agent"] == PLAN.agents[0]) & (scores["seed"] == 0) & (scores["deployment"] != "retrained")
    pd.testing.assert_frame_equal(alone, scores[same].reset_index(drop=True)[alone.columns], check_exact=True)


def test_the_logging_policy_learns_every_night(tmp_path: Path) -> None:
    """Each slate of the last day is what the policy shows that has learned from all days before."""
    plan = replace(PLAN, agents=("random",), seeds=(0,), logging_policies=("popularity",), references=())
    run_study(plan, FACTORIES, tmp_path)
    log = read_log(tmp_path / "units" / "everyday" / "popularity" / "seed=0" / "platform" / "log")
    agent = make_agent("popularity")
    agent.learn(log.take(log.day < 4))
    requests = log.observations(np.flatnonzero(log.day == 4))
    expected = _with_rules(agent).recommend(requests, log.num_slots, draws_of(0, requests.user))
    np.testing.assert_array_equal(log.slate[log.day == 4], expected.items)
    assert not np.array_equal(
        expected.items,
        _with_rules(make_agent("popularity")).recommend(requests, log.num_slots, draws_of(0, requests.user)).items,
    )


def test_agents_learn_from_and_are_tested_on_the_last_days_alone(tmp_path: Path) -> None:
    read: dict[str, list[tuple[int, int]]] = {"learn": [], "test": []}
    plan = replace(PLAN, agents=("popularity",), seeds=(0,), references=(), learn_days=3, estimated_slates=50)

    def agent(spec: str, seed: int) -> Policy:
        made = make_agent(spec, seed)
        if spec == "popularity":
            learn = made.learn
            made.learn = lambda log: (read["learn"].append((log.day.min(), log.day.max())), learn(log))  # type: ignore
        return made

    def restrict(observation: Observation, num_slots: int) -> Observation:
        read["test"].append((observation.tick.min() // TICKS_PER_DAY, observation.tick.max() // TICKS_PER_DAY))
        return _restricted(observation, num_slots)

    run_study(plan, replace(FACTORIES, agent=agent, restrict=restrict), tmp_path)
    assert min(first for first, _ in read["learn"]) == min(first for first, _ in read["test"]) == 2
    assert {(2, 2), (2, 4)} <= set(read["learn"]), "frozen agents learn before the test, others from its days too"
