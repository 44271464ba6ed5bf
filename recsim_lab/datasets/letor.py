"""MQ2008 of LETOR 4.0: queries, the features of their documents and graded relevance, in five folds.

Qin & Liu 2013, "Introducing LETOR 4.0 Datasets" (arXiv 1306.2597).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.datasets.arrays import ArrayLayout, check_counts, check_range, find_file, read_arrays
from recsim_lab.datasets.files import DataFileError

A = np.ndarray

MQ2008_FILE = "mq2008/mq2008.npz"
NUM_FOLDS = 5

_COUNTS = {"documents": 15_211, "features": 46, "queries": 784}


@final
@dataclass(frozen=True, eq=False)
class LabelledQueries:
    """Query q's documents are the rows `start[q] : start[q + 1]` of `features` and `relevance`, at least one.

    `features` are float32, scaled to [0, 1] within each query; `relevance` is 0 (none) to 2.
    """

    features: Float[A, "documents features"]
    relevance: Int[A, " documents"]
    start: Int[A, " queries_and_end"]
    query_ids: Int[A, " queries"]

    def __post_init__(self) -> None:
        if len(self.relevance) != len(self.features):
            raise ValueError(f"relevance must be as long as features ({len(self.features)}), got {len(self.relevance)}")
        if len(self.start) != len(self.query_ids) + 1 or self.start[0] != 0 or self.start[-1] != len(self.features):
            raise ValueError(f"start must run from 0 to {len(self.features)} over the queries, got {self.start}")
        if (np.diff(self.start) < 1).any():
            raise ValueError(f"start must rise, got {self.start}")

    @property
    def num_queries(self) -> int:
        return len(self.query_ids)

    @property
    def lengths(self) -> Int[A, " queries"]:
        """Documents of each query."""
        return np.diff(self.start)

    @property
    def query(self) -> Int[A, " documents"]:
        """The query of each document, numbered from 0."""
        return np.repeat(np.arange(self.num_queries), self.lengths)

    def subset(self, queries: Bool[A, " queries"]) -> "LabelledQueries":
        """The queries chosen, in the same order."""
        documents = np.repeat(queries, self.lengths)
        start = np.concatenate([[0], np.cumsum(self.lengths[queries])])
        return LabelledQueries(self.features[documents], self.relevance[documents], start, self.query_ids[queries])

    def padded(
        self, values: Float[A, " documents"] | Int[A, " documents"], fill: int | float = 0
    ) -> Float[A, "queries slots"] | Int[A, "queries slots"]:
        """A value per document as a row per query, filled up to the longest query."""
        table = np.full(self.mask.shape, fill, dtype=values.dtype)
        table[self.mask] = values
        return table

    @property
    def mask(self) -> Bool[A, "queries slots"]:
        """Where a padded row holds a document."""
        return np.arange(self.lengths.max(initial=0)) < self.lengths[:, None]


@final
@dataclass(frozen=True, eq=False)
class Mq2008:
    """All queries, and the part (0 to 4) that each belongs to."""

    queries: LabelledQueries
    part: Int[A, " queries"]

    def fold(self, fold: int) -> tuple[LabelledQueries, LabelledQueries, LabelledQueries]:
        """(train, validation, test) of fold 0 to 4: parts fold, +1, +2; +3; and +4, modulo 5."""
        if not 0 <= fold < NUM_FOLDS:
            raise ValueError(f"fold must be in [0, {NUM_FOLDS}), got {fold}")
        distance = (self.part - fold) % NUM_FOLDS
        train, validation, test = (
            self.queries.subset(chosen) for chosen in (distance < 3, distance == 3, distance == 4)
        )
        return train, validation, test


def load_mq2008(path: str | os.PathLike[str] | None = None) -> Mq2008:
    """784 queries with 15,211 documents of 46 features, from RECSIM_DATA or at `path`.

    Raises `FileNotFoundError` where the file isn't there, and `DataFileError` where its content isn't as said or isn't
    counted as published.
    """
    file = find_file(path, MQ2008_FILE)
    mq2008 = read_mq2008(file)
    documents, features = mq2008.queries.features.shape
    check_counts(file, _COUNTS, dict(zip(_COUNTS, (documents, features, mq2008.queries.num_queries), strict=True)))
    return mq2008


def read_mq2008(path: Path) -> Mq2008:
    """An archive of a row per document: `X`, `rel` 0 to 2, `qid`, `part` 1 to 5; those of a query stand together."""
    layouts = {"X": ArrayLayout("floats", (None, None))}
    layouts |= {name: ArrayLayout("integers", (None,)) for name in ("rel", "qid", "part")}
    arrays = read_arrays(path, layouts)
    lengths = {name: len(arrays[name]) for name in layouts}
    if len(set(lengths.values())) > 1 or not lengths["X"]:
        found = ", ".join(f"{length} of {name}" for name, length in lengths.items())
        raise DataFileError(str(path), None, "as many rows in each array, and at least one", found)
    check_range(path, "rel", arrays["rel"], 0, 2)
    check_range(path, "part", arrays["part"], 1, NUM_FOLDS)
    query_id, part = arrays["qid"].astype(np.int64), arrays["part"].astype(np.int32) - 1
    opens = np.concatenate([[True], query_id[1:] != query_id[:-1]])
    start = np.append(np.flatnonzero(opens), query_id.size)
    if len(np.unique(query_id)) < start.size - 1:
        raise DataFileError(str(path), None, "the documents of a query together", "a qid in two places")
    if (~opens[1:] & (part[1:] != part[:-1])).any():
        raise DataFileError(str(path), None, "a query in one part", "a qid in two parts")
    queries = LabelledQueries(
        arrays["X"].astype(np.float32), arrays["rel"].astype(np.int32), start.astype(np.int64), query_id[start[:-1]]
    )
    return Mq2008(queries, part[start[:-1]])
