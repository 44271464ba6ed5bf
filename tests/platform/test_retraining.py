"""Retraining: when, from which part of the log, and from which tick on what was learned serves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform, Retraining
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.world import World

A = np.ndarray
NUM_DAYS = 9


@pytest.mark.parametrize(
    ("every_days", "window_days", "delay_days"),
    [(1, None, 0), (1, 1, 0), (2, 3, 1), (3, None, 2), (1, 2, 3), (4, 1, 0)],
)
def test_the_schedule(
    world: World,
    diary: Callable[[], Any],
    assert_same_log: Callable[[InteractionLog, InteractionLog], None],
    every_days: int,
    window_days: int | None,
    delay_days: int,
) -> None:
    platform = Platform(world, diary(), seed=2, retraining=Retraining(every_days, window_days, delay_days))
    log = platform.run(NUM_DAYS)
    learner = platform.service.learner
    assert learner is not None

    # At the end of every k-th day, from the days of the window up to and including this one.
    ends = [day + 1 for day in range(NUM_DAYS) if (day + 1) % every_days == 0]
    assert len(learner.lessons) == platform.service.num_retrainings == len(ends)
    for end, lesson in zip(ends, learner.lessons, strict=True):
        first = 0 if window_days is None else max(end - window_days, 0)
        expected = log.take((log.day >= first) & (log.day < end))
        np.testing.assert_array_equal(lesson.tick, expected.tick)
        np.testing.assert_array_equal(lesson.slate, expected.slate)
        np.testing.assert_array_equal(lesson.clicks, expected.clicks)

    # What was learned serves from the first tick of the day after, or `delay_days` later.
    deployed = np.array([sum(end + delay_days <= day for end in ends) for day in range(NUM_DAYS)])
    serving = np.array([int(name.removeprefix("lessons-")) for name in log.sources])[log.source]
    np.testing.assert_array_equal(serving, np.broadcast_to(deployed[log.day][:, None], serving.shape))
    waiting = [end + delay_days for end in ends if end + delay_days > NUM_DAYS - 1]
    assert [tick // TICKS_PER_DAY for tick, _ in platform.service.pending] == waiting
    daily = platform.daily()
    np.testing.assert_array_equal(
        daily["num_retrainings"], [sum(end <= day + 1 for end in ends) for day in range(NUM_DAYS)]
    )


def test_in_a_tick_deployment_comes_before_serving(world: World, diary: Callable[[], Any]) -> None:
    """Users who are due at the first tick of a day meet what was learned the evening before."""
    log = Platform(world, diary(), seed=2, retraining=Retraining()).run(6)
    first_tick = log.tick % TICKS_PER_DAY == 0
    assert len(np.unique(log.day[first_tick])) > 3
    serving = np.array([int(name.removeprefix("lessons-")) for name in log.sources])[log.source[:, 0]]
    np.testing.assert_array_equal(serving[first_tick], log.day[first_tick])


def test_the_given_policy_is_not_taught(world: World, diary: Callable[[], Any]) -> None:
    """It may serve elsewhere: the platform teaches a copy."""
    policy = diary()
    platform = Platform(world, policy, retraining=Retraining())
    platform.run(2)
    twin = platform.fork(policy, Retraining())
    twin.run(4)
    assert policy.lessons == []
    assert twin.service.num_retrainings == 2 and platform.service.num_retrainings == 2
    assert len(twin.service.learner.lessons) == 2
    # A fork learns from the parent's past too.
    assert twin.service.learner.lessons[0].day.min() == 0


def test_without_retraining_the_policy_stays(world: World, diary: Callable[[], Any]) -> None:
    platform = Platform(world, diary())
    log = platform.run(3)
    assert log.sources == ("lessons-0",) and platform.service.num_retrainings == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"every_days": 0}, "every_days must be at least 1, got 0"),
        ({"window_days": 0}, "window_days must be at least 1 or None, got 0"),
        ({"delay_days": -1}, "delay_days must be at least 0, got -1"),
    ],
)
def test_a_wrong_schedule_is_named(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Retraining(**wrong)
