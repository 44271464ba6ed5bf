"""Item sequences, a user each, in order: the files on which sequential recommenders are compared.

Sets of the same name differ between papers, so each is named by its cut and its counts are asserted on load:

- `ml-1m`: MovieLens-1M as in the file of SASRec and BERT4Rec (Kang & McAuley, ICDM 2018; Sun et al., CIKM 2019).
- `beauty`, `lastfm`: the 5-core cuts of S3-Rec (Zhou et al., CIKM 2020); for `lastfm` also its 99 negatives a user.
- `beauty-bert4rec`: Amazon Beauty in the cut of BERT4Rec.
"""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Int

from recsim_lab.datasets.arrays import ArrayLayout, check_counts, check_range, find_file, read_arrays
from recsim_lab.datasets.files import DataFile, DataFileError
from recsim_lab.datasets.tables import NumberTable

A = np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Sequences:
    """User u's items, oldest first, are `items[start[u] : start[u + 1]]`; a user may have none.

    Items are dense indexes from 0, int32; `start` is int64, one entry longer than there are users.
    """

    items: Int[A, " interactions"]
    start: Int[A, " users_and_end"]
    num_items: int

    def __post_init__(self) -> None:
        if not self.start.size or self.start[0] != 0 or self.start[-1] != self.items.size:
            raise ValueError(f"start must run from 0 to the number of items ({self.items.size}), got {self.start}")
        if (np.diff(self.start) < 0).any():
            raise ValueError(f"start must not fall, got {self.start}")
        outside = (self.items < 0) | (self.items >= self.num_items)
        if outside.any():
            raise ValueError(f"items must be in [0, {self.num_items}), got {self.items[outside][0]}")

    @property
    def num_users(self) -> int:
        return len(self.start) - 1

    @property
    def num_interactions(self) -> int:
        return len(self.items)

    @property
    def lengths(self) -> Int[A, " users"]:
        return np.diff(self.start)

    @property
    def user(self) -> Int[A, " interactions"]:
        """Whose each interaction is."""
        return np.repeat(np.arange(self.num_users, dtype=np.int32), self.lengths)

    def counts(self) -> Int[A, " items"]:
        """Interactions of each item."""
        return np.bincount(self.items, minlength=self.num_items)

    def of_users(self, users: Int[A, " rows"]) -> "Sequences":
        """The sequences of these users, in this order."""
        lengths = self.lengths[users]
        start = np.concatenate([[0], np.cumsum(lengths)])
        place = np.arange(start[-1]) - np.repeat(start[:-1], lengths)
        return Sequences(self.items[np.repeat(self.start[users], lengths) + place], start, self.num_items)

    def without_last(self, num_last: int) -> "Sequences":
        """The same users without the newest items of each; raises ValueError where a user has fewer."""
        lengths = self.lengths
        shortest = int(lengths.min()) if self.num_users else num_last
        if not 0 <= num_last <= shortest:
            raise ValueError(f"num_last must be in [0, {shortest}], the shortest length, got {num_last}")
        newness = np.repeat(self.start[1:], lengths) - np.arange(self.num_interactions)  # 1 for the newest
        start = self.start - num_last * np.arange(self.num_users + 1)
        return Sequences(self.items[newness > num_last], start, self.num_items)

    def leave_two_out(self) -> "LeaveTwoOut":
        """Newest item of each user for the test, the one before it for validation, the others to train on.

        Raises ValueError where a user has fewer than three items.
        """
        shortest = int(self.lengths.min(initial=3))
        if shortest < 3:
            raise ValueError(f"each user must have at least 3 items, got {shortest}")
        newest = self.start[1:] - 1
        return LeaveTwoOut(self.without_last(2), self.items[newest - 1], self.items[newest])


@final
@dataclass(frozen=True, eq=False)
class LeaveTwoOut:
    """Sequences to train on, and the two items of each user that followed them."""

    train: Sequences
    validation: Int[A, " users"]
    test: Int[A, " users"]

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            if len(getattr(self, name)) != self.train.num_users:
                raise ValueError(
                    f"{name} must hold an item of each of {self.train.num_users} users, got {len(getattr(self, name))}"
                )

    @property
    def train_and_validation(self) -> Sequences:
        """What is known of each user at the moment of the test."""
        train = self.train
        items = np.insert(train.items, train.start[1:], self.validation)
        return Sequences(items, train.start + np.arange(train.num_users + 1), train.num_items)


def load_sequences(name: str, path: str | os.PathLike[str] | None = None) -> Sequences:
    """The data set `name`, one of `SEQUENCE_SETS`, from its file under RECSIM_DATA or at `path`.

    Raises `FileNotFoundError` where the file isn't there, and `DataFileError` where it is malformed (with the line,
    if it is text) or its counts are not the published ones.
    """
    if name not in SEQUENCE_SETS:
        raise ValueError(f"name must be one of {', '.join(SEQUENCE_SETS)}, got {name!r}")
    published = SEQUENCE_SETS[name]
    file = find_file(path, published.file)
    sequences = published.read(file)
    found = {"users": sequences.num_users, "items": sequences.num_items, "interactions": sequences.num_interactions}
    expected = dict(zip(found, (published.num_users, published.num_items, published.num_interactions), strict=True))
    check_counts(file, expected, found)
    return sequences


def load_lastfm_negatives(path: str | os.PathLike[str] | None = None) -> Int[A, "users negatives"]:
    """The 99 items that S3-Rec ranks the held-out item of each `lastfm` user against; none is of the user's own."""
    file = find_file(path, "amazon-seq/LastFM_s3rec_99neg.txt.gz")
    negatives = read_lines(file, num_items=SEQUENCE_SETS["lastfm"].num_items)
    check_counts(file, {"users": SEQUENCE_SETS["lastfm"].num_users}, {"users": negatives.num_users})
    wrong = np.flatnonzero(negatives.lengths != 99)
    if wrong.size:
        row = int(wrong[0])
        raise DataFileError(str(file), row + 1, "99 negatives", str(negatives.lengths[row]))
    return negatives.items.reshape(-1, 99)


def read_lines(path: Path, num_items: int | None = None) -> Sequences:
    """A file, maybe gzipped, of a user a line: `user item item ...`; users are 1, 2, ... in order, items from 1.

    Without `num_items`, every number up to the largest must occur as an item.
    """
    file = _read(path)
    items: list[int] = []
    start = [0]
    for line, user, of_user in _users(file):
        if user != len(start):
            raise file.fault(line, f"user {len(start)}", str(user))
        items += of_user
        start.append(len(items))
    return _dense(file, np.array(items, dtype=np.int64), np.array(start), num_items)


def read_pairs(path: Path) -> Sequences:
    """A file, maybe gzipped, of an interaction a line: `user item`, both from 1, users rising, items in order."""
    file = _read(path)
    rows = NumberTable(" ", has_header=False, columns={"user": int, "item": int}).read(file)
    user = rows.columns["user"]
    steps = np.diff(user, prepend=0)
    wrong = np.flatnonzero((steps < 0) | (steps > 1))
    if wrong.size:
        row = int(wrong[0])
        raise rows.fault(row, "the users 1, 2, ... one after the other", f"user {user[row]}")
    return _dense(file, rows.columns["item"], np.concatenate([np.flatnonzero(steps), [user.size]]))


def read_movielens_archive(path: Path) -> Sequences:
    """The rows of MovieLens-1M that SASRec's file has, in its order: by `sas_user` and `sas_pos`.

    `path` holds a row per rating: `sas_user` and `sas_item` from 1 (item 0: not in that file), `sas_pos` the place in
    the user's sequence from 0. The order is the file's own: four in ten users' last two items share a second, so
    sorting by time again would test another item.
    """
    columns = read_arrays(
        path, {name: ArrayLayout("integers", (None,)) for name in ("sas_user", "sas_item", "sas_pos")}
    )
    rows = np.flatnonzero(columns["sas_item"] != 0)
    user, item, place = (columns[name][rows].astype(np.int64) for name in ("sas_user", "sas_item", "sas_pos"))
    check_range(path, "sas_user", user, 1, np.inf)
    check_range(path, "sas_item", item, 1, np.inf)
    order = np.lexsort((place, user))
    lengths = np.bincount(user)[1:]
    start = np.concatenate([[0], np.cumsum(lengths)])
    if not np.array_equal(place[order], np.arange(rows.size) - np.repeat(start[:-1], lengths)):
        raise DataFileError(str(path), None, "each place of a user's sequence once as sas_pos", "gaps or repeats")
    return _dense(DataFile(str(path), b""), item[order], start)


def _read(path: Path) -> DataFile:
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataFileError(str(path), None, "an intact gzip file", f"a damaged one ({error})") from error
    return DataFile(str(path), content)


def _users(file: DataFile) -> Iterator[tuple[int, int, list[int]]]:
    """Line number, user and items of every line that isn't empty."""
    for line, text in file.lines("ascii"):
        fields = text.split()
        if not all(map(str.isdigit, fields)):
            wrong = next(field for field in fields if not field.isdigit())
            raise file.fault(line, "a user and items, integers apart by spaces", repr(wrong))
        if len(fields) < 2:
            raise file.fault(line, "a user and at least one item", repr(text))
        user, *items = map(int, fields)
        wrong_items = [item for item in items if not 1 <= item < 2**31]
        if wrong_items:
            raise file.fault(line, "items from 1 to 2147483647", f"item {wrong_items[0]}")
        yield line, user, items


def _dense(
    file: DataFile, items: Int[A, " interactions"], start: Int[A, " users_and_end"], num_items: int | None = None
) -> Sequences:
    """Items from 1 become items from 0; raises `DataFileError` where one is unknown or a number is left out."""
    if not items.size:
        raise file.fault(None, "at least one interaction", "none")
    if items.min() < 1 or (num_items is not None and items.max() > num_items):
        wrong = items[(items < 1) | (items > (num_items or items.max()))][0]
        raise file.fault(None, f"items from 1{'' if num_items is None else f' to {num_items}'}", f"item {wrong}")
    if num_items is None:
        num_items = int(items.max())
        if num_items > items.size:  # also before a count of that length is made
            raise file.fault(None, f"every item up to {num_items}", f"only {items.size} interactions")
        unused = np.flatnonzero(np.bincount(items, minlength=num_items + 1)[1:] == 0)
        if unused.size:
            raise file.fault(None, f"every item up to {num_items}", f"no item {unused[0] + 1}")
    return Sequences((items - 1).astype(np.int32), start.astype(np.int64), num_items)


@final
@dataclass(frozen=True)
class SequenceSet:
    """Where a published set of sequences lies, how it is read and what it must count."""

    file: str
    read: Callable[[Path], Sequences]
    num_users: int
    num_items: int
    num_interactions: int


SEQUENCE_SETS = {
    "ml-1m": SequenceSet("ml-1m/ratings.npz", read_movielens_archive, 6_040, 3_416, 999_611),
    "beauty": SequenceSet("amazon-seq/Beauty_s3rec.txt.gz", read_lines, 22_363, 12_101, 198_502),
    "lastfm": SequenceSet("amazon-seq/LastFM_s3rec.txt.gz", read_lines, 1_090, 3_646, 52_551),
    "beauty-bert4rec": SequenceSet("amazon-seq/beauty_bert4rec.txt.gz", read_pairs, 40_226, 54_542, 353_962),
}
