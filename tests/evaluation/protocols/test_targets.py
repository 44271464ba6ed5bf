"""Targets against literal twins, one slot at a time."""

from dataclasses import replace

import numpy as np
import pytest

from recsim_lab.evaluation.protocols import (
    Click,
    Composite,
    Examined,
    Like,
    LongDwell,
    Return,
    TrueChoice,
    Unselected,
)
from recsim_lab.examination import by_propensities
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.propensities import inverse_propensities
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


def test_clicks_count_by_how_rarely_their_slot_is_looked_at(log: InteractionLog) -> None:
    relative = tuple(1 / (1 + slot) for slot in range(log.num_slots))
    known = Examined(relative, most_weight=2.5).gains(log)
    for slot in range(log.num_slots):
        np.testing.assert_allclose(known[:, slot], log.clicks[:, slot] * min(1 + slot, 2.5), rtol=1e-6)
    told = Examined().gains(log)
    assert (told > 0).sum() == log.clicks.sum()
    np.testing.assert_allclose(told, log.clicks * by_propensities(log).weights(), rtol=1e-6)
    with pytest.raises(ValueError, match=rf"relative must have a number for each of {log.num_slots} slots, got 2"):
        Examined((1.0, 0.5)).gains(log)


def test_clicks_count_by_how_rarely_their_item_was_shown(log: InteractionLog) -> None:
    """Shown half as often as by chance counts twice, at most so much; without propensities nothing can be told."""
    even = float(log.propensity[0, 0])
    other = np.where(log.user[:, None] % 2, 2 * even, even / 200)
    rare = replace(log, propensity=np.broadcast_to(other, log.slate.shape).astype(np.float32))
    gains, weights = Unselected().gains(rare), inverse_propensities(rare, whole=False)
    np.testing.assert_allclose(gains, rare.clicks * weights, rtol=1e-6)
    often, seldom = (gains[(log.user % 2 == odd)[:, None] & log.clicks] for odd in (1, 0))
    assert len(np.unique(often)) == 1 and len(np.unique(seldom)) == 1
    assert seldom[0] / often[0] == pytest.approx(min(400, 100 / often[0]), rel=1e-5)
    unknown = replace(log, propensity=np.full(log.slate.shape, np.nan, np.float32))
    assert np.isnan(Unselected().gains(unknown)).all() and np.isnan(Examined().gains(unknown)).all()


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
