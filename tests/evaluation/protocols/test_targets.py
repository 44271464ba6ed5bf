"""Targets against literal twins, one slot at a time."""

from dataclasses import replace

import numpy as np
import pytest

from recsim_lab.evaluation.protocols import Click, Composite, Like, LongDwell, Return, TrueChoice
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.testing import planted_log


@pytest.fixture(scope="module")
def log() -> InteractionLog:
    """Rows in no order of time, with dwell and likes, and users who stay away for some days."""
    rng = np.random.default_rng(0)
    whole = planted_log(num_users=15, num_items=30, num_days=20)
    whole = whole.take((rng.random(16 * 20) < 0.3)[whole.user * 20 + whole.day] & (whole.day < 20))
    whole = whole.take(rng.permutation(len(whole)))
    dwell = np.where(whole.clicks, rng.exponential(size=whole.clicks.shape), 0).astype(np.float32)
    return replace(whole, dwell=dwell, likes=whole.clicks & (rng.random(whole.clicks.shape) < 0.3))


def test_clicks_and_likes_are_as_logged(log: InteractionLog) -> None:
    np.testing.assert_array_equal(Click().gains(log), log.clicks)
    np.testing.assert_array_equal(Like().gains(log), log.likes)


def test_long_dwell_takes_its_share_of_the_clicks(log: InteractionLog) -> None:
    long = LongDwell(0.25).gains(log) > 0
    assert not (long & ~log.clicks).any()
    assert log.dwell[long].min() > log.dwell[log.clicks & ~long].max()
    assert abs(long.sum() / log.clicks.sum() - 0.25) < 2 / log.clicks.sum()


def test_returns_equal_the_literal_twin(log: InteractionLog) -> None:
    gains = Return(3).gains(log)
    end = (log.day.max() + 1) * TICKS_PER_DAY
    states = set()
    for row in range(len(log)):
        visits = sorted({int(s) for s in log.session[log.user == log.user[row]]})
        later = [s for s in visits if s > log.session[row]]
        start = log.tick[(log.user == log.user[row]) & (log.session == log.session[row])].min()
        if start + 3 * TICKS_PER_DAY > end:
            assert np.isnan(gains[row]).all()
            states.add("unknown")
            continue
        back = bool(later) and bool(
            log.tick[(log.user == log.user[row]) & (log.session == later[0])].min() - start <= 3 * TICKS_PER_DAY
        )
        states.add(back)
        np.testing.assert_array_equal(gains[row], log.clicks[row] * back)
    assert states == {True, False, "unknown"}


def test_a_composite_is_the_weighted_sum(log: InteractionLog) -> None:
    parts = ((Click(), 1.0), (LongDwell(0.25), 2.0), (Like(), 0.5))
    expected = sum(weight * part.gains(log) for part, weight in parts)
    np.testing.assert_allclose(Composite(parts).gains(log), expected)
    assert Composite(parts).said == "an item's gain is 1 x click + 2 x dwell + 0.5 x like"


def test_nothing_comes_of_nothing(log: InteractionLog) -> None:
    empty = log.take(slice(0, 0))
    for target in (Click(), LongDwell(), Like(), Return(), Composite()):
        assert target.gains(empty).shape == (0, log.num_slots)
    quiet = replace(log, clicks=np.zeros_like(log.clicks))
    assert not LongDwell().gains(quiet).any()


def test_wrong_parameters_and_the_truth_are_named(log: InteractionLog) -> None:
    with pytest.raises(ValueError, match=r"share must be in \(0, 1\), got 1.0"):
        LongDwell(1.0)
    with pytest.raises(ValueError, match="days must be at least 1, got 0"):
        Return(0)
    with pytest.raises(ValueError, match="weights above 0"):
        Composite(((Click(), 0.0),))
    with pytest.raises(ValueError, match="true choice is not in a log"):
        TrueChoice().gains(log)
