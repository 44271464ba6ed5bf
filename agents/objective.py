"""What a batch of examples is worth to a network: the two targets, catalogue and impressions.

*Catalogue*: the clicked item against items drawn from the catalogue, which teaches what users choose out of
everything, popularity included. *Impressions*: the clicked items of a slate against the others that were shown,
which teaches what users choose out of what was put before them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch
from jaxtyping import Bool, Float, Int

from agents.fields import Table
from agents.known import Known
from agents.losses import Loss
from agents.losses.log_rank import LogRank
from agents.negatives import Judge, Negatives
from agents.network import Network
from agents.transformer import full_cross_entropy

T = torch.Tensor


@dataclass(frozen=True)
class Batch:
    """Examples: `inputs` is what the network encodes to a row for each.

    For the catalogue `items` has one column, the clicked item, and labels are 1. For impressions it holds the slates
    and labels say what was clicked; `slots` is each item's place and `weights` its importance, where there are any.
    `crosses` are what each item has together with its request, beside what the network reads of both. `known` is what
    users clicked in what is learned from, told where negatives are hard. `tick` is the minute of each request: what was
    not on offer by then could not be clicked, and is no negative.
    """

    inputs: Any
    table: Table
    items: Int[T, "rows candidates"]
    labels: Float[T, "rows candidates"]
    tick: Int[T, " rows"]
    weights: Float[T, "rows candidates"] | None = None
    crosses: Float[T, "rows candidates crosses"] | None = None
    known: Known | None = None

    @property
    def mask(self) -> Bool[T, "rows candidates"]:
        """Slots that hold an item; -1 pads slates of fewer."""
        return self.items >= 0


class Objective(ABC):
    """Turns a network and a batch into a loss."""

    needs_judge: bool = False

    @property
    def of_held_out(self) -> "Objective":
        """By what examples are judged that are not learned from; the lower its loss, the better."""
        return self

    @abstractmethod
    def loss(self, network: Network, batch: Batch, judge: Network | None = None) -> Float[T, ""]:
        """The loss of the batch; `judge` is the previous model by which hard negatives are chosen."""


@final
@dataclass(frozen=True)
class Catalogue(Objective):
    """Clicked items against drawn ones. `correct` takes the log of the expected number off the negatives' scores.

    A click's weight is that of its negatives too, as if the click had come that many times.
    """

    least_ranked: ClassVar[int] = 64

    criterion: Loss
    negatives: Negatives
    num_negatives: int
    shared: bool
    correct: bool = False
    weight_decay: float = 0.0

    @property
    def needs_judge(self) -> bool:  # type: ignore[override]
        return self.negatives.needs_judge

    @property
    def of_held_out(self) -> Objective:
        """Hard negatives are others after each epoch, and the loss of easy ones does not tell what they taught: then
        it is the click's rank among easy ones, `least_ranked` of them at least."""
        if not self.needs_judge:
            return self
        num_ranked = max(self.num_negatives, self.least_ranked)
        return replace(self, criterion=LogRank(), num_negatives=num_ranked, weight_decay=0.0)

    def loss(self, network: Network, batch: Batch, judge: Network | None = None) -> Float[T, ""]:
        encoded = network.encode(batch.inputs)
        clicked = batch.items[:, 0]
        draw = self.negatives.draw(clicked, self.num_negatives, self.shared, _judged(judge, batch))
        positive, negative = network.embed(batch.items, batch.table), network.embed_drawn(draw.items, batch.table)
        scores = network.score(encoded, negative)
        if self.correct:
            scores = scores - draw.log_expected
        scores = torch.cat([network.score(encoded, positive), scores], dim=1)
        valid = draw.valid(clicked) & batch.table.on_offer(draw.items, batch.tick)
        mask = torch.cat([batch.mask, valid], dim=1)
        unclicked = torch.zeros_like(mask[:, 1:], dtype=batch.labels.dtype)
        labels = torch.cat([batch.labels, unclicked], dim=1)
        weights = None if batch.weights is None else batch.weights.expand(mask.shape)
        loss = self.criterion(scores, labels, mask, weights)
        if self.weight_decay:
            loss = loss + self.weight_decay * (network.size(encoded, positive) + network.size(encoded, negative)) / 2
        return loss


@final
@dataclass(frozen=True)
class WholeCatalogue(Objective):
    """The clicked item against all of `pool` that was on offer: the cross-entropy of the full softmax, in chunks."""

    pool: Int[T, " pool"]
    place: Int[T, " items"]
    """Where in the pool each item stands."""
    changes: bool
    """Whether some of the pool was on offer for a part of the time alone."""
    weight_decay: float = 0.0

    def loss(self, network: Network, batch: Batch, judge: Network | None = None) -> Float[T, ""]:
        encoded = network.encode(batch.inputs)
        embedded = network.embed(self.pool, batch.table)
        weights = None if batch.weights is None else batch.weights[:, 0]
        on_offer = None
        if self.changes:

            def on_offer(chunk: slice) -> Bool[T, "chunk items"]:
                return batch.table.on_offer(self.pool, batch.tick[chunk])

        target = self.place[batch.items[:, 0]]
        loss = full_cross_entropy(encoded, embedded, target, None, weights, on_offer)
        if self.weight_decay:
            loss = loss + self.weight_decay * network.size(encoded, embedded)
        return loss


@final
@dataclass(frozen=True)
class Impressions(Objective):
    """The clicked items of a slate against the others that it held.

    `slot_bias` is added to the scores, an offset for each slot that is learned with the network and left out when it
    serves, so that a click in a good place is not mistaken for a good item.
    """

    criterion: Loss
    slot_bias: Float[T, " slots"] | None = None
    weight_decay: float = 0.0

    def loss(self, network: Network, batch: Batch, judge: Network | None = None) -> Float[T, ""]:
        encoded, embedded = network.encode(batch.inputs), network.embed(batch.items, batch.table)
        if batch.crosses is not None:
            embedded = network.crossed(embedded, batch.crosses)
        scores = network.score(encoded, embedded)
        if self.slot_bias is not None:
            scores = scores + self.slot_bias
        loss = self.criterion(scores, batch.labels, batch.mask, batch.weights)
        if self.weight_decay:
            loss = loss + self.weight_decay * network.size(encoded, embedded)
        return loss


def _judged(judge: Network | None, batch: Batch) -> Judge | None:
    if judge is None:
        return None

    def scores(items: Int[T, " candidates"]) -> Float[T, "rows candidates"]:
        with torch.no_grad():
            found = judge.score(judge.encode(batch.inputs), judge.embed(items, batch.table))
        found = found.masked_fill(~batch.table.on_offer(items, batch.tick), -torch.inf)
        return found if batch.known is None else found.masked_fill(batch.known.among(items), -torch.inf)

    return scores
