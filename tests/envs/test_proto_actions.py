"""Proto-actions against a literal search for the nearest items."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.envs.wrappers import ProtoActions, wrap
from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.world import World

A = np.ndarray
NEAR: dict[str, Callable[[A, A], float]] = {
    "euclidean": lambda point, item: -float(((point - item) ** 2).sum()),
    "dot": lambda point, item: float(point @ item),
}


@pytest.mark.parametrize("nearest", NEAR)
@pytest.mark.parametrize("per_slot", [False, True])
def test_the_nearest_items_on_offer_fill_the_slate(everyday: World, nearest: str, per_slot: bool) -> None:
    env = wrap(SlateVectorEnv(5, everyday, recent_slates=1), ProtoActions, nearest=nearest, per_slot=per_slot)
    width = env.view.numbers.items.shape[1]
    assert env.single_action_space.shape == ((4, width) if per_slot else (width,))
    items = env.view.numbers.items.astype(np.float64)
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    num_repeats = 0
    for _ in range(15):
        observation = env.requests.observation
        actions = rng.normal(size=env.action_space.shape).astype(np.float32)
        if per_slot:
            actions[:, 2] = actions[:, 1]  # the same point twice takes the second nearest
        *_, info = env.step(actions)
        slates = info["num_void"], env.unwrapped.seats.recent["recent_slates"][:, -1]
        assert not slates[0].any()
        for row in range(5):
            taken: list[int] = []
            for slot in range(4):
                point = (actions[row, slot] if per_slot else actions[row]).astype(np.float64)
                free = [i for i in np.flatnonzero(observation.eligible()[row]) if i not in taken]
                scores = np.array([NEAR[nearest](point, items[i]) for i in free])
                item = slates[1][row, slot]
                best = scores[free.index(item)]
                assert best == pytest.approx(scores.max(), abs=1e-4)
                num_repeats += bool(taken) and item > taken[-1]
                taken.append(int(item))
    assert num_repeats > 0


def test_items_that_are_alike_come_in_their_order() -> None:
    latent, genre = np.eye(6, 2, dtype=np.float32), np.array([0, 1, 0, 1, 0, 1])
    world = World(
        name="alike",
        catalogue=plain_catalogue(latent, genre, num_topics=2),
        population=plain_population(np.ones((3, 2), np.float32)),
        choice=PositionBased(),
        num_slots=4,
    )
    env = wrap(SlateEnv(world, recent_slates=1), ProtoActions)
    np.testing.assert_array_equal(env.view.numbers.items, np.eye(2)[genre])
    env.reset(seed=0)
    env.step(np.array([0.1, 0.9], np.float32))
    assert env.unwrapped.seats.recent["recent_slates"][0, -1].tolist() == [1, 3, 5, 0]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros(3, np.float32), r"actions must have shape \(1, \d+\), got \(1, 3\)"),
        (None, "actions must be finite, got NaN or infinity"),
    ],
)
def test_wrong_actions_are_errors(everyday: World, action: Any, message: str) -> None:
    env = wrap(SlateEnv(everyday), ProtoActions)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(np.full(env.action_space.shape, np.nan) if action is None else action)


def test_wrong_parameters_are_errors(everyday: World) -> None:
    with pytest.raises(ValueError, match="nearest must be euclidean or dot, got 'far'"):
        wrap(SlateEnv(everyday), ProtoActions, nearest="far")
    with pytest.raises(ValueError, match="ProtoActions need items with public features of 2 to most_codes=1 codes"):
        wrap(SlateEnv(everyday), ProtoActions, most_codes=1)
