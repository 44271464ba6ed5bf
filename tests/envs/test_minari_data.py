"""A log as a Minari data set: what other people's code reads there, and the same log back."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsim_lab.envs.minari_data import read_minari, write_minari
from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.interaction_log import REQUEST_COLUMNS, SLOT_COLUMNS, InteractionLog
from recsim_lab.platform import Platform
from recsim_lab.policy import FeatureTable, Field, Observation, Recommendation, Scorer
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws

minari = pytest.importorskip("minari")
pytest.importorskip("h5py")

A = np.ndarray


class Lottery(Scorer):
    """Two sources whose propensities are numbers of every kind, so that a mistake shows."""

    @property
    def name(self) -> str:
        return "lottery"

    def scores(self, observation: Observation, items: A | None = None) -> A:
        raise NotImplementedError

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        luck = draws.uniform(0, observation.features.num_items)
        best = np.argsort(np.where(observation.eligible(), luck, 2), axis=1)[:, :num_slots].astype(np.int32)
        chances = draws.uniform(1, 4 * num_slots).reshape(4, len(observation), num_slots)
        return Recommendation(
            items=best,
            propensity=np.where(chances[0] < 0.1, np.float32(np.nan), chances[0]),
            prefix_propensity=chances[1].astype(np.float64) / 3,
            propensity_error=chances[2],
            source=(chances[3] < 0.5).astype(np.int16),
            sources=("heads", "tails: 10%, [sic]"),
        )


@pytest.fixture(scope="module")
def log(everyday: World) -> InteractionLog:
    """Six days of an everyday world."""
    return Platform(everyday, Lottery(), seed=1).run(6)


def _assert_same_log(one: InteractionLog, two: InteractionLog) -> None:
    for name in (*REQUEST_COLUMNS, *SLOT_COLUMNS):
        mine, theirs = getattr(one, name), getattr(two, name)
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
        assert mine.dtype == theirs.dtype, name
    for name in ("sources", "history", "shown", "served"):
        assert getattr(one, name) == getattr(two, name)
    tables = one.features, two.features
    for name in ("user_fields", "item_fields", "titles"):
        assert getattr(tables[0], name) == getattr(tables[1], name)
    for name in ("users", "items"):
        mine, theirs = (dict(getattr(table, name)) for table in tables)
        assert mine.keys() == theirs.keys()
        for column in mine:
            np.testing.assert_array_equal(mine[column], theirs[column])
            assert mine[column].dtype == theirs[column].dtype
    for name in ("release", "withdrawal"):
        np.testing.assert_array_equal(*(getattr(table, name) for table in tables))


def test_a_log_goes_there_and_back(log: InteractionLog, tmp_path: Path) -> None:
    assert len(np.unique(log.user)) < len(log) and np.isnan(log.propensity).any() and log.clicks.any()
    written = write_minari(log, "everyday/lottery-v0", tmp_path)
    _assert_same_log(read_minari(written), log)
    _assert_same_log(read_minari("everyday/lottery-v0", tmp_path), log)
    assert [path.name for path in (tmp_path / "everyday").iterdir()] == ["lottery-v0"]


def test_the_features_of_every_kind_go_there_and_back(log: InteractionLog, tmp_path: Path) -> None:
    rng, num_items = np.random.default_rng(0), log.features.num_items
    table = FeatureTable(
        user_fields=(),
        item_fields=(Field("price", "numeric"), Field("tags", "multi", 3)),
        users={},
        items={"price": rng.normal(size=num_items).astype(np.float32), "tags": rng.random((num_items, 3)) < 0.5},
        release=log.features.release,
        withdrawal=log.features.withdrawal,
        titles=tuple(f"№ {i}" for i in range(num_items)),
    )
    other = replace(log, features=table)
    _assert_same_log(read_minari(write_minari(other, "features-v0", tmp_path)), other)


def test_episodes_are_users_whose_observations_are_those_of_the_environment(
    log: InteractionLog, everyday: World, tmp_path: Path
) -> None:
    dataset = write_minari(log, "lottery-v0", tmp_path, author={"somebody"}, description="six days")
    env = SlateEnv(everyday)
    assert dataset.spec.observation_space == env.observation_space and dataset.spec.action_space == env.action_space
    assert dataset.storage.metadata["author"] == {"somebody"}
    assert dataset.storage.metadata["algorithm_name"] == "heads, tails: 10%, [sic]"
    users = np.unique(log.user)
    assert dataset.total_episodes == len(users) and dataset.total_steps == len(log)
    for user, episode in zip(users, dataset.iterate_episodes(), strict=True):
        rows = np.flatnonzero(log.user == user)
        rows = rows[np.lexsort((log.step[rows], log.session[rows]))]
        served = log.observations(rows)
        for name, values in episode.observations.items():
            expected = getattr(served, name)
            expected = expected[:, None] if expected.ndim == 1 else expected
            np.testing.assert_array_equal(values[:-1], expected, err_msg=name)
            np.testing.assert_array_equal(values[-1], expected[-1], err_msg=name)
            assert values.dtype == env.observation_space[name].dtype
        assert env.observation_space.contains({name: values[0] for name, values in episode.observations.items()})
        np.testing.assert_array_equal(episode.actions, log.slate[rows])
        assert env.action_space.contains(episode.actions[0])
        np.testing.assert_array_equal(episode.rewards, log.clicks[rows].sum(axis=1))
        assert not episode.terminations.any()
        np.testing.assert_array_equal(np.flatnonzero(episode.truncations), [len(rows) - 1])
        for name in ("clicks", "dwell", "likes", "left", "propensity", "source"):
            np.testing.assert_array_equal(episode.infos[name][1:], getattr(log, name)[rows])


def test_minari_itself_finds_and_reads_the_data_set(
    log: InteractionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    write_minari(log, "lottery-v0")
    assert "lottery-v0" in minari.list_local_datasets()
    dataset = minari.load_dataset("lottery-v0")
    _assert_same_log(read_minari("lottery-v0"), log)
    assert len(dataset.sample_episodes(3)) == 3
    # Part of the episodes is part of the log.
    some = dataset.filter_episodes(lambda episode: episode.observations["user"][0, 0] % 2 == 0)
    _assert_same_log(read_minari(some), log.take(log.user % 2 == 0))


def test_an_empty_log(log: InteractionLog, tmp_path: Path) -> None:
    empty = log.take(slice(0, 0))
    back = read_minari(write_minari(empty, "empty-v0", tmp_path))
    assert len(back) == 0
    _assert_same_log(replace(back, sources=log.sources), empty)


def test_what_cannot_be_written_or_read_is_an_error(log: InteractionLog, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a log to be written must be as served"):
        write_minari(log.only(["heads"]), "hidden-v0", tmp_path)
    some = log.take(slice(0, 5))
    write_minari(some, "some-v0", tmp_path)
    with pytest.raises(ValueError, match="dataset_id must be new, got 'some-v0', which is at"):
        write_minari(some, "some-v0", tmp_path)
    dataset = minari.MinariDataset(tmp_path / "some-v0" / "data")
    dataset.storage.update_metadata({"recsim_lab": None})
    with pytest.raises(ValueError, match="must have been made of a log, got 'some-v0', which was not"):
        read_minari("some-v0", tmp_path)


def test_a_killed_write_leaves_nothing_that_looks_whole(
    log: InteractionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    some = log.take(slice(0, 5))
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_minari(some, "some-v0", tmp_path)
    assert not (tmp_path / "some-v0").exists()
    _assert_same_log(read_minari(write_minari(some, "some-v0", tmp_path)), some)


def test_without_minari_it_is_said_how_to_get_it(log: InteractionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ImportError, match=r"data sets need Minari: pip install 'recsim_lab\[rl\]'"):
        write_minari(log, "any-v0")
