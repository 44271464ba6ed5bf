"""Splits: what is tested is never trained on, and each split leaks exactly what it says."""

from dataclasses import replace

import numpy as np
import pytest

from recsim_lab.evaluation.protocols.splits import (
    LeaveLastOut,
    PopularityBalanced,
    RandomSplit,
    RollingOrigin,
    Split,
    TemporalSplit,
)
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.testing import planted_log

SPLITS = [TemporalSplit(2), RollingOrigin(2), LeaveLastOut(), RandomSplit(0.3), PopularityBalanced(0.3)]


def _masks(split: Split, log: InteractionLog) -> tuple[np.ndarray, np.ndarray]:
    (fold,) = split.folds(log)
    return fold.train, fold.test


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    """Rows in no order of time, which must not matter."""
    whole = planted_log(num_days=6)
    return whole.take(np.random.default_rng(0).permutation(len(whole)))


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.name)
def test_no_row_is_both_learned_from_and_tested_on(log: InteractionLog, split: Split) -> None:
    for fold in split.folds(log):
        assert fold.train.shape == fold.test.shape == (len(log),)
        assert not (fold.train & fold.test).any() and fold.train.any() and fold.test.any()


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.name)
def test_nothing_comes_of_an_empty_log(log: InteractionLog, split: Split) -> None:
    assert all(len(fold.train) == len(fold.test) == 0 for fold in split.folds(log.take(slice(0, 0))))


@pytest.mark.parametrize("test_days", [1, 2, 5])
def test_the_temporal_split_learns_from_nothing_later_than_any_test(log: InteractionLog, test_days: int) -> None:
    train, test = _masks(TemporalSplit(test_days), log)
    assert log.tick[train].max() < log.tick[test].min()
    assert set(log.day[test]) == set(range(6 - test_days, 6))
    assert (train | test).all()
    assert log.tick[test].min() >= (6 - test_days) * TICKS_PER_DAY


def test_a_temporal_split_longer_than_the_log_leaves_nothing_to_learn_from(log: InteractionLog) -> None:
    train, test = _masks(TemporalSplit(7), log)
    assert not train.any() and test.all()


def test_leave_last_out_tests_on_each_users_last_slate_with_a_click(log: InteractionLog) -> None:
    train, test = _masks(LeaveLastOut(), log)
    for user in np.unique(log.user):
        clicked = np.flatnonzero((log.user == user) & log.clicks.any(axis=1))
        last = max(clicked, key=lambda row: (log.session[row], log.step[row]))
        assert np.flatnonzero(test & (log.user == user)).tolist() == [last]
        # Of this user only what came before is learned from; of the others everything may be.
        own = np.flatnonzero(log.user == user)
        before = [row for row in own if (log.session[row], log.step[row]) < (log.session[last], log.step[last])]
        assert np.flatnonzero(train & (log.user == user)).tolist() == before
    assert (~train & ~test).any()  # otherwise nobody saw anything after their last click


def test_leave_last_out_passes_over_users_without_a_click(log: InteractionLog) -> None:
    quiet = log.take(~(log.clicks.any(axis=1) & (log.user < 5)))
    assert quiet.user[_masks(LeaveLastOut(), quiet)[1]].min() == 5


def test_the_random_split_takes_its_share_and_repeats_itself(log: InteractionLog) -> None:
    train, test = _masks(RandomSplit(0.3), log)
    np.testing.assert_array_equal(train, ~test)
    # A binomial share: 4.5 standard deviations.
    assert abs(test.mean() - 0.3) < 4.5 * np.sqrt(0.3 * 0.7 / len(log))
    np.testing.assert_array_equal(test, _masks(RandomSplit(0.3), log)[1])
    assert (test != _masks(RandomSplit(0.3, seed=1), log)[1]).any()


def test_a_rolling_origin_tells_each_stretch_from_all_before_it(log: InteractionLog) -> None:
    folds = RollingOrigin(4, 2).folds(log)
    assert [sorted(set(log.day[fold.test])) for fold in folds] == [[4, 5], [2, 3]]
    for fold in folds:
        np.testing.assert_array_equal(fold.train, log.day < log.day[fold.test].min())
    newest, temporal = folds[0], _masks(TemporalSplit(2), log)
    np.testing.assert_array_equal(newest.train, temporal[0])
    np.testing.assert_array_equal(newest.test, temporal[1])
    uneven = RollingOrigin(5, 3).folds(log)
    assert [sorted(set(log.day[fold.test])) for fold in uneven] == [[5], [3, 4], [1, 2]]


def test_the_balanced_split_tests_items_more_alike_than_the_random_one() -> None:
    log = planted_log(num_users=200, num_items=40, num_days=20)
    chance = 1 / (1 + log.slate % 10)
    log = replace(log, clicks=log.clicks & (np.random.default_rng(2).random(chance.shape) < chance))
    (random,), (balanced,) = RandomSplit(0.5).folds(log), PopularityBalanced(0.5).folds(log)
    np.testing.assert_array_equal(random.train, balanced.train)
    assert not (balanced.test & ~random.test).any()

    def spread(test: np.ndarray) -> float:
        clicks = np.bincount(log.slate[log.clicks & test[:, None]], minlength=40)
        return float(clicks.std() / clicks.mean())

    assert spread(balanced.test) < 0.6 * spread(random.test)


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(ValueError, match="test_days must be at least 1, got 0"):
        TemporalSplit(0)
    for days, folds in ((1, 1), (2, 3)):
        with pytest.raises(ValueError, match=rf"num_folds must be in \[2, test_days\], got {folds} of {days}"):
            RollingOrigin(days, folds)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=rf"test_share must be in \(0, 1\), got {share}"):
            RandomSplit(share)
