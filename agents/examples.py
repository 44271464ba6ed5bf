"""From a log to what networks are trained on, in memory and in batches."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int

from agents.fields import Table
from agents.known import Known
from agents.objective import Batch
from agents.requests import Requests
from agents.weighting import Selection
from recsim_lab.interaction_log import InteractionLog

A = np.ndarray
T = torch.Tensor


@dataclass(frozen=True)
class Crosses:
    """What is known of some slates' requests and items together, beside their features: `values[i, k]` of slot k of
    the log's row `rows[i]`."""

    rows: Int[A, " slates"]
    values: Float[A, "slates slots crosses"]


class Examples(ABC):
    """What a network is trained on, oldest first."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of units that a batch is counted in."""

    @property
    @abstractmethod
    def users(self) -> Int[T, " users"]:
        """Whose vectors are learned, with repetitions; none where the model has no vectors of users."""

    @property
    @abstractmethod
    def clicked(self) -> Int[T, " clicks"]:
        """The items of all clicks that are to be predicted, with repetitions; those of slates aside."""

    @abstractmethod
    def batches(self, batch_size: int, shuffled: bool) -> Iterator[Batch]:
        """All examples once, in batches of about `batch_size` units; the order is drawn by torch."""

    @abstractmethod
    def split(self, share: float) -> tuple["Examples", "Examples"]:
        """(the others, the newest `share`): what is learned from, one at least, and what tells when to stop."""


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
    selection: Selection | None = None
    """Another weight, for how rarely what the example shows was shown."""
    crosses: Float[T, "examples candidates crosses"] | None = None
    tells_known: bool = False
    """Whether batches tell what their users clicked in all of these examples, which then are of one item each. What is
    held out is no part of it, as nothing of it may be learned."""

    def __len__(self) -> int:
        return len(self.row)

    @property
    def users(self) -> Int[T, " users"]:
        return self.requests.user[self.row]

    @property
    def clicked(self) -> Int[T, " clicks"]:
        return self.items[:, 0]

    def batches(self, batch_size: int, shuffled: bool) -> Iterator[Batch]:
        device = self.row.device
        order = torch.randperm(len(self), device=device) if shuffled else torch.arange(len(self), device=device)
        for chosen in order.split(batch_size):
            yield Batch(
                self.requests.take(self.row[chosen]),
                self.requests.table,
                self.items[chosen],
                self.labels[chosen],
                self.requests.tick[self.row[chosen]],
                self._weights(chosen),
                None if self.crosses is None else self.crosses[chosen],
                self._known(chosen) if self.tells_known else None,
            )

    @cached_property
    def _by_user(self) -> tuple[Int[T, " examples"], Int[T, " examples"]]:
        """(users, ascending; the item that each clicked)."""
        user, order = torch.sort(self.users, stable=True)
        return user, self.items[order, 0]

    def _known(self, chosen: Int[T, " chosen"]) -> Known:
        users, items = self._by_user
        user, place = self.requests.user[self.row[chosen]].unique(return_inverse=True)
        first, end = (torch.searchsorted(users, user, right=right) for right in (False, True))
        return Known.of(items, first, end, place)

    def _weights(self, chosen: Int[T, " chosen"]) -> Float[T, "chosen candidates"] | None:
        weights = None if self.weights is None else self.weights[chosen]
        if self.selection is None:
            return weights
        selected = self.selection.batch(chosen).expand(-1, self.items.shape[1])
        return selected if weights is None else selected * weights

    def split(self, share: float) -> tuple["RequestExamples", "RequestExamples"]:
        num_first = max(len(self) - round(share * len(self)), 1)
        return self._take(slice(None, num_first)), self._take(slice(num_first, None))

    def _take(self, rows: slice) -> "RequestExamples":
        return replace(
            self,
            row=self.row[rows],
            items=self.items[rows],
            labels=self.labels[rows],
            weights=None if self.weights is None else self.weights[rows],
            selection=None if self.selection is None else self.selection.take(rows),
            crosses=None if self.crosses is None else self.crosses[rows],
        )


def clicks_of(
    log: InteractionLog,
    table: Table,
    device: str,
    num_recent: int | None,
    selection: Selection | None = None,
    *,
    tells_known: bool = False,
) -> RequestExamples:
    """An example for every click: the request that it answered, and the item; `selection` is of the log's slots.

    With `tells_known` it also tells the other clicks of its user, those of slots that the log hides excepted.
    """
    order = np.argsort(log.tick, kind="stable")
    row, slot = np.nonzero(log.clicks[order])
    rows, row = np.unique(row, return_inverse=True)
    requests = _requests(log, order[rows], table, device, num_recent)
    items = log.slate[order][rows[row], slot][:, None]
    return RequestExamples(
        requests,
        torch.tensor(row, dtype=torch.long, device=device),
        torch.tensor(items, dtype=torch.long, device=device),
        torch.ones(items.shape, device=device),
        selection=None if selection is None else selection.at(order[rows[row]], slot),
        tells_known=tells_known,
    )


def slates_of(
    log: InteractionLog,
    table: Table,
    device: str,
    num_recent: int | None,
    *,
    only_clicked: bool,
    slot_weights: Float[A, " slots"] | None = None,
    selection: Selection | None = None,
    crosses: Crosses | None = None,
) -> RequestExamples:
    """An example for every slate, or for every slate with a click; `slot_weights` say what a click in a slot counts,
    `selection` what the log's rows do.

    Where slates without a click are examples too, the weights multiply labels, which makes the loss what it would be
    if all slots were examined alike (Saito et al., WSDM 2020): weighting those who did not click would not. Of a pair
    or list they weight what was clicked (Joachims, Swaminathan & Schnabel, WSDM 2017), while what was not clicked may
    still not have been looked at: that takes away much of the bias, not all.

    With `crosses` only the slates that they are of are examples; requests know of all clicks of the log before them.
    """
    rows = np.arange(len(log)) if crosses is None else crosses.rows
    by_time = np.argsort(log.tick[rows], kind="stable")
    says_something = log.clicks if only_clicked else log.slate >= 0
    by_time = by_time[says_something[rows[by_time]].any(axis=1)]
    order = rows[by_time]
    requests = _requests(log, order, table, device, num_recent)
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
        None if selection is None else selection.take(order),
        None if crosses is None else torch.tensor(crosses.values[by_time], dtype=torch.float32, device=device),
    )


def _requests(
    log: InteractionLog, rows: Int[A, " requests"], table: Table, device: str, num_recent: int | None
) -> Requests:
    """The log's requests, rebuilt only as far back as they will be read."""
    seen = log.as_served
    if num_recent is not None:
        seen = replace(seen, history=min(seen.history, num_recent), shown=0)
    return Requests.of(seen.observations(rows), table, device, num_recent)
