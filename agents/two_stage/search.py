"""Searching vectors for the largest dot products: exactly, in blocks; or nearly, with an index of faiss."""

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from agents.eligible import may_be_shown
from agents.two_stage.retriever import Retrieved, found, picked
from recsim_lab.policy import Observation

A = np.ndarray

_ROWS, _ITEMS = 256, 2**15
"""Requests and items of a block: 32 MiB of scores."""
_POINTS_OF_A_CELL = 64
"""Vectors for each cell from which cells are learned."""


class Search(ABC):
    """Finds among given vectors those with the largest dot products with a request's."""

    @abstractmethod
    def best(self, requests: Float32[A, "rows dim"], observation: Observation, num: int) -> Retrieved:
        """The best `num` eligible items of each request, or as many as it finds."""


@final
@dataclass(frozen=True)
class Exact(Search):
    """Compares each request with every vector; `judged` are the items that may be found."""

    vectors: Float32[A, "items dim"]
    judged: Bool[A, " items"]

    def best(self, requests: Float32[A, "rows dim"], observation: Observation, num: int) -> Retrieved:
        items, scores = np.empty((len(requests), num), np.int32), np.empty((len(requests), num), np.float32)
        for start in range(0, len(requests), _ROWS):
            rows = slice(start, start + _ROWS)
            some = self._best(requests[rows], observation.take(rows), num)
            items[rows], scores[rows] = some.items, some.scores
        return Retrieved(items, scores)

    def _best(self, requests: Float32[A, "rows dim"], observation: Observation, num: int) -> Retrieved:
        parts = []
        for first in range(0, len(self.vectors), _ITEMS):
            block = slice(first, first + _ITEMS)
            scores = requests @ self.vectors[block].T
            part = found(scores, self._eligible(observation, block), min(num, scores.shape[1]))
            parts.append((np.where(part.items >= 0, part.items + first, -1), part.scores))
        # Earlier blocks hold smaller items, so that equal scores stay in order of the item.
        items, scores = (np.concatenate(side, axis=1) for side in zip(*parts, strict=True))
        if items.shape[1] < num:
            more = ((0, 0), (0, num - items.shape[1]))
            items, scores = np.pad(items, more, constant_values=-1), np.pad(scores, more, constant_values=np.nan)
        if len(parts) == 1:
            return Retrieved(items.astype(np.int32), scores)
        return of_those(items, scores, items >= 0, num)

    def _eligible(self, observation: Observation, block: slice) -> Bool[A, "some items"]:
        """Which items of the block may be shown, as one row where all requests have the same."""
        table, tick = observation.features, observation.tick
        if len(tick) and (tick == tick[0]).all():
            tick = tick[:1]
        release, withdrawal, judged = table.release[block], table.withdrawal[block], self.judged[block]
        eligible = (release <= tick[:, None]) & (tick[:, None] < withdrawal) & judged
        inside = (observation.blocked >= block.start) & (observation.blocked < block.stop)
        if not inside.any():
            return eligible
        eligible = np.array(np.broadcast_to(eligible, (len(observation), len(release))))
        row, column = np.nonzero(inside)
        eligible[row, observation.blocked[row, column] - block.start] = False
        return eligible


@final
@dataclass(frozen=True)
class Faiss(Search):
    """Asks an index of faiss, which looks at a part of the vectors only.

    Fetches more than it needs, to make up for items that are not eligible: as many as a request has blocked, and the
    share of the catalogue that is not on offer. How many depends on the request alone, so that its answer does too.
    """

    index: Any
    vectors: Float32[A, "items dim"]
    numbers: Int[A, " vectors"]
    """The item of each vector of the index."""
    parameters: Any

    def best(self, requests: Float32[A, "rows dim"], observation: Observation, num: int) -> Retrieved:
        items = np.full((len(requests), num), -1, np.int32)
        scores = np.full((len(requests), num), np.nan, np.float32)
        fetched = self._num_fetched(observation, num)
        for width in np.unique(fetched):
            rows = np.flatnonzero(fetched == width)
            some, vectors = observation.take(rows), requests[rows]
            # What fills the items' vectors up meets a zero, so that the nearest vectors are the best.
            _, place = self.index.search(np.pad(vectors, ((0, 0), (0, 1))), int(width), params=self.parameters)
            item = np.where(place >= 0, self.numbers[place], -1)
            score = (self.vectors[np.maximum(item, 0)] @ vectors[:, :, None])[..., 0]
            best = of_those(item, score, may_be_shown(some, item), num)
            items[rows], scores[rows] = best.items, best.scores
        return Retrieved(items, scores)

    def _num_fetched(self, observation: Observation, num: int) -> Int[A, " rows"]:
        """In steps of a quarter, so that a batch takes few searches."""
        tick, of_tick = np.unique(observation.tick, return_inverse=True)
        release, withdrawal = observation.features.release[self.numbers], observation.features.withdrawal[self.numbers]
        share = np.array([((release <= now) & (now < withdrawal)).mean() for now in tick])[of_tick]
        wanted = (num + (observation.blocked >= 0).sum(axis=1)) / np.maximum(share, 1e-3)
        steps = np.ceil(np.log(wanted / num) / np.log(1.25))
        return np.minimum(np.ceil(num * 1.25**steps), len(self.numbers)).astype(np.int64)


def of_those(
    items: Int[A, "rows listed"], scores: Float[A, "rows listed"], eligible: Bool[A, "rows listed"], num: int
) -> Retrieved:
    """The best `num` eligible ones of listed items, as many as there are."""
    best = found(np.where(eligible, scores, -np.inf), eligible, num)
    return Retrieved(
        np.where(best.items >= 0, np.take_along_axis(items, np.maximum(best.items, 0), axis=1), -1).astype(np.int32),
        picked(scores, best.items).astype(np.float32),
    )


@dataclass(frozen=True)
class Approximate:
    """How faiss is to search.

    `ivf`: vectors are sorted into √n cells by k-means, and the `num_probed` cells nearest to a request are read
    (Jégou, Douze & Schmid, TPAMI 2011). `hnsw`: a graph of `num_links` neighbours each is walked, `breadth` vectors
    at a time (Malkov & Yashunin, TPAMI 2020). More of either finds more and takes longer.

    Both are made for distances. A further coordinate fills all vectors up to the length of the longest, whereupon the
    largest dot products are the smallest distances (Bachrach et al., RecSys 2014).
    """

    kind: str = "ivf"
    num_probed: int = 16
    num_links: int = 32
    breadth: int = 256

    def __post_init__(self) -> None:
        if self.kind not in ("ivf", "hnsw"):
            raise ValueError(f"kind must be 'ivf' or 'hnsw', got {self.kind!r}")
        for name in ("num_probed", "num_links", "breadth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def over(self, vectors: Float32[A, "items dim"], judged: Bool[A, " items"]) -> Faiss:
        """An index of the judged items.

        Raises:
            ImportError: if faiss is not installed.
        """
        faiss = import_faiss()
        numbers = np.flatnonzero(judged)
        filled = of_one_length(vectors[numbers])
        dim = filled.shape[1]
        if self.kind == "hnsw":
            index = faiss.IndexHNSWFlat(dim, self.num_links)
            parameters = faiss.SearchParametersHNSW(efSearch=self.breadth)
        else:
            num_cells = max(1, min(int(len(numbers) ** 0.5), len(numbers) // _POINTS_OF_A_CELL))
            index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, num_cells)
            index.cp.niter, index.cp.max_points_per_centroid = 10, _POINTS_OF_A_CELL
            index.cp.min_points_per_centroid = 1
            index.train(filled)
            parameters = faiss.SearchParametersIVF(nprobe=min(self.num_probed, num_cells))
        index.add(filled)
        return Faiss(index, vectors, numbers, parameters)


def of_one_length(vectors: Float32[A, "items dim"]) -> Float32[A, "items dim_and_one"]:
    """The vectors with a coordinate that makes each as long as the longest."""
    squares = np.square(vectors, dtype=np.float64).sum(axis=1)
    missing = np.sqrt(np.maximum(squares.max(initial=0) - squares, 0))
    return np.concatenate([vectors, missing[:, None].astype(np.float32)], axis=1)


def import_faiss() -> Any:
    """The module, with its absence explained."""
    try:
        return importlib.import_module("faiss")
    except ImportError:
        raise ImportError(
            "approximate search must have faiss, which is not installed: pip install 'recsim_lab[ann]'; or search "
            "exactly, with search='exact'"
        ) from None
