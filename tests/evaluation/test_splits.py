"""Splits: what is tested is never trained on, and each split leaks exactly what it says."""

import numpy as np
import pytest

from recsim_lab.evaluation.splits import LeaveLastOut, RandomSplit, Split, TemporalSplit
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.testing import planted_log

SPLITS = [TemporalSplit(2), LeaveLastOut(), RandomSplit(0.3)]


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    """Rows in no order of time, which must not matter."""
    whole = planted_log(num_days=6)
    return whole.take(np.random.default_rng(0).permutation(len(whole)))


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.name)
def test_no_row_is_both_learned_from_and_tested_on(log: InteractionLog, split: Split) -> None:
    train, test = split.parts(log)
    assert train.shape == test.shape == (len(log),)
    assert not (train & test).any() and train.any() and test.any()


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.name)
def test_nothing_comes_of_an_empty_log(log: InteractionLog, split: Split) -> None:
    train, test = split.parts(log.take(slice(0, 0)))
    assert len(train) == len(test) == 0


@pytest.mark.parametrize("test_days", [1, 2, 5])
def test_the_temporal_split_learns_from_nothing_later_than_any_test(log: InteractionLog, test_days: int) -> None:
    train, test = TemporalSplit(test_days).parts(log)
    assert log.tick[train].max() < log.tick[test].min()
    assert set(log.day[test]) == set(range(6 - test_days, 6))
    assert (train | test).all()
    assert log.tick[test].min() >= (6 - test_days) * TICKS_PER_DAY


def test_a_temporal_split_longer_than_the_log_leaves_nothing_to_learn_from(log: InteractionLog) -> None:
    train, test = TemporalSplit(7).parts(log)
    assert not train.any() and test.all()


def test_leave_last_out_tests_on_each_users_last_slate_with_a_click(log: InteractionLog) -> None:
    train, test = LeaveLastOut().parts(log)
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
    assert quiet.user[LeaveLastOut().parts(quiet)[1]].min() == 5


def test_the_random_split_takes_its_share_and_repeats_itself(log: InteractionLog) -> None:
    train, test = RandomSplit(0.3).parts(log)
    np.testing.assert_array_equal(train, ~test)
    # A binomial share: 4.5 standard deviations.
    assert abs(test.mean() - 0.3) < 4.5 * np.sqrt(0.3 * 0.7 / len(log))
    np.testing.assert_array_equal(test, RandomSplit(0.3).parts(log)[1])
    assert (test != RandomSplit(0.3, seed=1).parts(log)[1]).any()


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(ValueError, match="test_days must be at least 1, got 0"):
        TemporalSplit(0)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=rf"test_share must be in \(0, 1\), got {share}"):
            RandomSplit(share)
