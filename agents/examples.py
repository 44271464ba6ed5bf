"""From a log to what networks are trained on, in memory and in batches."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int

from agents.fields import Table
from agents.objective import Batch
from agents.requests import Requests
from recsim_lab.interaction_log import InteractionLog

A = np.ndarray
T = torch.Tensor


class Examples(ABC):
    """What a network is trained on, oldest first."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of units that a batch is counted in."""

    @property
    @abstractmethod
    def users(self) -> Int[T, " users"]:
        """Whose vectors are learned, with repetitions; none where the model has no vectors of users."""

    @abstractmethod
    def batches(self, batch_size: int, shuffled: bool) -> Iterator[Batch]:
        """All examples once, in batches of about `batch_size` units; the order is drawn by torch."""

    @abstractmethod
    def split(self, share: float) -> tuple["Examples", "Examples"]:
        """(the others, the newest `share`): what is learned from, and what tells when to stop."""


@final
@dataclass(frozen=True)
class RequestExamples(Examples):
    """Each example stands for itself: a request, and the items whose scores are judged."""

    requests: Requests
    row: Int[T, " examples"]
    """The request of each example."""
    items: Int[T, "examples candidates"]
    labels: Float[T, "examples candidates"]
    weights: Float[T, "examples candidates"] | None = None

    def __len__(self) -> int:
        return len(self.row)

    @property
    def users(self) -> Int[T, " users"]:
        return self.requests.user[self.row]

    def batches(self, batch_size: int, shuffled: bool) -> Iterator[Batch]:
        device = self.row.device
        order = torch.randperm(len(self), device=device) if shuffled else torch.arange(len(self), device=device)
        for chosen in order.split(batch_size):
            yield Batch(
                self.requests.take(self.row[chosen]),
                self.requests.table,
                self.items[chosen],
                self.labels[chosen],
                None if self.weights is None else self.weights[chosen],
            )

    def split(self, share: float) -> tuple["RequestExamples", "RequestExamples"]:
        num_first = len(self) - round(share * len(self))
        return self._take(slice(None, num_first)), self._take(slice(num_first, None))

    def _take(self, rows: slice) -> "RequestExamples":
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, row=self.row[rows], items=self.items[rows], labels=self.labels[rows], weights=weights)


def clicks_of(log: InteractionLog, table: Table, device: str, num_recent: int | None) -> RequestExamples:
    """An example for every click: the request that it answered, and the item."""
    order = np.argsort(log.tick, kind="stable")
    row, slot = np.nonzero(log.clicks[order])
    rows, row = np.unique(row, return_inverse=True)
    requests = Requests.of(log.observations(order[rows]), table, device, num_recent)
    items = log.slate[order][rows[row], slot][:, None]
    return RequestExamples(
        requests,
        torch.tensor(row, dtype=torch.long, device=device),
        torch.tensor(items, dtype=torch.long, device=device),
        torch.ones(items.shape, device=device),
    )


def slates_of(
    log: InteractionLog,
    table: Table,
    device: str,
    num_recent: int | None,
    *,
    only_clicked: bool,
    slot_weights: Float[A, " slots"] | None = None,
) -> RequestExamples:
    """An example for every slate, or for every slate with a click; `slot_weights` say what a click in a slot counts.

    Where slates without a click are examples too, the weights multiply labels, which makes the loss what it would be
    if all slots were examined alike (Saito et al., WSDM 2020): weighting those who did not click would not.
    """
    order = np.argsort(log.tick, kind="stable")
    if only_clicked:
        order = order[log.clicks[order].any(axis=1)]
    requests = Requests.of(log.observations(order), table, device, num_recent)
    labels, weights = torch.tensor(log.clicks[order], dtype=torch.float32, device=device), None
    if slot_weights is not None:
        weights = torch.tensor(slot_weights, dtype=torch.float32, device=device).expand(len(order), -1)
        if not only_clicked:
            labels, weights = labels * weights, None
    return RequestExamples(
        requests,
        torch.arange(len(order), device=device),
        torch.tensor(log.slate[order], dtype=torch.long, device=device),
        labels,
        weights,
    )


def slot_weights_of(log: InteractionLog, largest: float = 10.0) -> Float[A, " slots"]:
    """How much more a click counts in each slot than in the best one: inverse click rates, at most `largest`.

    Where slates are random, click rates of slots are in proportion to how often slots are examined, so these are
    inverse propensities (Joachims, Swaminathan & Schnabel, WSDM 2017); where a policy puts its best items first,
    they also undo part of the policy's work.
    """
    rate = log.clicks.mean(axis=0) if len(log) else np.ones(log.num_slots)
    highest = max(float(rate.max()), np.finfo(np.float64).tiny)
    return np.minimum(highest / np.maximum(rate, highest / largest), largest)
