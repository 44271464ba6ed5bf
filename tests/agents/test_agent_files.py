"""Agents are saved whole, and load only what they are."""

import numpy as np
import pytest

from agents.base import write_arrays
from agents.registry import make_agent


def test_a_file_of_another_agent_is_refused(log, tmp_path):
    agent = make_agent("ease")
    agent.learn(log)
    agent.save(tmp_path / "ease")
    with pytest.raises(ValueError, match=r"must hold the agent .*ease.*50.*, got .*300"):
        make_agent("ease:regularization=50").load(tmp_path / "ease")
    with pytest.raises(ValueError, match=r"must hold the agent .*mf"):
        make_agent("mf").load(tmp_path / "ease")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="got no agent"):
        agent.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        agent.load(tmp_path / "missing")


def test_a_refused_file_changes_nothing(log, tmp_path):
    make_agent("ease:regularization=50").save(tmp_path / "other")
    agent = make_agent("ease")
    agent.learn(log)
    weights = agent.weights
    with pytest.raises(ValueError):
        agent.load(tmp_path / "other")
    assert agent.weights is weights


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "agent"
    write_arrays(path, {"a": np.arange(3)})
    with pytest.raises(ValueError):
        write_arrays(path, {"a": np.array([object()])})
    with np.load(path) as arrays:
        assert arrays["a"].tolist() == [0, 1, 2]


def test_loading_an_untaught_agent_forgets(log, tmp_path):
    make_agent("popularity").save(tmp_path / "untaught")
    agent = make_agent("popularity")
    agent.learn(log)
    agent.load(tmp_path / "untaught")
    assert len(agent.popularity) == 0
