"""Stable-Baselines3 trains on environments as they are, and through views learns what is easy to learn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import recsim_lab  # noqa: F401  (registers the environments)
from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.envs.wrappers import CandidateSets, FlatObservation, ProtoActions, wrap
from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.world import World

stable_baselines3 = pytest.importorskip("stable_baselines3")
pytest.importorskip("torch").set_num_threads(1)

A = np.ndarray


def test_ppo_trains_on_the_environment_as_it_is() -> None:
    env = gymnasium.make("recsim_lab/Static-v0", num_users=50, num_items=60, num_slots=3, max_steps=100)
    model = stable_baselines3.PPO(
        "MultiInputPolicy", env, n_steps=512, batch_size=256, n_epochs=1, seed=0, device="cpu"
    )
    before = [values.detach().clone() for values in model.policy.parameters()]
    model.learn(2048)
    assert model.num_timesteps == 2048
    after = list(model.policy.parameters())
    assert any((one != two).any() for one, two in zip(before, after, strict=True))
    assert all(values.isfinite().all() for values in after)
    observation, _ = env.reset(seed=0)
    action, _ = model.predict(observation)
    assert env.action_space.contains(np.asarray(action))


def test_curves_are_written_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    env = gymnasium.make("recsim_lab/Static-v0", num_users=50, num_items=60, num_slots=3, max_steps=20)
    flat = wrap(wrap(env, ProtoActions), FlatObservation)
    stable_baselines3.PPO("MlpPolicy", flat, n_steps=128, device="cpu", tensorboard_log=str(tmp_path)).learn(256)
    assert list(tmp_path.glob("PPO_1/events.out.tfevents.*"))


def _one_good_genre(num_slots: int) -> World:
    """Of four genres, all users click on the first with chance .92 and on the others with chance .08."""
    genre = np.arange(40) % 4
    return World(
        name="one good genre",
        catalogue=plain_catalogue(np.where(genre == 0, 2.5, -2.5)[:, None].astype(np.float32), genre, num_topics=4),
        population=plain_population(np.ones((20, 1), np.float32)),
        choice=PositionBased(),
        num_slots=num_slots,
        session_steps=10,
    )


def _clicks(see: Callable[[Any], Any], world: World, act: Callable[[Any, Any], A]) -> A:
    """The clicks of 200 users within 15 slates, each user under a seed of their own."""
    env = see(SlateVectorEnv(200, world))
    env.action_space.seed(0)
    observations, _ = env.reset(seed=1_000_000)
    total = np.zeros(200)
    for _ in range(15):
        observations, rewards, *_ = env.step(act(env, observations))
        total += rewards
    return total


def _assert_learned(model: Any, see: Callable[[Any], Any], world: World) -> None:
    """Better than random for the same users with the same luck, by more than would be seen once in 30,000 times if it
    were not (one-sided, 4 standard errors)."""
    gain = _clicks(see, world, lambda env, seen: model.predict(seen, deterministic=True)[0])
    gain -= _clicks(see, world, lambda env, seen: env.action_space.sample())
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))


@pytest.mark.parametrize(
    ("num_slots", "parameters", "num_actions"),
    [(1, {"num_candidates": 5}, 5), (2, {"num_candidates": 4, "slates": "unordered"}, 6)],
    ids=["candidates", "all slates"],
)
def test_dqn_learns_which_is_good(num_slots: int, parameters: dict[str, Any], num_actions: int) -> None:
    world = _one_good_genre(num_slots=num_slots)
    see = lambda env: wrap(env, CandidateSets, **parameters)  # noqa: E731
    env = see(SlateEnv(world))
    assert env.action_space == gymnasium.spaces.Discrete(num_actions)
    model = stable_baselines3.DQN(
        "MlpPolicy",
        env,
        learning_rate=2e-3,
        learning_starts=200,
        gamma=0.0,
        train_freq=2,
        exploration_fraction=0.5,
        seed=0,
        device="cpu",
    ).learn(2000)
    _assert_learned(model, see, world)


def _ppo(env: gymnasium.Env, num_steps: int) -> Any:
    return stable_baselines3.PPO(
        "MlpPolicy", env, learning_rate=2e-3, n_steps=512, batch_size=128, gamma=0.0, seed=0, device="cpu"
    ).learn(num_steps)


def test_ppo_learns_to_fill_slots_with_good_candidates() -> None:
    world = _one_good_genre(num_slots=2)
    see = lambda env: wrap(env, CandidateSets, num_candidates=5)  # noqa: E731
    _assert_learned(_ppo(see(SlateEnv(world)), 2048), see, world)


def test_ppo_learns_where_good_items_are() -> None:
    world = _one_good_genre(num_slots=2)
    see = lambda env: wrap(wrap(env, ProtoActions), FlatObservation)  # noqa: E731
    _assert_learned(_ppo(see(SlateEnv(world)), 2048), see, world)
