"""Logs become examples: every click, or every slate, once, with what was known at the moment of the request."""

import numpy as np
import pytest
import torch

from agents.examples import clicks_of, slates_of
from agents.fields import Schema

A = np.ndarray


@pytest.fixture(scope="module")
def small(log):
    """Three days of 12 users, in no order of time."""
    small = log.take((log.user < 12) & (log.session < 3))
    return small.take(np.random.default_rng(0).permutation(len(small)))


def table_of(log):
    return Schema.of(log.features, 60, 1).table(log.features, "cpu")


def history(log, row: int, num_recent: int) -> list[int]:
    """The user's clicks before a slate, oldest first, by going through the log."""
    before = sorted(
        (int(log.tick[other]), int(log.slate[other, slot]), slot)
        for other in range(len(log))
        if log.user[other] == log.user[row] and log.tick[other] < log.tick[row]
        for slot in np.flatnonzero(log.clicks[other])
    )
    before.sort(key=lambda event: (event[0], event[2]))
    return [item for _, item, _ in before][-num_recent:]


def test_every_click_is_an_example_with_its_own_past(small):
    examples = clicks_of(small, table_of(small), "cpu", 6)
    found = []
    for batch in examples.batches(len(examples), shuffled=False):
        requests = batch.inputs
        assert (batch.labels == 1).all() and batch.items.shape[1] == 1 and batch.mask.all()
        for row in range(len(requests)):
            clicked = requests.clicked[row]
            past = clicked[clicked >= 0].tolist()
            found.append((int(requests.tick[row]), int(requests.user[row]), int(batch.items[row, 0]), past))
    wanted = [
        (int(small.tick[row]), int(small.user[row]), int(small.slate[row, slot]), history(small, row, 6))
        for row in range(len(small))
        for slot in np.flatnonzero(small.clicks[row])
    ]
    assert sorted(found) == sorted(wanted)
    ticks = [tick for tick, *_ in found]
    assert ticks == sorted(ticks)


@pytest.mark.parametrize("only_clicked", [False, True])
def test_every_slate_is_an_example(only_clicked, small):
    weights = np.array([1, 2, 3, 4, 5.0])
    examples = slates_of(small, table_of(small), "cpu", 6, only_clicked=only_clicked, slot_weights=weights)
    kept = small.take(small.clicks.any(axis=1)) if only_clicked else small
    kept = kept.take(np.argsort(kept.tick, kind="stable"))
    assert np.array_equal(examples.items, kept.slate)
    assert np.array_equal(examples.requests.user[examples.row], kept.user)
    clicked = examples.requests.clicked[examples.row]
    for row in range(0, len(kept), 7):
        first = int(
            np.flatnonzero(small.tick == kept.tick[row])[small.user[small.tick == kept.tick[row]] == kept.user[row]][0]
        )
        assert clicked[row][clicked[row] >= 0].tolist() == history(small, first, 6)
    if only_clicked:
        assert np.array_equal(examples.labels, kept.clicks)
        assert np.array_equal(examples.weights, np.tile(weights, (len(kept), 1)))
    else:
        assert np.array_equal(examples.labels, kept.clicks * weights) and examples.weights is None


def test_batches_hold_everything_once(small):
    examples = slates_of(small, table_of(small), "cpu", 0, only_clicked=False)
    torch.manual_seed(0)
    in_order, shuffled, again = (list(examples.batches(10, shuffled)) for shuffled in (False, True, True))
    assert [len(batch.items) for batch in in_order] == [10] * (len(small) // 10) + [len(small) % 10] * (
        len(small) % 10 > 0
    )

    def rows(batches) -> A:
        """Request and slate of each example, which must have stayed together."""
        return np.concatenate([np.column_stack([b.inputs.tick, b.inputs.user, b.items, b.labels]) for b in batches])

    one, two, three = rows(in_order), rows(shuffled), rows(again)
    assert not np.array_equal(one, two) and not np.array_equal(two, three)
    for other in (two, three):
        assert np.array_equal(np.unique(one, axis=0), np.unique(other, axis=0)) and len(one) == len(other)
    assert (np.diff(one[:, 0]) >= 0).all()


@pytest.mark.parametrize("share, num_newest", [(0.0, 0), (0.1, 14), (0.5, 72), (0.999, 143)])
def test_the_newest_are_held_out(share, num_newest, small):
    examples = slates_of(small, table_of(small), "cpu", 0, only_clicked=False, slot_weights=np.arange(5.0))
    older, newest = examples.split(share)
    assert len(examples) == 144 and (len(older), len(newest)) == (144 - num_newest, num_newest)
    assert torch.equal(torch.cat([older.items, newest.items]), examples.items)
    assert torch.equal(torch.cat([older.row, newest.row]), examples.row)
    assert torch.equal(torch.cat([older.labels, newest.labels]), examples.labels)
    if len(older) and len(newest):
        assert examples.requests.tick[older.row].max() <= examples.requests.tick[newest.row].min()
