"""Every rung of the ladder from an offline number to the truth is computed again from the log and the weights: where
one mechanism changes, the numbers that rest on it move, and all others stay to the last bit."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recsim_lab.evaluation import cell
from recsim_lab.evaluation.estimates import PROTOCOL
from recsim_lab.evaluation.plan import EXPECTED, REPLICATE
from recsim_lab.evaluation.protocols import PopularityBalanced, RandomisedOnly, RandomSplit, Return, TrueChoice
from recsim_lab.evaluation.study import run_study
from recsim_lab.platform import Platform
from recsim_lab.policy import Policy
from tests.evaluation.test_study import FACTORIES, PLAN

SMALL = replace(PLAN, seeds=(0,), agents=("popularity",), retrain_every=0)
BY_RULES = tuple(
    p.prefix for p in SMALL.scoring if (p.rules and p.candidates.name != "slate") or p.target == TrueChoice()
)
BY_TRUTH = tuple(p.prefix for p in SMALL.scoring if p.target == TrueChoice())
BY_CHANCE = tuple(p.prefix for p in SMALL.scoring if isinstance(p.split, RandomSplit | PopularityBalanced))
ESTIMATED = f"offline/{PROTOCOL}"
UNKNOWN = tuple(p.prefix for p in SMALL.scoring if isinstance(p.split, RandomisedOnly) or p.target == Return())
"""Of these a log of five random days tells nothing about popularity."""


@dataclass(frozen=True)
class Changed:
    """What a mechanism's change does, and the beginnings of the columns that rest on it."""

    change: Callable[[Path, pytest.MonkeyPatch], dict[str, Any]]
    moves: tuple[str, ...]


def other_tastes(folder: Path, _: pytest.MonkeyPatch) -> dict[str, Any]:
    """What users wanted at the log's moments, which is the truth of labels."""
    (file,) = folder.rglob("moments.npz")
    with np.load(file) as arrays:
        state = dict(arrays)
    state["preference"] = state["preference"][:, ::-1]
    np.savez(file, **state)
    return {}


def other_rules(_: Path, __: pytest.MonkeyPatch) -> dict[str, Any]:
    """Offline evaluation is told of no rules, production keeps them."""
    return {"restrict": lambda observation, num_slots: observation}


def another_split(_: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Another random share of the slates is tested."""
    folds = RandomSplit.folds
    monkeypatch.setattr(RandomSplit, "folds", lambda split, log: folds(replace(split, seed=split.seed + 1), log))
    return {}


def other_tastes_at_the_end(_: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What users want when agents are deployed, as far as it is asked for in expectation."""
    expected = cell.expected_clicks

    def turned(platform: Platform, policy: Policy) -> float:
        twin = platform.fork(policy)
        state = twin.service.sessions.state
        state["preference"] = np.ascontiguousarray(state["preference"][:, ::-1])
        return expected(twin, policy)

    monkeypatch.setattr(cell, "expected_clicks", turned)
    return {}


def users_who_stay_the_same(_: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    follow = cell.follow

    def frozen(platform: Platform, *arguments: Any, **named: Any) -> Any:
        platform.service.sessions.world = platform.world = replace(platform.world, dynamics=())
        return follow(platform, *arguments, **named)

    monkeypatch.setattr(cell, "follow", frozen)
    return {}


def other_luck(_: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    fork = Platform.fork

    def forked(self: Platform, *arguments: Any, **named: Any) -> Platform:
        if named.get("luck") == REPLICATE:
            named["luck"] = "a third"
        return fork(self, *arguments, **named)

    monkeypatch.setattr(Platform, "fork", forked)
    return {}


CHANGES = {
    "labels": Changed(other_tastes, BY_TRUTH),
    "split": Changed(another_split, BY_CHANCE),
    "slates": Changed(other_tastes_at_the_end, (EXPECTED.rpartition("/")[0],)),
    "rules": Changed(other_rules, (*BY_RULES, ESTIMATED)),
    "users": Changed(users_who_stay_the_same, ("online", REPLICATE)),
    "luck": Changed(other_luck, (REPLICATE,)),
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("rungs")
    return folder, run_study(SMALL, FACTORIES, folder).scores


@pytest.mark.parametrize("what", [None, *CHANGES])
def test_one_mechanism_moves_what_rests_on_it(
    what: str | None, before: tuple[Path, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, scores = before
    folder = tmp_path / "again"
    shutil.copytree(finished, folder)
    for unit in folder.rglob("popularity*.json"):
        unit.unlink()
    cell._logged.cache_clear()
    change = None if what is None else CHANGES[what]
    parts = {} if change is None else change.change(folder, monkeypatch)
    again = run_study(SMALL, replace(FACTORIES, **parts), folder).scores.reindex(columns=scores.columns)
    cell._logged.cache_clear()
    agents = scores["agent"] == "popularity"
    columns = [name for name in scores if name.startswith(("offline/", "truth/", "online/", f"{REPLICATE}/"))]
    moved = [name for name in columns if not scores.loc[agents, name].equals(again.loc[agents, name])]
    rests = () if change is None else change.moves
    assert all(any(name.startswith(f"{beginning}/") for beginning in rests) for name in moved), moved
    for beginning in rests:
        known = [
            name for name in columns if name.startswith(f"{beginning}/") and scores.loc[agents, name].notna().any()
        ]
        assert set(known) & set(moved) if known else beginning in UNKNOWN, beginning
