"""Stable-Baselines3's PPO trains on a small environment as it is."""

import gymnasium
import numpy as np
import pytest

import recsim_lab  # noqa: F401  (registers the environments)

stable_baselines3 = pytest.importorskip("stable_baselines3")


def test_ppo_trains() -> None:
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
