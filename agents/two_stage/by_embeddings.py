"""Embedding models as retrievers: the items whose vectors have the largest dot products with the request's."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32, Int

from agents.neural import NetworkAgent
from agents.two_stage.listed import first_eligible
from agents.two_stage.retriever import Retrieved, Retriever, sampled_items, standardised
from agents.two_stage.search import Approximate, Exact, Search
from recsim_lab.policy import FeatureTable, Observation

A = np.ndarray

_PAIRS = 2**20
"""Pairs of vectors that are compared at a time."""


@final
@dataclass(eq=False)
class ByEmbeddings(Retriever):
    """Finds items by the vectors of factors, two towers or a sequence model; those it can't judge are not found.

    `search="auto"` searches exactly up to `exact_up_to` items, and above them as `approximate` says if faiss is
    installed. `num_short` counts the items that approximate search could not find in requests that had them. Before
    the model has learned, items are found in order of their id.
    """

    policy: NetworkAgent
    search: str = "auto"
    exact_up_to: int = 100_000
    approximate: Approximate = field(default_factory=Approximate)
    num_short: int = field(init=False, default=0)
    _kept: "tuple[torch.nn.Module, FeatureTable, A, Search] | None" = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not self.policy.compares_all:
            raise ValueError(f"policy must score by dot products of vectors, got {self.policy.name!r}")
        if self.search not in ("auto", "exact", "approximate"):
            raise ValueError(f"search must be 'auto', 'exact' or 'approximate', got {self.search!r}")
        if self.exact_up_to < 0:
            raise ValueError(f"exact_up_to must be at least 0, got {self.exact_up_to}")

    def __getstate__(self) -> dict[str, Any]:
        # An index can be built again, and not be copied.
        return vars(self) | {"_kept": None}

    @property
    def name(self) -> str:
        return self.policy.name

    def retrieve(self, observation: Observation, num: int) -> Retrieved:
        if self.policy.network is None:
            every = np.arange(observation.features.num_items, dtype=np.int32)
            items = first_eligible(every, np.zeros(len(observation), np.int64), observation, num)
            return Retrieved(items, np.where(items >= 0, 0, np.nan).astype(np.float32))
        _, search = self.prepared(observation.features)
        best = search.best(self.policy.request_vectors(observation), observation, num)
        if not isinstance(search, Exact):
            self.num_short += self._num_missed(best.items, observation)
        return best

    def _num_missed(self, items: Int[A, "rows found"], observation: Observation) -> int:
        """How many items were there for the places that stayed empty."""
        num, judged = (items >= 0).sum(axis=1), self.policy.judged_items()
        missed = 0
        for row in np.flatnonzero(num < items.shape[1]):  # very few, each with a whole catalogue to count
            there = observation.take(slice(row, row + 1)).eligible()[0, judged].sum()
            missed += int(min(there, items.shape[1]) - num[row])
        return missed

    def judge(self, observation: Observation, items: Int[A, "rows candidates"]) -> Float32[A, "rows candidates"]:
        if self.policy.network is None:
            return np.zeros(items.shape, np.float32)
        vectors, _ = self.prepared(observation.features)
        requests = self.policy.request_vectors(observation)
        scores = np.empty(items.shape, np.float32)
        chunk = max(1, _PAIRS // max(items.shape[1], 1))
        for start in range(0, len(items), chunk):
            rows = slice(start, start + chunk)
            scores[rows] = (vectors[items[rows]] @ requests[rows, :, None])[..., 0]
        judged = self.policy.judged_items()
        sampled = sampled_items(observation.features)
        sample = np.where(judged[sampled], requests @ vectors[sampled].T, np.nan)
        return standardised(np.where(judged[items], scores, np.nan), sample)

    def prepared(self, features: FeatureTable) -> tuple[Float32[A, "items dim"], Search]:
        """The vectors of all items and what searches them, kept as long as neither model nor catalogue changes."""
        network = self.policy.network
        if self._kept is None or self._kept[0] is not network or self._kept[1] is not features:
            assert network is not None
            vectors, judged = self.policy.item_vectors(features), self.policy.judged_items()
            exactly = self.search == "exact" or (
                self.search == "auto" and (len(vectors) <= self.exact_up_to or find_spec("faiss") is None)
            )
            search = Exact(vectors, judged) if exactly else self.approximate.over(vectors, judged)
            self._kept = network, features, vectors, search
        return self._kept[2], self._kept[3]
