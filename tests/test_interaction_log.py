"""The log tells all that happened: requests as they were served, and the same rows from a frame or from disk."""

import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import pytest

from agents.baselines import Random
from agents.business_rules import RepeatRules
from recsim_lab.interaction_log import (
    REQUEST_COLUMNS,
    SLOT_COLUMNS,
    InteractionLog,
    concatenate,
    empty_log,
    read_log,
)
from recsim_lab.platform import Platform
from recsim_lab.policy import TICKS_PER_DAY, Observation, Policy, Probabilities, Recommendation
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.dynamics import Patience
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws
from recsim_lab.testing import planted_log

A = np.ndarray
COLUMNS = (*REQUEST_COLUMNS, *SLOT_COLUMNS)
SERVED = [f.name for f in fields(Observation) if f.name != "features"]


@dataclass(eq=False)
class Recorder(Policy):
    """Remembers the requests it was served."""

    policy: Policy
    served: list[Observation] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.policy.name

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        self.served.append(observation)
        return self.policy.recommend(observation, num_slots, draws)

    def probabilities(self, observation: Observation, slates: A) -> Probabilities:
        return self.policy.probabilities(observation, slates)


def _everyday() -> World:
    return make_world("everyday", num_users=40, num_items=70, num_slots=4, new_items_a_day=2, days=10)


def _several_clicks(session_steps: int) -> World:
    """Users who click many items of a slate, and stay to the end of every session."""
    world = _everyday()
    dynamics = tuple(d for d in world.dynamics if not isinstance(d, Patience))
    return replace(world, choice=PositionBased(), dynamics=dynamics, session_steps=session_steps)


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    """Five days of an everyday world."""
    return Platform(_everyday(), RepeatRules(Random()), seed=1).run(5)


def _assert_same_log(first: InteractionLog, second: InteractionLog) -> None:
    for name in COLUMNS:
        one, two = getattr(first, name), getattr(second, name)
        np.testing.assert_array_equal(one, two, err_msg=name)
        assert one.dtype == two.dtype, name
    for name in ("sources", "history", "shown"):
        assert getattr(first, name) == getattr(second, name)
    mine, theirs = first.features, second.features
    assert (mine.user_fields, mine.item_fields, mine.titles) == (theirs.user_fields, theirs.item_fields, theirs.titles)
    for side in ("users", "items"):
        assert set(getattr(mine, side)) == set(getattr(theirs, side))
        for name, column in getattr(mine, side).items():
            np.testing.assert_array_equal(column, getattr(theirs, side)[name])
            assert column.dtype == getattr(theirs, side)[name].dtype
    np.testing.assert_array_equal(mine.release, theirs.release)
    np.testing.assert_array_equal(mine.withdrawal, theirs.withdrawal)


# ---- observations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "history", "days"),
    [
        (_everyday(), 32, 6),
        (_everyday(), 2, 4),
        (_several_clicks(9), 5, 3),
        (_several_clicks(40), 64, 2),  # more slates than an observation shows
        (replace(_everyday(), dynamics=()), 32, 2),
    ],
    ids=["everyday", "short-history", "several-clicks", "long-sessions", "static"],
)
def test_rebuilt_requests_equal_those_that_were_served(world: World, history: int, days: int) -> None:
    recorder = Recorder(RepeatRules(Random()))
    log = Platform(world, recorder, seed=3, history=history).run(days)
    rebuilt = log.observations()
    assert len(rebuilt) == len(log) > 200
    moments = np.concatenate([np.stack([some.step, some.tick]) for some in recorder.served], axis=1)
    by_time = np.lexsort(moments)
    for name in SERVED:
        served = np.concatenate([getattr(observation, name) for observation in recorder.served])[by_time]
        np.testing.assert_array_equal(getattr(rebuilt, name), served, err_msg=name)
        assert getattr(rebuilt, name).dtype == served.dtype, name
    assert rebuilt.features is log.features

    # Some rows, in any order and more than once; and a log whose rows stand in another order.
    rng = np.random.default_rng(0)
    rows = rng.integers(len(log), size=100)
    order = rng.permutation(len(log))
    shuffled = log.take(order).observations()
    for name in SERVED:
        np.testing.assert_array_equal(getattr(log.observations(rows), name), getattr(rebuilt, name)[rows])
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(rebuilt, name)[order])


def test_the_worlds_above_are_hard_enough() -> None:
    log = Platform(_several_clicks(40), RepeatRules(Random()), seed=3).run(2)
    assert (log.clicks.sum(axis=1) > 1).mean() > 0.2
    assert log.step.max() == 39 and log.shown == 15 * 4


def test_rebuilt_requests_lack_what_the_log_lacks_and_nothing_else() -> None:
    """Of a log with holes, requests are rebuilt as if the missing slates had not been."""
    whole = Platform(_several_clicks(9), RepeatRules(Random()), seed=3).run(2)
    kept = np.random.default_rng(1).random(len(whole)) < 0.6
    log = whole.take(kept)
    rebuilt = log.observations()
    for row in range(0, len(log), 7):
        same_user = log.user == log.user[row]
        when = (log.session[row], log.step[row])
        before = [r for r in np.flatnonzero(same_user) if (log.session[r], log.step[r]) < when]
        before.sort(key=lambda r: (log.session[r], log.step[r]))
        clicked = [int(item) for r in before for item in log.slate[r][log.clicks[r]]]
        shown = [int(item) for r in before if log.session[r] == when[0] for item in log.slate[r]]
        expected = ([-1] * log.history + clicked)[-log.history :]
        np.testing.assert_array_equal(rebuilt.clicked[row], expected)
        np.testing.assert_array_equal(rebuilt.shown[row], (shown + [-1] * log.shown)[: log.shown])


def test_no_requests(log: InteractionLog) -> None:
    nobody = np.zeros(0, np.int64)
    for observation in (log.take(nobody).observations(), log.observations(nobody)):
        assert len(observation) == 0
        assert observation.clicked.shape == (0, log.history) and observation.shown.shape == (0, log.shown)


# ---- parts -----------------------------------------------------------------------------------------------------


def test_parts_by_time(log: InteractionLog) -> None:
    part = log.between(TICKS_PER_DAY, 3 * TICKS_PER_DAY)
    assert set(part.day) == {1, 2}
    np.testing.assert_array_equal(part.slate, log.slate[(log.day >= 1) & (log.day < 3)])
    assert (np.diff(log.tick) >= 0).all()


def test_concatenation_renumbers_sources(log: InteractionLog) -> None:
    rng = np.random.default_rng(0)
    first = replace(log, source=rng.integers(2, size=log.slate.shape, dtype=np.int16), sources=("a", "b"))
    second = replace(log, source=rng.integers(3, size=log.slate.shape, dtype=np.int16), sources=("c", "b", "d"))
    both = concatenate([first, second])
    assert both.sources == ("a", "b", "c", "d")
    names = np.array(both.sources)[both.source]
    np.testing.assert_array_equal(names[: len(log)], np.array(first.sources)[first.source])
    np.testing.assert_array_equal(names[len(log) :], np.array(second.sources)[second.source])
    for name in set(COLUMNS) - {"source"}:
        np.testing.assert_array_equal(getattr(both, name), np.concatenate([getattr(log, name)] * 2))


def test_concatenation_with_an_empty_log_changes_nothing(log: InteractionLog) -> None:
    nothing = empty_log(log.features, log.num_slots, log.history, log.shown)
    _assert_same_log(concatenate([nothing, log, nothing]), log)


def test_concatenation_of_what_does_not_fit(log: InteractionLog) -> None:
    with pytest.raises(ValueError, match="logs must hold at least one log, got none"):
        concatenate([])
    with pytest.raises(ValueError, match=r"slates of one length, got \[4, 5\]"):
        concatenate([log, planted_log(num_slots=5)])


# ---- frames ----------------------------------------------------------------------------------------------------


def test_a_frame_has_a_row_for_each_impression(log: InteractionLog) -> None:
    frame = log.to_frame()
    assert len(frame) == log.slate.size
    row, slot = len(log) // 2, 3
    one = frame[(frame["row"] == row) & (frame["slot"] == slot)].iloc[0]
    assert one["item"] == log.slate[row, slot] and one["click"] == log.clicks[row, slot]
    assert one["user"] == log.user[row] and one["tick"] == log.tick[row] and one["dwell"] == log.dwell[row, slot]


def test_frames_go_there_and_back(log: InteractionLog) -> None:
    frame = log.to_frame()
    _assert_same_log(InteractionLog.from_frame(frame, log), log)
    shuffled = frame.sample(frac=1, random_state=0)
    _assert_same_log(InteractionLog.from_frame(shuffled, log), log)
    empty = log.take(slice(0, 0))
    _assert_same_log(InteractionLog.from_frame(empty.to_frame(), log), empty)


def test_a_frame_that_is_no_log_is_refused(log: InteractionLog) -> None:
    frame = log.to_frame()
    with pytest.raises(ValueError, match=r"missing \['dwell', 'user'\]"):
        InteractionLog.from_frame(frame.drop(columns=["user", "dwell"]), log)
    with pytest.raises(ValueError, match="every row must have slots 0 to 3"):
        InteractionLog.from_frame(frame.drop(index=[5, 18, 31, 44]), log)


# ---- on disk ---------------------------------------------------------------------------------------------------


def test_a_data_set_goes_there_and_back(log: InteractionLog, tmp_path: Path) -> None:
    log.write(tmp_path / "log")
    assert sorted(p.name for p in (tmp_path / "log").glob("day=*")) == [f"day={d}" for d in range(5)]
    assert not list(tmp_path.rglob("*partial*"))
    _assert_same_log(read_log(tmp_path / "log"), log)


def test_what_is_not_a_number_survives(log: InteractionLog, tmp_path: Path) -> None:
    unknown = replace(log, propensity=np.where(log.slate % 2, np.nan, log.propensity).astype(np.float32))
    unknown.write(tmp_path)
    _assert_same_log(read_log(tmp_path), unknown)


def test_days_are_read_in_part(log: InteractionLog, tmp_path: Path) -> None:
    log.write(tmp_path)
    part = read_log(tmp_path, range(1, 3))
    _assert_same_log(part, log.take((log.day == 1) | (log.day == 2)))
    # Only the files of these days are opened.
    (tmp_path / "day=4" / "log.parquet").write_bytes(b"no Parquet file")
    _assert_same_log(read_log(tmp_path, range(1, 3)), part)
    assert len(read_log(tmp_path, range(7, 9))) == 0


def test_days_are_written_one_by_one_each_with_its_sources(log: InteractionLog, tmp_path: Path) -> None:
    days = [replace(log.take(log.day == day), sources=(f"policy-{day}",)) for day in range(5)]
    for day in (3, 0, 1, 4, 2):
        days[day].write(tmp_path)
    found = read_log(tmp_path)
    assert found.sources == tuple(f"policy-{day}" for day in range(5))
    np.testing.assert_array_equal(found.source, np.broadcast_to(found.day[:, None], found.slate.shape))


def test_a_day_that_is_written_again_is_replaced_only_on_demand(log: InteractionLog, tmp_path: Path) -> None:
    log.take(log.day != 4).write(tmp_path)
    second = log.take(log.day == 2)
    second = replace(second, dwell=second.dwell + 1)
    later = log.take((log.day == 1) | (log.day >= 3))
    for again, days in ((second, "2"), (later, "1, 3")):
        with pytest.raises(ValueError, match=f"must not hold the log's days yet unless replace=True, got day {days}$"):
            again.write(tmp_path)
    _assert_same_log(read_log(tmp_path), log.take(log.day != 4))
    log.take(log.day == 4).write(tmp_path)
    second.write(tmp_path, replace=True)
    changed = np.where(log.day[:, None] == 2, log.dwell + 1, log.dwell)
    _assert_same_log(read_log(tmp_path), replace(log, dwell=changed))


def test_an_empty_log_on_disk(log: InteractionLog, tmp_path: Path) -> None:
    nothing = empty_log(log.features, log.num_slots, log.history, log.shown)
    nothing.write(tmp_path)
    _assert_same_log(read_log(tmp_path), nothing)


def test_a_missing_data_set(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no interaction log at .*nowhere"):
        read_log(tmp_path / "nowhere")


def test_a_log_of_another_kind_is_not_mixed_in(log: InteractionLog, tmp_path: Path) -> None:
    log.write(tmp_path)
    with pytest.raises(ValueError, match="must have the user_fields, item_fields, num_slots, history, shown of the"):
        planted_log().write(tmp_path)
    _assert_same_log(read_log(tmp_path), log)


def test_a_killed_write_leaves_the_old_file(
    log: InteractionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write(tmp_path)
    changed = replace(log, dwell=log.dwell + 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            changed.write(tmp_path, replace=True)
    _assert_same_log(read_log(tmp_path), log)
    changed.write(tmp_path, replace=True)
    _assert_same_log(read_log(tmp_path), changed)
    assert not list(tmp_path.rglob("*partial*"))


def test_a_write_that_is_killed_at_any_file_can_be_repeated(
    log: InteractionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = os.replace
    num_files = 2 + 5  # features, description, and a file a day
    for survived in range(num_files):
        moves = 0

        def killed_later(source: Path, target: Path, last: int = survived) -> None:
            nonlocal moves
            if moves == last:
                raise KeyboardInterrupt
            moves += 1
            move(source, target)

        folder = tmp_path / str(survived)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed_later)
            with pytest.raises(KeyboardInterrupt):
                log.write(folder)
        if survived < 2:
            with pytest.raises(FileNotFoundError):
                read_log(folder)
        else:
            _assert_same_log(read_log(folder), log.take(log.day < survived - 2) if survived > 2 else _none(log))
        log.write(folder, replace=True)
        _assert_same_log(read_log(folder), log)


def _of_two_sources(log: InteractionLog) -> InteractionLog:
    source = (np.arange(log.num_slots) % 2 + np.arange(len(log))[:, None] % 2).astype(np.int16)
    return replace(log, source=source, sources=("one", "two", "three"))


def test_slots_of_other_sources_hold_nothing_to_learn(log: InteractionLog) -> None:
    mixed = _of_two_sources(log)
    only = mixed.only(["three", "one"])
    kept = mixed.source != 1
    assert np.array_equal(only.slate, np.where(kept, mixed.slate, -1))
    assert np.array_equal(only.clicks, mixed.clicks & kept) and np.array_equal(only.likes, mixed.likes & kept)
    assert np.array_equal(only.dwell, np.where(kept, mixed.dwell, 0))
    assert np.array_equal(np.isnan(only.propensity), ~kept | np.isnan(mixed.propensity))
    for name in (*REQUEST_COLUMNS, "source"):
        assert np.array_equal(getattr(only, name), getattr(mixed, name))
    for name in SLOT_COLUMNS:
        assert getattr(only, name).dtype == getattr(mixed, name).dtype
    assert only.as_served is mixed and mixed.as_served is mixed
    assert (mixed.only([]).slate == -1).all() and np.array_equal(mixed.only(mixed.sources).slate, mixed.slate)


def test_what_a_log_hides_is_still_part_of_its_users_pasts(log: InteractionLog) -> None:
    mixed = _of_two_sources(log)
    only, halves = mixed.only(["two"]), [slice(0, len(log) // 2), slice(len(log) // 2, None)]
    rows = np.arange(0, len(log), 7)
    parts = [
        concatenate([only.take(half) for half in halves]),
        concatenate([mixed.take(halves[0]), only.take(halves[1])]),
    ]
    for part in (only, *parts):
        for name in SERVED:
            wanted = getattr(mixed.observations(rows), name)
            assert np.array_equal(getattr(part.observations(rows), name), wanted)
    assert np.array_equal(parts[1].slate[halves[0]], mixed.slate[halves[0]])
    earlier = only.between(0, 2 * TICKS_PER_DAY)
    told, wanted = earlier.observations(), mixed.between(0, 2 * TICKS_PER_DAY).observations()
    assert np.array_equal(told.clicked, wanted.clicked) and np.array_equal(told.shown, wanted.shown)


def test_a_log_that_hides_slots_is_not_written(log: InteractionLog, tmp_path: Path) -> None:
    only = _of_two_sources(log).only(["one"])
    with pytest.raises(ValueError, match="must be as served, got one that hides slots"):
        only.write(tmp_path / "log")
    assert not (tmp_path / "log").exists()
    only.as_served.write(tmp_path / "log")


def _none(log: InteractionLog) -> InteractionLog:
    return empty_log(log.features, log.num_slots, log.history, log.shown)
