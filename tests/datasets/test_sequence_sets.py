"""Item sequences: packing and splitting against plain lists, published sizes, faults located."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsim_lab.datasets import DataFileError, LeaveTwoOut, Sequences, dataset_path, load_sequences, sequences
from recsim_lab.datasets.sequences import (
    SEQUENCE_SETS,
    load_lastfm_negatives,
    read_lines,
    read_movielens_archive,
    read_pairs,
)

NO_DATA = "RECSIM_DATA names no folder with this data set"
LISTS = st.lists(st.lists(st.integers(0, 8), max_size=6), min_size=1, max_size=7)


def joined(lists):
    return [item for items in lists for item in items]


def packed(lists, num_items=9):
    start = np.concatenate([[0], np.cumsum([len(items) for items in lists])]).astype(np.int64)
    return Sequences(np.array(joined(lists), dtype=np.int32), start, num_items)


def unpacked(found):
    return [found.items[a:b].tolist() for a, b in zip(found.start[:-1], found.start[1:], strict=True)]


@given(LISTS, st.data())
def test_packed_sequences_are_lists(lists, data):
    found = packed(lists)
    assert unpacked(found) == lists
    assert (found.num_users, found.num_interactions) == (len(lists), sum(map(len, lists)))
    assert found.user.tolist() == [user for user, items in enumerate(lists) for _ in items]
    assert found.counts().tolist() == [joined(lists).count(item) for item in range(9)]
    users = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=9))  # in any order, some twice
    assert unpacked(found.of_users(np.array(users, dtype=np.int64))) == [lists[user] for user in users]
    last = data.draw(st.integers(0, min(map(len, lists))))
    assert unpacked(found.without_last(last)) == [items[: len(items) - last] for items in lists]


@given(st.lists(st.lists(st.integers(0, 8), min_size=3, max_size=6), min_size=1, max_size=7))
def test_leave_two_out_is_a_split_of_each_list(lists):
    parts = packed(lists).leave_two_out()
    assert unpacked(parts.train) == [items[:-2] for items in lists]
    assert parts.validation.tolist() == [items[-2] for items in lists]
    assert parts.test.tolist() == [items[-1] for items in lists]
    assert unpacked(parts.train_and_validation) == [items[:-1] for items in lists]


def test_what_cannot_be_split_or_packed_is_refused():
    with pytest.raises(ValueError, match="each user must have at least 3 items, got 2"):
        packed([[1, 2, 3], [4, 5]]).leave_two_out()
    with pytest.raises(ValueError, match=r"num_last must be in \[0, 1\], the shortest length, got 2"):
        packed([[1, 2, 3], [4]]).without_last(2)
    with pytest.raises(ValueError, match=r"items must be in \[0, 3\), got 3"):
        packed([[1, 3]], num_items=3)
    with pytest.raises(ValueError, match="start must run from 0 to the number of items"):
        Sequences(np.zeros(2, np.int32), np.array([0, 1]), 1)
    with pytest.raises(ValueError, match="start must not fall"):
        Sequences(np.zeros(2, np.int32), np.array([0, 2, 1, 2]), 1)
    with pytest.raises(ValueError, match="validation must hold an item of each of 1 users, got 2"):
        LeaveTwoOut(packed([[1]]), np.array([1, 2]), np.array([1, 2]))


def test_lines_and_pairs_are_read_plain_and_gzipped(tmp_path):
    (tmp_path / "lines.txt").write_text("1 3 1\n2 2 2 1\n")
    (tmp_path / "pairs.txt").write_text("1 3\n1 1\n2 2\n2 2\n2 1\n")
    for name, read in (("lines", read_lines), ("pairs", read_pairs)):
        plain = tmp_path / f"{name}.txt"
        squeezed = tmp_path / f"{name}.txt.gz"
        squeezed.write_bytes(gzip.compress(plain.read_bytes()))
        for path in (plain, squeezed):
            found = read(path)
            assert unpacked(found) == [[2, 0], [1, 1, 0]] and found.num_items == 3
            assert (found.items.dtype, found.start.dtype) == (np.int32, np.int64)


FAULTS = [
    (read_lines, "1 2 1\n3 1\n", ", line 2: expected user 2, found 3"),
    (read_lines, "1 2 1\n2 x\n", ", line 2: expected a user and items, integers apart by spaces, found 'x'"),
    (read_lines, "1 2 1\n2 -1\n", ", line 2: expected a user and items, integers apart by spaces, found '-1'"),
    (read_lines, "1 2 1\n\n2\n", ", line 3: expected a user and at least one item, found '2'"),
    (read_lines, "1 2 0\n", ", line 1: expected items from 1 to 2147483647, found item 0"),
    (read_lines, f"1 1 {10**30}\n", f", line 1: expected items from 1 to 2147483647, found item {10**30}"),
    (read_lines, "1 1 2147483647\n", ": expected every item up to 2147483647, found only 2 interactions"),
    (read_lines, "1 1 3 3\n", ": expected every item up to 3, found no item 2"),
    (read_lines, "", ": expected at least one interaction, found none"),
    (read_pairs, "1 1\n3 1\n", ", line 2: expected the users 1, 2, ... one after the other, found user 3"),
    (read_pairs, "1 1\n2 1\n1 1\n", ", line 3: expected the users 1, 2, ... one after the other, found user 1"),
    (read_pairs, "1 1 1\n", ", line 1: expected 2 fields (user item), found 3: '1 1 1'"),
    (read_pairs, "1 0\n", ": expected items from 1, found item 0"),
]


@pytest.mark.parametrize("read, content, message", FAULTS)
def test_a_fault_is_located(tmp_path, read, content, message):
    path = tmp_path / "set.txt"
    path.write_text(content)
    with pytest.raises(DataFileError) as caught:
        read(path)
    assert str(caught.value) == f"{path}{message}"


def test_a_damaged_gzip_is_refused(tmp_path):
    path = tmp_path / "set.txt.gz"
    path.write_bytes(gzip.compress(b"1 1 2 3\n" * 100)[:-12])
    with pytest.raises(DataFileError, match=r"set\.txt\.gz: expected an intact gzip file, found a damaged one"):
        read_lines(path)


def archive(path, user, item, place):
    np.savez(path, sas_user=np.array(user), sas_item=np.array(item), sas_pos=np.array(place))
    return path


def test_the_archive_is_ordered_by_place_and_leaves_out_item_0(tmp_path):
    path = archive(tmp_path / "r.npz", [2, 1, 2, 1, 2], [3, 1, 0, 2, 1], [1, 0, -1, 1, 0])
    found = read_movielens_archive(path)
    assert unpacked(found) == [[0, 1], [0, 2]] and found.num_items == 3


@pytest.mark.parametrize(
    "user, item, place, message",
    [
        ([1, 1], [1, 2], [0, 2], "each place of a user's sequence once as sas_pos, found gaps or repeats"),
        ([1, 1], [1, 2], [1, 1], "each place of a user's sequence once as sas_pos, found gaps or repeats"),
        ([0, 1], [1, 2], [0, 0], r"sas_user\[0\] in \[1, inf\], found 0"),
        ([1, 1], [1, -2], [0, 1], r"sas_item\[1\] in \[1, inf\], found -2"),
        ([1.0, 1.0], [1, 2], [0, 1], r"integers of shape \[any\] as sas_user, found float64 of shape \[2\]"),
    ],
)
def test_a_wrong_archive_is_refused(tmp_path, user, item, place, message):
    with pytest.raises(DataFileError, match=message):
        read_movielens_archive(archive(tmp_path / "r.npz", user, item, place))


def test_another_cut_is_not_taken_for_the_published_one(tmp_path):
    path = tmp_path / "Beauty.txt"
    path.write_text("1 1 2\n")
    with pytest.raises(DataFileError) as caught:
        load_sequences("beauty", path)
    assert str(caught.value) == (
        f"{path}: expected 22,363 users, 12,101 items, 198,502 interactions, found 1 users, 2 items, 2 interactions"
    )
    with pytest.raises(ValueError, match="name must be one of ml-1m, beauty, lastfm, beauty-bert4rec, got 'ml-20m'"):
        load_sequences("ml-20m")


def test_negatives_must_be_99_a_user(tmp_path, monkeypatch):
    path = tmp_path / "negatives.txt"
    path.write_text("1 " + " ".join(map(str, range(1, 100))) + "\n2 5 6\n")
    small = sequences.SequenceSet("", read_lines, 2, 200, 9)
    monkeypatch.setitem(SEQUENCE_SETS, "lastfm", small)
    with pytest.raises(DataFileError, match=r"negatives\.txt, line 2: expected 99 negatives, found 2"):
        load_lastfm_negatives(path)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSIM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no ml-1m/ratings\.npz in the folder .* \(RECSIM_DATA is "):
        load_sequences("ml-1m")
    monkeypatch.delenv("RECSIM_DATA")
    with pytest.raises(FileNotFoundError, match=r"\(RECSIM_DATA is not set\)"):
        load_sequences("ml-1m")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_sequences("ml-1m", tmp_path / "none.npz")


@pytest.mark.parametrize("name", SEQUENCE_SETS)
def test_published_sets_have_their_published_sizes(name):
    if dataset_path(SEQUENCE_SETS[name].file) is None:
        pytest.skip(NO_DATA)
    found = load_sequences(name)  # which asserts the counts
    assert found.lengths.min() >= 5 and (found.counts() > 0).all()
    repeats = found.user.astype(np.int64) * found.num_items + found.items
    assert len(np.unique(repeats)) == found.num_interactions  # nobody takes an item twice


def test_a_line_of_lastfm_is_the_file_s_own():
    file = SEQUENCE_SETS["lastfm"].file
    if dataset_path(file) is None:
        pytest.skip(NO_DATA)
    lines = gzip.decompress(dataset_path(file).read_bytes()).decode().split("\n")
    found = load_sequences("lastfm")
    for user in (0, 1, 1_089):
        assert [user + 1, *(found.of_users(np.array([user])).items + 1)] == [int(x) for x in lines[user].split()]


def test_lastfm_negatives_are_none_of_the_user_s_own():
    if dataset_path("amazon-seq/LastFM_s3rec_99neg.txt.gz") is None:
        pytest.skip(NO_DATA)
    negatives, found = load_lastfm_negatives(), load_sequences("lastfm")
    assert negatives.shape == (1_090, 99)
    own = np.zeros((found.num_users, found.num_items), dtype=bool)
    own[found.user, found.items] = True
    assert not own[np.arange(found.num_users)[:, None], negatives].any()
