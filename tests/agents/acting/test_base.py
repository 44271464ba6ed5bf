"""Acting agents learn the same under the same seed, stopped or not, and serve what they learned wherever they go."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.acting.base import ActingAgent
from agents.acting.diary import CHECKPOINT, CURVES, Diary
from agents.registry import make_agent
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.policy import Observation
from recsim_lab.streams import draws_of
from tests.killed import interrupted_at

A = np.ndarray
Seats = Callable[..., SlateVectorEnv]
ROOT = Path(__file__).parents[3]
SMALL = "dim=8,newest=4"
REPLAY = f"{SMALL},batch_size=32,memory=200"
SPECS = (
    f"reinforce:horizon=4,{SMALL}",
    f"slate-q:renew_every=3,{REPLAY}",
    f"slate-q:candidates=6,optimise=greedy,updates=2,{REPLAY}",
    f"wolpertinger:neighbours=5,{REPLAY}",
)
NUM_STEPS = 10
"""All agents here make an entry every four steps, and one at the end."""


@pytest.fixture(autouse=True)
def often_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.acting.replay._STEPS_TOLD_TOGETHER", 4)


def _agent(spec: str, seed: int = 2) -> ActingAgent:
    agent = make_agent(spec, seed)
    assert isinstance(agent, ActingAgent)
    return agent


def _assert_same(one: ActingAgent, other: ActingAgent) -> None:
    """Bit by bit, the optimiser too."""
    mine, yours = one.state(), other.state()
    assert mine.keys() == yours.keys()
    for name, values in mine.items():
        np.testing.assert_array_equal(values, yours[name], err_msg=name)


def _requests(env: SlateVectorEnv) -> Observation:
    fields, _ = env.reset(seed=50)
    for action in np.random.default_rng(0).integers(50, size=(6, env.num_envs, 3)):
        fields, *_ = env.step(action)
    return Observation.of(fields, env.features)


@pytest.mark.parametrize("spec", SPECS)
def test_a_seed_decides_all(spec: str, seats: Seats) -> None:
    agents = [_agent(spec), _agent(spec), _agent(spec, seed=3)]
    for agent in agents:
        torch.rand(3)  # luck outside is not used
        before = torch.get_rng_state()
        agent.train(seats(), NUM_STEPS)
        assert torch.equal(torch.get_rng_state(), before)
    _assert_same(agents[0], agents[1])
    mine, others = agents[0].state(), agents[2].state()
    assert any(not np.array_equal(values, others[name]) for name, values in mine.items())


@pytest.mark.parametrize("spec", SPECS)
def test_a_stopped_run_goes_on_to_the_same_end(spec: str, seats: Seats, tmp_path: Path) -> None:
    """Stopped when it reports, before the entry is kept; the second half tells nothing twice."""
    whole, resumed = _agent(spec), _agent(spec)
    whole.train(seats(), NUM_STEPS, Diary(tmp_path / "whole", checkpoint_seconds=0))
    told: list[int] = []

    def stop(step: int, _: int, figures: Any) -> None:
        told.append(step)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _agent(spec).train(seats(), NUM_STEPS, Diary(tmp_path / "stopped", stop, checkpoint_seconds=0))
    resumed.train(seats(), NUM_STEPS, Diary(tmp_path / "stopped", stop, checkpoint_seconds=0))
    assert told == [*told[:2], *sorted(set(told))[1:]] and told[-1] == NUM_STEPS
    _assert_same(whole, resumed)
    assert (tmp_path / "whole" / CURVES).read_bytes() == (tmp_path / "stopped" / CURVES).read_bytes()


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[2]])
def test_a_run_that_stops_at_any_file_goes_on_to_the_same_end(spec: str, seats: Seats, tmp_path: Path) -> None:
    """Every file is moved to its place in the end, so stopping at each move is stopping everywhere."""
    whole = _agent(spec)
    whole.train(seats(), NUM_STEPS, Diary(tmp_path / "whole", checkpoint_seconds=0))
    stopped = 0
    while True:
        folder = tmp_path / str(stopped)
        try:
            with interrupted_at(stopped):
                _agent(spec).train(seats(), NUM_STEPS, Diary(folder, checkpoint_seconds=0))
            break
        except KeyboardInterrupt:
            stopped += 1
        resumed = _agent(spec)
        resumed.train(seats(), NUM_STEPS, Diary(folder, checkpoint_seconds=0))
        _assert_same(whole, resumed)
        assert (tmp_path / "whole" / CURVES).read_bytes() == (folder / CURVES).read_bytes()
    assert stopped >= 4


SCRIPT = """
import sys
from pathlib import Path
import torch
import agents.acting.replay
from agents.acting.diary import Diary
from agents.registry import make_agent
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.simulation.presets import make_world
from tests.killed import die

def report(step, num_steps, figures):
    if sys.argv[3:] and step > int(sys.argv[3]):
        die()

torch.set_num_threads(1)
agents.acting.replay._STEPS_TOLD_TOGETHER = 4
agent = make_agent(sys.argv[1], 2)
world = make_world("everyday", num_users=40, num_items=50, num_slots=3, new_items_a_day=2, days=6)
env = SlateVectorEnv(8, world, max_steps=9, autoreset_mode="Disabled")
agent.train(env, 10, Diary(Path(sys.argv[2]), report, checkpoint_seconds=0))
agent.save(Path(sys.argv[2]) / "agent")
"""


def test_a_killed_run_goes_on_to_the_same_end(seats: Seats, tmp_path: Path) -> None:
    spec = SPECS[2]
    whole, resumed, killed = _agent(spec), _agent(spec), tmp_path / "killed"
    whole.train(seats(), NUM_STEPS, Diary(tmp_path / "whole", checkpoint_seconds=0))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

    def run(*death: str) -> int:
        return subprocess.run([sys.executable, "-c", SCRIPT, spec, str(killed), *death], env=environment).returncode

    assert run("4") == -signal.SIGKILL
    assert (killed / CHECKPOINT).exists() and not (killed / "agent").exists()
    assert run() == 0
    resumed.load(killed / "agent")
    _assert_same(whole, resumed)
    assert (tmp_path / "whole" / CURVES).read_bytes() == (killed / CURVES).read_bytes()


@pytest.mark.parametrize("spec", SPECS)
def test_a_saved_agent_serves_the_same(spec: str, seats: Seats, tmp_path: Path) -> None:
    agent, other = _agent(spec), _agent(spec, seed=2)
    agent.train(seats(), 8)
    agent.save(tmp_path / "agent")
    other.load(tmp_path / "agent")
    requests = _requests(seats(30, autoreset_mode="NextStep"))
    draws = draws_of(0, np.arange(30))
    np.testing.assert_array_equal(agent.recommend(requests, 3, draws).items, other.recommend(requests, 3, draws).items)
    np.testing.assert_array_equal(agent.scores(requests), other.scores(requests))
    candidates = np.array([[4, 2]] * 30, np.int32)
    np.testing.assert_array_equal(agent.scores(requests, candidates), agent.scores(requests)[:, [4, 2]])
    _assert_same(agent, other)


@pytest.mark.parametrize("spec", SPECS)
def test_an_untaught_agent_is_indifferent_and_says_so(spec: str, seats: Seats, tmp_path: Path) -> None:
    agent, requests = _agent(spec), _requests(seats(5, autoreset_mode="NextStep"))
    assert not agent.scores(requests).any() and agent.state() == {}
    answer = agent.recommend(requests, 3, draws_of(0, np.arange(5)))
    first = [np.flatnonzero(row)[:3].tolist() for row in requests.eligible()]
    assert answer.items.tolist() == first and (answer.prefix_propensity == 1).all()
    agent.save(tmp_path / "agent")
    taught = _agent(spec)
    taught.train(seats(), 4)
    taught.load(tmp_path / "agent")
    assert taught.state() == {}


def test_a_run_that_is_done_is_not_run_again(seats: Seats, tmp_path: Path) -> None:
    spec = SPECS[0]
    whole, again = _agent(spec), _agent(spec)
    whole.train(seats(), 8, Diary(tmp_path))
    (tmp_path / CURVES).rename(tmp_path / "moved")
    again.train(seats(), 8, Diary(tmp_path, report=lambda *told: pytest.fail("nothing is left to do")))
    _assert_same(whole, again)
    assert (tmp_path / CURVES).read_bytes() == (tmp_path / "moved").read_bytes()
    # With more steps planned it goes on.
    steps: list[int] = []
    again.train(seats(), 16, Diary(tmp_path, report=lambda step, planned, figures: steps.append(step)))
    assert steps == [12, 16]


def test_a_folder_of_another_run_is_refused(seats: Seats, tmp_path: Path) -> None:
    spec = SPECS[0]
    _agent(spec).train(seats(), 8, Diary(tmp_path))
    before = (tmp_path / CHECKPOINT).read_bytes()
    for agent, env in (
        (_agent(spec, seed=3), seats()),
        (_agent(spec + ",trace=0.5"), seats()),
        (_agent(f"slate-q:{REPLAY}"), seats()),
        (_agent(spec), seats(9)),
        (_agent(spec), seats(num_slots=2)),
    ):
        with pytest.raises(ValueError, match=r"must hold the run .* with .* seats, .* use another folder"):
            agent.train(env, 8, Diary(tmp_path))
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_an_agent_stays_with_its_catalogue_and_slots(seats: Seats, requests: Callable[..., Observation]) -> None:
    agent = _agent(SPECS[0])
    agent.train(seats(), 8)
    with pytest.raises(ValueError, match="must stay with its 62 items and slates of 3 slots, got 62 items and 2 slots"):
        agent.train(seats(num_slots=2), 8)
    with pytest.raises(ValueError, match="must be of the catalogue of 62 items that was learned from, got one of 9"):
        agent.scores(requests([0], 9))


def test_learning_goes_on(seats: Seats) -> None:
    """`train` again starts with new users but with what was learned."""
    spec = SPECS[0]
    once, twice = _agent(spec), _agent(spec)
    once.train(seats(), 8)
    twice.train(seats(), 8)
    twice.train(seats(), 8)
    steps = [agent.state()["optimizer/0/step"] for agent in (once, twice)]
    assert steps[1] == 2 * steps[0] > 0


def test_a_loss_that_is_not_finite_is_an_error(seats: Seats) -> None:
    agent = _agent(SPECS[0])
    agent.train(seats(), 8)
    before = agent.state()
    weight = next(agent.network.parameters())
    with pytest.raises(ValueError, match="training must keep its loss finite, got nan: a lower learning_rate may help"):
        agent.take_step(weight.sum() * torch.nan)
    for name, values in agent.state().items():
        np.testing.assert_array_equal(values, before[name])


def test_a_step_is_of_length_one_at_most(seats: Seats) -> None:
    agent = _agent(SPECS[0])
    agent.train(seats(), 8)
    agent.take_step(1e6 * sum(weight.square().sum() for weight in agent.network.parameters()))
    norms = [weight.grad.norm() for weight in agent.network.parameters()]
    assert torch.stack(norms).norm() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("reinforce:discount=1", r"discount must be in \[0, 1\), got 1"),
        ("reinforce:discount=-.1", r"discount must be in \[0, 1\), got -0.1"),
        ("reinforce:discount=nan", r"discount must be in \[0, 1\), got nan"),
        *((f"slate-q:{name}=0", f"{name} must be at least 1, got 0") for name in ("dim", "num_blocks", "newest")),
        ("wolpertinger:learning_rate=0", "learning_rate must be above 0 and finite, got 0"),
        ("wolpertinger:learning_rate=inf", "learning_rate must be above 0 and finite, got inf"),
        *((f"slate-q:{x}=0", f"{x} must be at least 1, got 0") for x in ("updates", "batch_size", "memory", "epochs")),
        *((f"reinforce:{x}=0", f"{x} must be at least 1") for x in ("horizon", "num_batches", "epochs", "batch_size")),
        ("reinforce:trace=1.5", r"trace must be in \[0, 1\], got 1.5"),
        ("reinforce:most_weight=0", "most_weight must be above 0, got 0"),
        ("reinforce:most_weight=nan", "most_weight must be above 0, got nan"),
        ("reinforce:entropy=-1", "entropy must be at least 0 and finite, got -1"),
        ("slate-q:optimise=best", "optimise must be exact or greedy or top, got 'best'"),
        ("slate-q:renew_every=0", "renew_every must be at least 1, got 0"),
        ("slate-q:candidates=-1", "candidates must be at least 0, got -1"),
        ("slate-q:explore=2", r"explore must be in \[0, 1\], got 2"),
        ("slate-q:annealing=-1", r"annealing must be in \[0, 1\], got -1"),
        ("wolpertinger:neighbours=0", "neighbours must be at least 1, got 0"),
        ("wolpertinger:follow=0", r"follow must be in \(0, 1\], got 0"),
        ("wolpertinger:noise=-1", "noise must be at least 0 and finite, got -1"),
    ],
)
def test_wrong_parameters_are_told(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_agent(spec)
