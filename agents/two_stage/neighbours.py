"""Item to item: what resembles the newest clicks."""

from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Float32, Int
from scipy.sparse import csr_array

from agents.base import check_catalogue, named_with
from agents.eligible import may_be_shown
from agents.item_neighbours import ItemKNN
from agents.item_to_item import binary_matrix
from agents.two_stage.retriever import Retrieved, Retriever
from recsim_lab.policy import Observation

A = np.ndarray


@final
@dataclass(eq=False)
class Neighbours(Retriever):
    """Finds the items most similar to the `newest` last clicks, by the similarities that `ItemKNN` has learned.

    The score is the mean similarity with these clicks; only items that resemble one are found.
    """

    policy: ItemKNN = field(default_factory=ItemKNN)
    newest: int = 5

    def __post_init__(self) -> None:
        if self.newest < 1:
            raise ValueError(f"newest must be at least 1, got {self.newest}")

    @property
    def name(self) -> str:
        of_items = "neighbours" + self.policy.name.removeprefix(self.policy.family)
        return named_with(of_items, {"newest": self.newest} if self.newest != 5 else {})

    def retrieve(self, observation: Observation, num: int) -> Retrieved:
        items = np.full((len(observation), num), -1, np.int32)
        scores = np.full((len(observation), num), np.nan, np.float32)
        similar = self._similar(observation).tocoo()
        order = np.lexsort((similar.col, -similar.data, similar.row))
        row, item, score = similar.row[order], similar.col[order], similar.data[order]
        start = np.searchsorted(row, np.arange(len(observation) + 1))
        width = int(np.diff(start).max(initial=0))
        listed = np.full((len(observation), width), -1, np.int32)
        listed[row, np.arange(len(row)) - start[row]] = item
        eligible = may_be_shown(observation, listed)
        rank = np.cumsum(eligible, axis=1)
        row, column = np.nonzero(eligible & (rank <= num))
        place = rank[row, column] - 1
        items[row, place], scores[row, place] = listed[row, column], score[start[row] + column]
        return Retrieved(items, scores)

    def judge(self, observation: Observation, items: Int[A, "rows candidates"]) -> Float32[A, "rows candidates"]:
        similar = self._similar(observation)
        rows = np.arange(len(observation))[:, None]
        judged = np.asarray(similar[np.broadcast_to(rows, items.shape).ravel(), items.ravel()], np.float32)
        return np.where(
            (observation.clicked >= 0).any(axis=1, keepdims=True), judged.reshape(items.shape), np.float32(np.nan)
        )

    def _similar(self, observation: Observation) -> csr_array:
        """The score of each item that resembles a click."""
        num_items = observation.features.num_items
        if not len(self.policy.popularity):
            return csr_array((len(observation), num_items), dtype=np.float32)
        check_catalogue(len(self.policy.popularity), observation.features)
        clicked = observation.clicked[:, -self.newest :]
        newest = clicked >= 0
        row, column = np.nonzero(newest)
        clicks = binary_matrix(row * num_items + clicked[row, column], len(observation), num_items)
        parameters = (self.policy.similarity, self.policy.listener, self.policy.listener_start)
        weights = csr_array(parameters, shape=(num_items, num_items))
        share = 1 / np.maximum(newest.sum(axis=1), 1)
        similar = (clicks @ weights).tocsr()
        similar.data *= np.repeat(share, np.diff(similar.indptr)).astype(np.float32)
        return similar
