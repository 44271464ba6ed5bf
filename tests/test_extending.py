"""docs/extending.md shows parts that are short, run as they stand, print what it says, and keep the laws."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from agents import registry
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.platform import Platform
from recsim_lab.simulation import presets
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_choice_model, check_dynamics, check_policy, check_world, planted_log
from tests.documents import ROOT, python_blocks, run_python

DOCUMENT = ROOT / "docs" / "extending.md"
NAMES = re.findall(r"^## .*: `(\w+)\.py`$", DOCUMENT.read_text(), flags=re.MULTILINE)
BLOCKS = python_blocks(DOCUMENT)
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def output(name: str) -> str:
    """What the document says that the file prints: the indented lines after its block."""
    after = DOCUMENT.read_text().split(BLOCKS[NAMES.index(name)])[1].split("\n## ")[0]
    return "\n".join(re.findall(r"^    (.*)$", after, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, as a reader would save them."""
    folder = tmp_path_factory.mktemp("mine")
    for name, block in zip(NAMES, BLOCKS, strict=True):
        (folder / f"{name}.py").write_text(block)
    return folder


@pytest.fixture(scope="module")
def parts(folder: Path) -> Iterator[dict[str, ModuleType]]:
    """The files, imported where tests check the shapes of what they hand to the lab."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield {name: importlib.import_module(name) for name in NAMES}
        for name in NAMES:
            del sys.modules[name]


def test_there_is_a_file_of_each_kind() -> None:
    assert NAMES == ["scrolled_grid", "mere_exposure", "short_videos", "creator_affinity", "beats_popularity"]


@pytest.mark.parametrize("block", BLOCKS, ids=NAMES)
def test_it_is_short(block: str) -> None:
    lines = block.splitlines()
    assert len(lines) < 40 and max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_prints_what_is_said(name: str, folder: Path) -> None:
    """The same words; numbers within a tenth, or .01, since other versions may round luck otherwise."""
    printed, told = run_python(f"{name}.py", folder=folder).strip(), output(name)
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", told)
    numbers, expected = ([float(number) for number in NUMBER.findall(text)] for text in (printed, told))
    assert numbers == pytest.approx(expected, rel=0.1, abs=0.011)


def test_the_choice_model_keeps_its_laws(parts: dict[str, ModuleType]) -> None:
    for columns in (1, 2, 3):
        check_choice_model(parts["scrolled_grid"].ScrolledGrid(columns, scroll=0.6), num_draws=45_000)


def test_the_dynamics_keeps_its_laws(parts: dict[str, ModuleType]) -> None:
    dynamics = parts["mere_exposure"].MereExposure(most=3.0, day_decay=0.5)
    check_dynamics(dynamics, replace(parts["short_videos"].short_videos(), dynamics=(dynamics,)))


def test_the_world_keeps_its_laws_and_stands_behind_gymnasium(parts: dict[str, ModuleType]) -> None:
    world = parts["short_videos"].short_videos(seed=1, num_users=50, num_items=60, num_creators=7)
    check_world(world)
    envs = SlateVectorEnv(3, world)
    envs.reset(seed=0)
    rewards = envs.step(envs.action_space.sample())[1]
    assert rewards.shape == (3,)


def test_the_agent_keeps_its_laws_and_finds_what_users_like(parts: dict[str, ModuleType]) -> None:
    make, world = parts["creator_affinity"].CreatorAffinity, parts["short_videos"].short_videos(num_users=200)
    platform = Platform(world, make())
    log = platform.run(days=3)
    check_agent(make, log)
    check_agent(make, planted_log())  # whose items have no creators
    agent, impersonal = make(affinity=2.0), make(affinity=0.0)
    assert agent.name == "creator-affinity:affinity=2"
    for each in (agent, impersonal):
        each.learn(log)
    requests = log.observations(np.arange(len(log) - 100, len(log)))
    check_policy(agent, requests, 5, draws_of(0, requests.user))
    ours, theirs = (platform.fork(each).run(days=6).clicks.sum() for each in (agent, impersonal))
    assert ours > 1.1 * theirs


def test_names_are_given_as_is_said(parts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"{presets.__name__}.short_videos", parts["short_videos"])
    monkeypatch.setitem(presets.PRESETS, "short-videos", ("short_videos", "short_videos"))
    assert presets.make_world("short-videos:num_users=100").population.num_users == 100
    monkeypatch.setitem(
        registry._AGENTS, "creator-affinity", registry._Entry(parts["creator_affinity"].CreatorAffinity)
    )
    for spec in ("creator-affinity:affinity=2", "creator-affinity:epsilon=0.1"):
        assert registry.make_agent(spec).name == spec


def test_the_scenario_leaves_a_whole_table(
    parts: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["beats_popularity", "--name", "tiny", "--seeds", "2", "--days", "1"])
    parts["beats_popularity"].main()
    run = tmp_path / "runs" / "beats_popularity" / "tiny"
    assert sorted(path.name for path in run.iterdir()) == ["clicks.csv", "clicks.parquet", "config.json"]
    assert json.loads((run / "config.json").read_text())["config"] == {"name": "tiny", "seeds": 2, "days": 1}
    clicks = pd.read_csv(run / "clicks.csv")
    assert list(clicks.columns) == ["creator-affinity", "popularity"] and (clicks > 0).all(axis=None)
