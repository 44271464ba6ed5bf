"""A run that is killed at any moment goes on where it stopped, and ends with the same log and figures."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.baselines import Random
from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy
from agents.registry import make_agent
from recsim_lab.interaction_log import InteractionLog, read_log
from recsim_lab.platform import Platform, Retraining
from recsim_lab.policy import (
    TICKS_PER_DAY,
    Agent,
    Observation,
    Policy,
    Probabilities,
    Recommendation,
    deterministic,
    top_items,
)
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.feedback import ClicksOnly
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws
from tests.killed import interrupted_at

SameLog = Callable[[InteractionLog, InteractionLog], None]
ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy
from agents.registry import make_agent
from recsim_lab.platform import Platform, Retraining
from recsim_lab.simulation.presets import make_world
from tests.killed import die_on_day

spec, folder, days = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
if sys.argv[4:]:
    die_on_day(int(sys.argv[4]), float(sys.argv[5]))
world = make_world("everyday", num_users=60, num_items=80, num_slots=5, new_items_a_day=2, days=20)
policy = RepeatRules(EpsilonGreedy(make_agent(spec), 0.2))
platform = Platform(world, policy, seed=6, retraining=Retraining(1, delay_days=1), folder=folder)
platform.run(days)
platform.daily().to_parquet(folder / "daily.parquet")
"""


def _policy(spec: str) -> Policy:
    return RepeatRules(EpsilonGreedy(make_agent(spec), 0.2))


@pytest.mark.parametrize(("spec", "days_of_death"), [("ease", (1, 3)), ("mf:dim=4,epochs=2", (2,))])
def test_a_killed_run_goes_on_to_the_same_end(
    tmp_path: Path, assert_same_log: SameLog, spec: str, days_of_death: tuple[int, ...]
) -> None:
    num_days = 6
    luck = random.Random(spec)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

    def run(folder: Path, *death: str) -> int:
        command = [sys.executable, "-c", SCRIPT, spec, str(folder), str(num_days), *death]
        return subprocess.run(command, env=environment).returncode

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole) == 0
    for day in days_of_death:
        assert run(killed, str(day), str(luck.uniform(0, 0.1))) == -signal.SIGKILL
        assert (killed / "latest").read_text() == f"day={day}"
    assert run(killed) == 0

    assert_same_log(read_log(whole / "log"), read_log(killed / "log"))
    daily = [pd.read_parquet(folder / "daily.parquet") for folder in (whole, killed)]
    pd.testing.assert_frame_equal(*daily)


def test_a_run_that_stops_at_any_file_goes_on_to_the_same_end(
    world: World, tmp_path: Path, assert_same_log: SameLog
) -> None:
    """Every file is moved to its place in the end, so stopping at each move is stopping everywhere."""
    world = replace(world, session_steps=2)
    plan: dict[str, Any] = {"seed": 6, "retraining": Retraining(1, delay_days=1)}
    num_days = 2
    whole = Platform(world, _policy("ease"), folder=tmp_path / "whole", **plan)
    log = whole.run(num_days)
    stopped = 0
    while True:
        folder = tmp_path / str(stopped)
        try:
            with interrupted_at(stopped):
                Platform(world, _policy("ease"), folder=folder, **plan).run(num_days)
            break
        except KeyboardInterrupt:
            pass
        resumed = Platform(world, _policy("ease"), folder=folder, **plan)
        assert resumed.service.day <= num_days
        assert len(list((folder / "log").glob("day=*/log.parquet"))) == resumed.service.day
        resumed.run(num_days)
        assert_same_log(log, resumed.log())
        assert_same_log(log, read_log(folder / "log"))
        pd.testing.assert_frame_equal(whole.daily(), resumed.daily())
        assert len(list((folder / "checkpoints").iterdir())) == 1
        assert resumed.service.num_retrainings == num_days and len(resumed.service.pending) == 2
        stopped += 1
    # A log, two agents and the pointer a day, one or two pending agents, and two descriptions of the log.
    assert stopped > 4 * num_days


@pytest.mark.parametrize("days_in_memory", [None, 2])
@pytest.mark.parametrize("num_moves", range(9))
def test_a_twin_goes_on_from_its_own_folder(
    world: World,
    tmp_path: Path,
    assert_same_log: SameLog,
    num_moves: int,
    days_in_memory: int | None,
) -> None:
    parent = Platform(world, RepeatRules(Random()), seed=6)
    parent.run(2)
    plan: dict[str, Any] = {"retraining": Retraining(1, window_days=2), "luck": "other"}
    whole = parent.fork(_policy("ease"), **plan)
    whole.run(5)
    plan |= {"folder": tmp_path / "twin", "days_in_memory": days_in_memory}
    with interrupted_at(num_moves), pytest.raises(KeyboardInterrupt):
        parent.fork(_policy("ease"), **plan).run(5)
    resumed = parent.fork(_policy("ease"), **plan)
    assert resumed.service.day < 5
    resumed.run(5)
    pd.testing.assert_frame_equal(whole.daily(), resumed.daily())
    from_day = 0 if days_in_memory is None else 3
    assert_same_log(whole.log().between(from_day * TICKS_PER_DAY, 5 * TICKS_PER_DAY), resumed.log())


def test_a_platform_on_a_finished_folder_has_nothing_left_to_do(
    world: World, tmp_path: Path, assert_same_log: SameLog
) -> None:
    first = Platform(world, RepeatRules(Random()), seed=6, folder=tmp_path)
    log = first.run(3)
    second = Platform(world, RepeatRules(Random()), seed=6, folder=tmp_path)
    assert len(second.run(3)) == 0
    assert_same_log(log, second.log())
    # And goes on further as if it had never stopped.
    assert_same_log(first.run(5), second.run(5))
    pd.testing.assert_frame_equal(first.daily(), second.daily())


def test_what_waits_for_its_deployment_waits_on(
    world: World, tmp_path: Path, diary: Callable[[], Any], assert_same_log: SameLog
) -> None:
    """With three days of delay several agents wait at a time, each with what it had learned by then."""
    plan: dict[str, Any] = {"seed": 6, "retraining": Retraining(delay_days=3)}
    whole = Platform(world, diary(), **plan)
    log = whole.run(8)
    assert log.sources == ("lessons-0", "lessons-1", "lessons-2", "lessons-3", "lessons-4")
    Platform(world, diary(), folder=tmp_path, **plan).run(4)
    resumed = Platform(world, diary(), folder=tmp_path, **plan)
    assert [agent.name for _, agent in resumed.service.pending] == [f"lessons-{n}" for n in (1, 2, 3, 4)]
    resumed.run(8)
    assert_same_log(log, resumed.log())


def test_a_day_on_which_nobody_comes_is_a_day(tmp_path: Path, assert_same_log: SameLog) -> None:
    lonely = make_world("everyday", num_users=1, num_items=30, num_slots=5, new_items_a_day=0)
    whole = Platform(lonely, RepeatRules(Random()), seed=1)
    log = whole.run(12)
    assert whole.daily()["num_slates"].eq(0).any()
    for day in range(1, 13):
        resumed = Platform(lonely, RepeatRules(Random()), seed=1, folder=tmp_path)
        assert resumed.service.day == day - 1
        resumed.run(day)
    assert_same_log(log, resumed.log())
    pd.testing.assert_frame_equal(whole.daily(), resumed.daily())


def test_a_checkpoint_of_another_run_is_refused(world: World, tmp_path: Path) -> None:
    Platform(world, Random(), seed=6, folder=tmp_path).run(1)
    size: dict[str, Any] = {"num_items": 80, "num_slots": 5, "new_items_a_day": 2, "days": 20}
    other = replace(make_world("everyday", seed=1, num_users=60, **size), session_steps=5)
    more = make_world("everyday", num_users=61, **size)
    for wrong, message in (
        ({"world": more}, "must have num_users 61, got 60"),
        ({"world": other}, r"must have catalogue.latent float32\[120, \d+\] [0-9a-f]{12}, got float32"),
        ({"world": replace(world, name="elsewhere")}, "must have world 'elsewhere', got 'everyday'"),
        ({"world": replace(world, dynamics=())}, r"must have dynamics tuple\(\), got tuple\("),
        ({"world": replace(world, dynamics=world.dynamics[::-1])}, "must have dynamics"),
        ({"world": replace(world, choice=PositionBased())}, "must have choice PositionBased"),
        ({"world": replace(world, utility=replace(world.utility, latent=0.5))}, "must have utility Utility"),
        ({"world": replace(world, feedback=ClicksOnly())}, r"must have feedback ClicksOnly\(\), got Engagement"),
        ({"world": replace(world, session_steps=6)}, "must have session_steps 6, got 5"),
        ({"seed": 7}, "must have seed 7, got 6"),
        ({"num_slots": 4}, "must have num_slots 4, got 5"),
        ({"history": 31}, "must have history 31, got 32"),
        ({"retraining": Retraining()}, r"must have retraining Retraining\(every_days=1,.*got None"),
        ({"policy": RepeatRules(Random())}, r"must have policy RepeatRules\(policy=Random\(\), days=7\), got Random"),
    ):
        arguments: dict[str, Any] = {"world": world, "policy": Random(), "seed": 6, "folder": tmp_path} | wrong
        with pytest.raises(ValueError, match=message):
            Platform(**arguments)
    Platform(world, Random(), seed=6, folder=tmp_path).run(2)


def test_another_agent_does_not_take_over_a_checkpoint(world: World, tmp_path: Path) -> None:
    Platform(world, make_agent("ease"), folder=tmp_path).run(1)
    for other in ("popularity", "ease:regularization=7"):
        with pytest.raises(ValueError, match="must have policy"):
            Platform(world, make_agent(other), folder=tmp_path)


def test_what_has_been_learned_is_no_part_of_the_identity(
    world: World, tmp_path: Path, assert_same_log: SameLog
) -> None:
    """A policy that learned before, or is a class of somebody else's, goes on from its own checkpoint."""
    log = Platform(world, _policy("ease"), folder=tmp_path, retraining=Retraining()).run(2)
    taught = _policy("ease")
    assert isinstance(taught, Agent)
    taught.learn(log)
    assert_same_log(log, Platform(world, taught, folder=tmp_path, retraining=Retraining()).log())
    plain = Platform(world, Plain(), folder=tmp_path / "plain")
    plain.run(2)
    assert_same_log(plain.log(), Platform(world, Plain(), folder=tmp_path / "plain").log())


class Plain(Policy):
    """Not a dataclass; shows the first items."""

    def __init__(self) -> None:
        self.secret = object()

    @property
    def name(self) -> str:
        return "plain"

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        scores = np.zeros((len(observation), observation.features.num_items), np.float32)
        return deterministic(top_items(scores, observation.eligible(), num_slots), self.name)

    def probabilities(self, observation: Observation, slates: np.ndarray) -> Probabilities:
        raise NotImplementedError


# ---- what is not ours ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_days", [1, 3])
def test_a_log_without_a_checkpoint_is_not_touched(world: World, tmp_path: Path, num_days: int) -> None:
    """Somebody's log, of one day or of several, lies where a platform would keep its own."""
    Platform(world, Random(), seed=1).run(num_days).write(tmp_path / "log")
    files = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match="got a log without a checkpoint"):
        Platform(world, Random(), folder=tmp_path)
    assert files == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}


def test_a_log_whose_checkpoint_was_lost_is_not_touched(world: World, tmp_path: Path) -> None:
    log = Platform(world, Random(), folder=tmp_path).run(2)
    (tmp_path / "latest").unlink()
    with pytest.raises(ValueError, match="got a log without a checkpoint"):
        Platform(world, Random(), folder=tmp_path)
    assert len(read_log(tmp_path / "log")) == len(log)


def test_only_the_logs_own_files_are_removed(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", killed)  # the log is there, the checkpoint is not
        with pytest.raises(KeyboardInterrupt):
            Platform(world, Random(), folder=tmp_path).run(1)
    (tmp_path / "log" / "notes.txt").touch()
    with pytest.raises(ValueError, match="got a log without a checkpoint"):
        Platform(world, Random(), folder=tmp_path)
    assert (tmp_path / "log" / "notes.txt").exists()
    (tmp_path / "log" / "notes.txt").unlink()
    Platform(world, Random(), folder=tmp_path).run(1)
