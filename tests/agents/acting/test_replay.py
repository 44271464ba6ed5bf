"""Agents with a memory act once a step, learn so often as asked, and let their target follow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agents.acting.diary import Diary
from agents.acting.replay import ReplayAgent
from agents.acting.slate_q import SlateQ
from agents.registry import make_agent
from recsim_lab.interaction_log import InteractionLog, empty_log

SMALL: dict[str, Any] = {"dim": 4, "newest": 2, "batch_size": 16}


def _told(agent: ReplayAgent, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What its methods are told, from now on."""
    told: dict[str, list[Any]] = {"act": [], "update": [], "renew": []}
    act, update, renew = agent.act, agent.update, agent.renew

    def acted(users: Any, progress: float) -> Any:
        told["act"].append(progress)
        return act(users, progress)

    def updated(batch: Any, target: Any, features: Any) -> Any:
        told["update"].append((len(batch), set(batch.states.tick.tolist())))
        return update(batch, target, features)

    def renewed(target: Any, num_updates: int) -> None:
        told["renew"].append(num_updates)
        renew(target, num_updates)

    for name, method in (("act", acted), ("update", updated), ("renew", renewed)):
        monkeypatch.setattr(agent, name, method)
    return told


def test_a_step_is_a_slate_and_some_updates(toy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates are counted through; what is learned from is no older than the memory is long."""
    agent = SlateQ(**SMALL, updates=3, memory=24)
    told = _told(agent, monkeypatch)
    agent.train(toy(8, 5, 1, "even"), 10)
    assert told["act"] == pytest.approx(np.arange(10) / 10)
    assert told["renew"] == list(range(1, 31))
    assert [size for size, _ in told["update"]] == [16] * 30
    for number, (_, ticks) in enumerate(told["update"]):
        step = number // 3
        assert ticks <= {1440 * visit for visit in range(max(0, step - 2), step + 1)}
    assert set.union(*(ticks for _, ticks in told["update"][6:9])) == {0, 1440, 2880}


def test_figures_are_means_of_the_steps_since(toy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    agent, rewards, told = SlateQ(**SMALL), [], []
    act = agent.act

    def acted(users: Any, progress: float) -> Any:
        new = act(users, progress)
        rewards.append(new.reward.mean())
        return new

    monkeypatch.setattr(agent, "act", acted)
    agent.train(toy(8, 5, 1, "even"), 50, Diary(report=lambda *entry: told.append(entry)))
    assert [(step, planned) for step, planned, _ in told] == [(20, 50), (40, 50), (50, 50)]
    spans = (slice(0, 20), slice(20, 40), slice(40, 50))
    assert [figures["reward"] for *_, figures in told] == pytest.approx([np.mean(rewards[span]) for span in spans])


def test_a_log_is_passed_over_in_batches(log: InteractionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each epoch meets every slate but the users' last ones once: 1440 - 60 slates in batches of 500."""
    agent = make_agent("slate-q:dim=4,newest=2,batch_size=500,epochs=2")
    told = _told(agent, monkeypatch)
    agent.learn(log)
    assert [size for size, _ in told["update"]] == [500, 500, 380] * 2
    assert told["renew"] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("spec", ["slate-q", "wolpertinger"])
def test_nothing_is_learned_from_nothing(spec: str, log: InteractionLog) -> None:
    agent = make_agent(spec)
    agent.learn(empty_log(log.features, 5, 3, 4))
    agent.learn(log.take(np.arange(60)))  # one slate each: what followed is not known
    agent.learn(log.only([]))
    assert agent.state() == {}
