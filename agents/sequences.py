"""Users' clicks as packed tokens: those of a log to learn from, and those of requests to answer."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from agents.known import Known
from agents.requests import Requests
from agents.transformer import Packing, pack
from agents.weighting import Selection
from recsim_lab.interaction_log import InteractionLog

A = np.ndarray
T = torch.Tensor

NOTHING, MASKED = -1, -2
"""Tokens that are no items: what stands before a user's first click, and an item that is to be guessed."""
NUM_GAPS = 24
"""Gap 0 is unknown; gap k > 0 is of 2^(k-1) - 1 to 2^k - 2 minutes. The last one is beyond eight years."""


@final
@dataclass(frozen=True)
class Sequences:
    """A batch of packed sequences, and the tokens whose states are asked for."""

    token: Int[T, " tokens"]
    """Items, `NOTHING` or `MASKED`."""
    gap: Int[T, " tokens"]
    """How long from this click to the next event, by its power of two; see `NUM_GAPS`."""
    packing: Packing
    wanted: Int[T, " rows"]


@final
@dataclass(frozen=True)
class ClickSequences:
    """The clicks of each user in order of time, one user after the other.

    `first` and `end` bound the clicks of each sequence. Those from `first_target` on are to be predicted if they may
    be learned from; the others are context.
    """

    item: Int[T, " clicks"]
    tick: Int[T, " clicks"]
    first: Int[T, " sequences"]
    end: Int[T, " sequences"]
    first_target: Int[T, " sequences"]
    may_learn: Bool[T, " clicks"]
    selection: Selection | None = None
    """How much each click counts as what is to be predicted."""

    @staticmethod
    def of(log: InteractionLog, device: str, selection: Selection | None = None) -> "ClickSequences":
        """All clicks of a log up to each user's newest that may be learned from; those of one slate in order of its
        slots. `selection` is of the log's slots."""
        order = np.lexsort((log.step, log.session, log.user))
        served = log.as_served
        row, slot = np.nonzero(served.clicks[order])
        row = order[row]
        num = np.unique(log.user[row], return_counts=True)[1]
        end = torch.tensor(np.cumsum(num), dtype=torch.long, device=device)
        first = end - torch.tensor(num, dtype=torch.long, device=device)
        item = torch.tensor(served.slate[row, slot], dtype=torch.long, device=device)
        tick = torch.tensor(log.tick[row], device=device)
        may_learn = torch.tensor(log.clicks[row, slot], device=device)
        selected = None if selection is None else selection.at(row, slot)
        return ClickSequences(item, tick, first, end, first, may_learn, selected)._ended()

    def __len__(self) -> int:
        return len(self.first)

    def split(self, share: float) -> tuple["ClickSequences", "ClickSequences"]:
        """(all but the newest clicks, the newest `share` of the clicks with what was before them as context)."""
        num_newest = min(round(share * len(self.item)), len(self.item) - 1)
        newest = torch.zeros(len(self.item) + 1, dtype=torch.long, device=self.item.device)
        newest[1:][torch.sort(self.tick, stable=True).indices[len(self.item) - num_newest :]] = 1
        before = newest.cumsum(0)
        boundary = self.end - (before[self.end] - before[self.first])
        older = replace(self, end=boundary)._where(boundary > self.first)._ended()
        return older, replace(self, first_target=boundary)._where(boundary < self.end)

    def _where(self, kept: Bool[T, " sequences"]) -> "ClickSequences":
        return replace(self, first=self.first[kept], end=self.end[kept], first_target=self.first_target[kept])

    def weights(self, clicks: Int[T, " chosen"]) -> Float[T, "chosen 1"] | None:
        """How much these clicks count that a batch asks for, where they do not count alike."""
        return None if self.selection is None else self.selection.batch(clicks)

    def known(self, chosen: Int[T, " chosen"], sequence: Int[T, " rows"]) -> Known:
        """All clicks of the chosen sequences, those to be predicted among them; `sequence` is the place in `chosen` of
        each row that asks."""
        return Known.of(self.item, self.first[chosen], self.end[chosen], sequence)

    def _ended(self) -> "ClickSequences":
        """Each sequence up to its newest click that may be learned from: what comes after is context of nothing."""
        place = torch.arange(len(self.item), device=self.item.device)
        newest = torch.where(self.may_learn, place, -1).cummax(dim=0).values
        end = newest[self.end - 1] + 1
        return replace(self, end=end)._where(end > self.first)

    def targets(self, max_length: int) -> Int[T, " targets"]:
        """The items that are to be predicted in the last `max_length` clicks of all sequences."""
        windows = self.windows(torch.arange(len(self), device=self.item.device), max_length)
        return self.item[windows.place[windows.is_target]]

    def windows(self, chosen: Int[T, " chosen"], max_length: int) -> "Windows":
        """The last `max_length` clicks of the chosen sequences."""
        first, end = self.first[chosen], self.end[chosen]
        lengths = (end - first).clamp(max=max_length)
        packing = pack(lengths)
        place = packing.position + torch.repeat_interleave(end - lengths, lengths)
        return Windows(
            place,
            place == torch.repeat_interleave(first, lengths),
            self.may_learn[place] & (place >= torch.repeat_interleave(self.first_target[chosen], lengths)),
            packing,
        )


@final
@dataclass(frozen=True)
class Windows:
    """Packed clicks of some sequences: where each stands among all, and what is known of it."""

    place: Int[T, " tokens"]
    is_first: Bool[T, " tokens"]
    """Nothing was clicked before it."""
    is_target: Bool[T, " tokens"]
    packing: Packing

    @property
    def sequence(self) -> Int[T, " tokens"]:
        """Which of the sequences each is of."""
        lengths = self.packing.lengths
        return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)


def gap_of(minutes: Int[T, "*shape"]) -> Int[T, "*shape"]:
    """The number of a time between two events; 0 where `minutes` is negative, which means unknown."""
    return torch.frexp((minutes + 1).clamp(min=0).double()).exponent.long().clamp(max=NUM_GAPS - 1)


def histories(requests: Requests, max_length: int) -> Sequences:
    """The clicks before each request after a `NOTHING`, of which the last state answers it."""
    nothing = torch.full_like(requests.clicked[:, :1], NOTHING)
    since = torch.cat([nothing, requests.clicked_tick], dim=1).long()
    until = torch.cat([requests.clicked_tick.long(), requests.tick[:, None]], dim=1)
    token = torch.cat([nothing, requests.clicked], dim=1).long()
    return _packed(requests, token, torch.where(token >= 0, until - since, -1), max_length)


def masked_histories(requests: Requests, max_length: int) -> Sequences:
    """The clicks before each request and then a `MASKED`, whose state answers it."""
    mask = torch.full_like(requests.clicked[:, :1], MASKED)
    ticks = torch.cat([requests.clicked_tick.long(), requests.tick[:, None]], dim=1)
    token = torch.cat([requests.clicked, mask], dim=1).long()
    gap = torch.cat([ticks.diff(dim=1), torch.full_like(requests.tick[:, None], -1)], dim=1)
    return _packed(requests, token, gap, max_length)


def _packed(requests: Requests, token: T, minutes: T, max_length: int) -> Sequences:
    """The tokens of each row without its padding on the left, at most the `max_length` newest of them."""
    width = token.shape[1]
    lengths = (1 + (requests.clicked >= 0).sum(dim=1)).clamp(max=max_length)
    kept = torch.arange(width, device=token.device) >= width - lengths[:, None]
    packing = pack(lengths)
    return Sequences(token[kept], gap_of(minutes[kept]), packing, packing.last)
