"""Agents are saved whole, and load only what they are."""

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from agents.base import read_arrays, write_arrays
from agents.registry import make_agent


def test_a_file_of_another_agent_is_refused(log, tmp_path):
    agent = make_agent("ease")
    agent.learn(log)
    agent.save(str(tmp_path / "ease"))
    with pytest.raises(ValueError, match=r"must hold an agent like this one, got regularization 300.0 inst"):
        make_agent("ease:regularization=50").load(tmp_path / "ease")
    with pytest.raises(ValueError, match=r"must hold an agent like this one, got family ease instead of mf"):
        make_agent("mf").load(tmp_path / "ease")
    save_file({"a": np.zeros(3)}, tmp_path / "arrays")
    with pytest.raises(ValueError, match=r"must hold an agent like this one, got no agent"):
        agent.load(str(tmp_path / "arrays"))
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "short").write_bytes((tmp_path / "ease").read_bytes()[:-1])
    for name in ("other.npz", "short"):
        with pytest.raises(ValueError, match=f"{name} must be a file in the safetensors format"):
            agent.load(tmp_path / name)
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
    write_arrays(path, {"a": np.arange(3)}, "the first")
    with pytest.raises(SafetensorError):
        write_arrays(path, {"a": np.array([object()])}, "the second")
    arrays, description = read_arrays(path)
    assert arrays["a"].tolist() == [0, 1, 2] and description == "the first"


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {
        "whole": np.arange(6, dtype=np.int64).reshape(2, 3),
        "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "every second": np.arange(6, dtype=np.int32)[::2],
        "one": np.array(7),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 4), np.float32),
    }
    write_arrays(tmp_path / "file.any", arrays, "é")
    found, description = read_arrays(tmp_path / "file.any")
    assert description == "é" and set(found) == set(arrays)
    for name, value in arrays.items():
        assert found[name].dtype == value.dtype and np.array_equal(found[name], value), name
    assert [path.name for path in tmp_path.iterdir()] == ["file.any"]


def test_loading_an_untaught_agent_forgets(log, tmp_path):
    make_agent("popularity").save(tmp_path / "untaught")
    agent = make_agent("popularity")
    agent.learn(log)
    agent.load(tmp_path / "untaught")
    assert len(agent.popularity) == 0
