"""Sequences of clicks: what a model reads when it answers is what it read when it learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.bert4rec import MaskedClicks
from agents.fields import Schema
from agents.registry import make_agent
from agents.requests import Requests
from agents.sasrec import NextClicks
from agents.sequences import MASKED, NOTHING, ClickSequences, gap_of, histories, masked_histories
from recsim_lab.testing import planted_log

A = np.ndarray


@pytest.fixture(scope="module")
def single():
    """A log in which no slate has more than one click, with gaps of all lengths; shuffled, but for its ticks."""
    log = planted_log(num_users=12, num_items=15, num_days=5)
    log = replace(log, clicks=log.clicks & (np.cumsum(log.clicks, axis=1) == 1), history=30)
    generator = np.random.default_rng(1)
    order = np.lexsort((log.step, log.session, log.user))
    ticks = np.cumsum(2 ** generator.integers(0, 12, len(log)))
    tick = np.empty(len(log), np.int64)
    tick[order] = ticks
    log = replace(log, tick=tick)
    return log.take(generator.permutation(len(log)))


def clicks_by_user(log) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for row in np.lexsort((log.step, log.session, log.user)):
        for slot in range(log.num_slots):
            if log.clicks[row, slot]:
                found.setdefault(int(log.user[row]), []).append((int(log.slate[row, slot]), int(log.tick[row])))
    return found


def table_of(log):
    return Schema.of(log.features, 12, 1).table(log.features, "cpu")


def requests_of(log, rows: A, num_recent: int | None = None) -> Requests:
    return Requests.of(log.observations(rows), table_of(log), "cpu", num_recent)


def test_gaps_are_powers_of_two():
    assert gap_of(torch.tensor([-1, 0, 1, 2, 3, 6, 7, 14, 15])).tolist() == [0, 1, 2, 2, 3, 3, 4, 4, 5]
    assert gap_of(torch.tensor([-9, 2**21 - 2, 2**21 - 1, 2**40])).tolist() == [0, 21, 22, 23]


def test_sequences_are_the_clicks_of_each_user_in_order(single):
    sequences = ClickSequences.of(single, "cpu")
    known = clicks_by_user(single)
    assert len(sequences) == len(known)
    for first, end, (_, clicks) in zip(sequences.first, sequences.end, sorted(known.items()), strict=True):
        mine = list(zip(sequences.item[first:end].tolist(), sequences.tick[first:end].tolist(), strict=True))
        assert mine == clicks


def test_the_newest_share_is_held_out(single):
    sequences = ClickSequences.of(single, "cpu")
    older, newest = sequences.split(0.3)
    num_newest = round(0.3 * len(sequences.item))
    boundary = np.sort(sequences.tick.numpy())[-num_newest]
    held_out = torch.cat(
        [sequences.tick[f:e] for f, e in zip(newest.first_target.tolist(), newest.end.tolist(), strict=True)]
    )
    kept = torch.cat([sequences.tick[f:e] for f, e in zip(older.first.tolist(), older.end.tolist(), strict=True)])
    assert len(held_out) == num_newest and len(kept) + num_newest == len(sequences.item)
    assert held_out.min() == boundary and kept.max() < boundary
    whole = {int(e): int(f) for f, e in zip(sequences.first, sequences.end, strict=True)}
    assert all(whole[int(e)] == int(f) for f, e in zip(newest.first, newest.end, strict=True))


def test_nothing_or_all_but_one_click_may_be_held_out(single):
    sequences = ClickSequences.of(single, "cpu")
    assert len(sequences.split(0.0)[1]) == 0 and torch.equal(sequences.split(0.0)[0].end, sequences.end)
    older, newest = sequences.split(0.9999)
    assert len(older) == 1 and (older.end - older.first).tolist() == [1]
    assert (newest.end - newest.first_target).sum() == len(sequences.item) - 1


@pytest.mark.parametrize("max_length", [3, 8, 100])
def test_a_request_reads_what_training_read(single, max_length):
    """The sequence of a request that answered a click is the beginning of the user's training sequence."""
    log = single
    batch = next(NextClicks(ClickSequences.of(log, "cpu"), table_of(log), max_length).batches(1_000, shuffled=False))
    lengths = batch.inputs.packing.lengths.tolist()
    training = {
        user: (tokens.tolist(), gaps.tolist(), targets.tolist())
        for user, tokens, gaps, targets in zip(
            sorted(clicks_by_user(log)),
            batch.inputs.token.split(lengths),
            batch.inputs.gap.split(lengths),
            batch.items[:, 0].split(lengths),
            strict=True,
        )
    }
    rows = np.flatnonzero(log.clicks.any(axis=1))
    served = histories(requests_of(log, rows), 100)
    for row, token, gap in zip(
        rows,
        served.token.split(served.packing.lengths.tolist()),
        served.gap.split(served.packing.lengths.tolist()),
        strict=True,
    ):
        tokens, gaps, targets = training[int(log.user[row])]
        num_clicks = len(clicks_by_user(log)[int(log.user[row])])
        cut = num_clicks - len(targets)  # clicks before the window
        if len(token) <= cut:
            continue
        assert targets[len(token) - 1 - cut] == log.slate[row][log.clicks[row]][0]
        assert tokens[: len(token) - cut] == token.tolist()[cut:]
        assert gaps[: len(token) - cut] == gap.tolist()[cut:]


def test_requests_are_cut_to_the_newest(single):
    rows = np.lexsort((single.step, single.session, single.user))[[0, 5, 19, 20, 39]]
    requests = requests_of(single, rows)
    for max_length in (1, 4, 100):
        for place, sequences in enumerate((histories(requests, max_length), masked_histories(requests, max_length))):
            parts = sequences.token.split(sequences.packing.lengths.tolist())
            for part, row in zip(parts, rows, strict=True):
                past = [i for i, t in clicks_by_user(single)[int(single.user[row])] if t < single.tick[row]]
                whole = [*past, MASKED] if place else [NOTHING, *past]
                assert part.tolist() == whole[-max_length:]
            assert torch.equal(sequences.wanted, sequences.packing.last)


def test_the_mask_of_a_request_has_no_gap_and_the_newest_click_the_time_until_now(single):
    row = np.lexsort((single.step, single.session, single.user))[15:16]
    sequences = masked_histories(requests_of(single, row), 100)
    past = [t for _, t in clicks_by_user(single)[int(single.user[row[0]])] if t < single.tick[row[0]]]
    minutes = np.diff([*past, int(single.tick[row[0]])])
    assert sequences.gap.tolist() == [*gap_of(torch.from_numpy(minutes)).tolist(), 0]


@pytest.mark.parametrize("shuffled", [True, False])
def test_masked_items_are_hidden_and_asked_for(single, shuffled):
    torch.manual_seed(0)
    clicks = ClickSequences.of(single, "cpu")
    examples = MaskedClicks(clicks, table_of(single), 100, mask_probability=0.3, last_probability=0.0)
    num_masked = 0
    for _ in range(100):
        seen = []
        for batch in examples.batches(5, shuffled):
            inputs, last = batch.inputs, batch.inputs.packing.last
            assert torch.equal(torch.nonzero(inputs.token == MASKED)[:, 0], inputs.wanted)
            restored = inputs.token.clone()
            restored[inputs.wanted] = batch.items[:, 0]
            seen += [tuple(part.tolist()) for part in restored.split(inputs.packing.lengths.tolist())]
            assert (inputs.gap[last] == 0).all()
            if not shuffled:
                assert torch.equal(inputs.wanted, last)
            num_masked += len(inputs.wanted)
        assert sorted(seen) == sorted(tuple(i for i, _ in c) for c in clicks_by_user(single).values())
    if shuffled:
        # Independent draws of 0.3, but for sequences in which none is drawn: those of 20 clicks are 0.0008 of all.
        draws = 100 * len(clicks.item)
        assert abs(num_masked / draws - 0.3) < 5 * (0.3 * 0.7 / draws) ** 0.5 + 0.001


def test_the_newest_alone_is_masked_as_often_as_told(single):
    torch.manual_seed(0)
    clicks = ClickSequences.of(single, "cpu")
    examples = MaskedClicks(clicks, table_of(single), 100, mask_probability=1.0, last_probability=0.25)
    alone = 0
    for _ in range(200):
        (batch,) = examples.batches(100, shuffled=True)
        parts = (batch.inputs.token == MASKED).split(batch.inputs.packing.lengths.tolist())
        assert all(part.all() or (part[-1] and part.sum() == 1) for part in parts)
        alone += sum(int(part.sum()) == 1 for part in parts)
    num = 200 * len(clicks)
    assert abs(alone / num - 0.25) < 5 * (0.25 * 0.75 / num) ** 0.5


def test_a_slates_clicks_count_in_order_of_its_slots():
    log = planted_log(num_users=12, num_items=15)
    sequences = ClickSequences.of(log, "cpu")
    flat = [item for _, clicks in sorted(clicks_by_user(log).items()) for item, _ in clicks]
    assert sequences.item.tolist() == flat


@pytest.mark.parametrize("spec", ["mf", "sasrec:max_length=3"])
def test_shares_of_clicks_are_of_those_that_an_epoch_asks_for(spec):
    """In-batch negatives are expected as often as their items are to be predicted, which is not as often as clicked."""
    log = planted_log(num_users=30, num_days=3)
    agent = make_agent(spec, seed=0)
    table = Schema.of(log.features, 30, 1).table(log.features, "cpu")
    examples, _ = agent.catalogue_examples(log, table, None).split(0.3)
    asked = torch.bincount(examples.clicked, minlength=40)
    found = torch.cat([batch.items[:, 0] for batch in examples.batches(8, shuffled=True)])
    assert torch.bincount(found, minlength=40).tolist() == asked.tolist() and asked.sum() < log.clicks.sum()
