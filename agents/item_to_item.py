"""Models whose score of an item is the sum of its weights with the items the user clicked."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.sparse import csr_array

from agents.base import ArrayAgent, check_catalogue, indifferent, learned
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Scorer, gather

A = np.ndarray


@dataclass(eq=False)
class ItemToItem(ArrayAgent, Scorer):
    """Keeps what every user clicked in the log, and adds the clicks that a request brings.

    So a model that is not retrained still answers to new clicks. A request without any click, in the log or
    since, is scored by popularity: the item's share of the log's distinct (user, item) clicks.
    """

    clicked_items: Int[A, " clicks"] = learned(1, np.int32)
    """Distinct items clicked by user 0, ascending, then by user 1, ..."""
    clicked_start: Int[A, " bounds"] = learned(1, np.int32)
    """Where each user's begin; one bound more than users."""
    popularity: Float[A, " items"] = learned(1)

    @abstractmethod
    def fit_weights(self, clicks: csr_array) -> None:
        """Learn the weights between items from the binary users x items matrix."""

    @abstractmethod
    def sum_weights(self, histories: csr_array) -> Float32[A, "rows items"]:
        """Sum the weights of each item with those in the row's history."""

    def learn(self, log: InteractionLog) -> None:
        """Start anew from this log."""
        clicks, histories = click_matrix(log), click_matrix(log.as_served)
        self.clicked_items, self.clicked_start = histories.indices, histories.indptr
        count = np.bincount(clicks.indices, minlength=clicks.shape[1])
        self.popularity = (count / max(clicks.nnz, 1)).astype(np.float32)
        self.fit_weights(clicks)

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float32[A, "rows candidates"]:
        if not len(self.popularity):
            return indifferent(observation, items)
        check_catalogue(len(self.popularity), observation.features)
        histories = self.histories(observation)
        scores = self.sum_weights(histories)
        scores[np.diff(histories.indptr) == 0] = self.popularity
        return gather(scores, items)

    def histories(self, observation: Observation) -> csr_array:
        """The binary rows x items matrix of all that is known to be clicked at each request."""
        start, num_items = self.clicked_start, len(self.popularity)
        # Users beyond the log have no clicks in it.
        user = np.minimum(observation.user, len(start) - 1)
        first, end = start[user], start[np.minimum(user + 1, len(start) - 1)]
        count = end - first
        row = np.repeat(np.arange(len(user)), count)
        place = np.arange(len(row)) + np.repeat(first - (np.cumsum(count) - count), count)
        new_row, column = np.nonzero(observation.clicked >= 0)
        pairs = np.concatenate(
            [row * num_items + self.clicked_items[place], new_row * num_items + observation.clicked[new_row, column]]
        )
        return binary_matrix(pairs, len(user), num_items)


def click_matrix(log: InteractionLog) -> csr_array:
    """The binary users x items matrix of clicks; users up to the last one in the log."""
    row, slot = np.nonzero(log.clicks)
    num_items = log.features.num_items
    pairs = log.user[row].astype(np.int64) * num_items + log.slate[row, slot]
    return binary_matrix(pairs, int(log.user.max()) + 1 if len(log) else 0, num_items)


def binary_matrix(pairs: Int[A, " pairs"], num_rows: int, num_items: int) -> csr_array:
    """The matrix that is 1 at each `row * num_items + item`, indexes ascending, repeated pairs counted once."""
    pairs = np.sort(pairs)
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]]
    row, item = np.divmod(pairs, num_items)
    start = np.searchsorted(row, np.arange(num_rows + 1)).astype(np.int32)
    ones = np.ones(len(pairs), np.float32)
    return csr_array((ones, item.astype(np.int32), start), shape=(num_rows, num_items))
