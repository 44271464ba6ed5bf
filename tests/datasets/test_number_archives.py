"""Archives of arrays: what is missing, damaged, of another kind or out of range is said with file and array."""

import numpy as np
import pytest

from recsim_lab.datasets import DataFileError, dataset_path, load_coat, load_frappe, load_mq2008, load_ncf
from recsim_lab.datasets.arrays import ArrayLayout, check_range, read_arrays
from recsim_lab.datasets.coat import COAT_FILE, read_coat
from recsim_lab.datasets.frappe import FRAPPE_FILE, read_frappe
from recsim_lab.datasets.letor import MQ2008_FILE, read_mq2008
from recsim_lab.datasets.ncf import NCF_FILES, read_ncf

NO_DATA = "RECSIM_DATA names no folder with this data set"
LAYOUT = {"x": ArrayLayout("floats", (None, 2))}


def test_named_arrays_are_read_and_others_left(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((3, 2)), pickled=np.array([{}], dtype=object))
    assert read_arrays(tmp_path / "a.npz", LAYOUT)["x"].shape == (3, 2)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"y": np.ones(1)}, "expected arrays named x, found none named x"),
        ({"x": np.ones((3, 1))}, r"expected floats of shape \[any, 2\] as x, found float64 of shape \[3, 1\]"),
        ({"x": np.ones((3, 2), int)}, r"expected floats of shape \[any, 2\] as x, found int64 of shape \[3, 2\]"),
        ({"x": np.array([[1, np.nan]])}, "expected finite numbers as x, found nan"),
        ({"x": np.array([[{}, {}]], dtype=object)}, r"expected an \.npz archive of arrays, found a damaged one"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataFileError, match=rf"a\.npz: {message}"):
        read_arrays(tmp_path / "a.npz", LAYOUT)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"plain text"])
def test_a_damaged_archive_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataFileError, match=r"expected an \.npz archive of arrays, found a damaged one"):
        read_arrays(tmp_path / "a.npz", LAYOUT)


def test_a_single_array_has_no_names(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((1, 2)))
    with pytest.raises(DataFileError, match="expected arrays named x, found none named x"):
        read_arrays(tmp_path / "a.npy", LAYOUT)


def test_the_first_value_out_of_range_is_named(tmp_path):
    with pytest.raises(DataFileError, match=r"expected x\[1, 0\] in \[0, 5\], found 6"):
        check_range(tmp_path, "x", np.array([[0, 5], [6, 7]]), 0, 5)


def save(tmp_path, name, arrays, changed):
    path = tmp_path / f"{name}.npz"
    np.savez(path, **(arrays | changed))
    return path


# Negative control of each loader: the small file as it is is read, then one array at a time is wrong.
RATINGS = {"user_id": np.array([2, 1, 1, 2, 2]), "ncf_item": np.array([1, 0, 2, 0, 2])}
CANDIDATES = {"candidates": np.array([[2, 1, 1], [0, 0, 1]])}


def test_ncf_trains_on_all_but_the_held_out_items(tmp_path):
    found = read_ncf(save(tmp_path, "r", RATINGS, {}), save(tmp_path, "c", CANDIDATES, {}))
    assert (found.user.tolist(), found.item.tolist()) == ([0, 1, 1], [0, 1, 2])
    assert (found.num_users, found.num_items) == (2, 3) and found.candidates.dtype == np.int32


@pytest.mark.parametrize(
    "ratings, candidates, message",
    [
        ({}, {"candidates": np.array([[1, 2], [0, 1]])}, r"c\.npz: expected each user's held-out .* 0 times in row 0"),
        ({"user_id": np.array([2, 1, 1, 2, 3])}, {}, r"r\.npz: expected user_id\[4\] in \[1, 2\], found 3"),
        ({}, {"candidates": np.array([[2, 3], [0, 1]])}, r"c\.npz: expected candidates\[0, 1\] in \[0, 2\], found 3"),
    ],
)
def test_ncf_faults(tmp_path, ratings, candidates, message):
    with pytest.raises(DataFileError, match=message):
        read_ncf(save(tmp_path, "r", RATINGS, ratings), save(tmp_path, "c", CANDIDATES, candidates))


FRAPPE = {"fields": np.array(["user", "item"])} | {
    f"{part}_{kind}": array
    for part in ("train_resampled_neg", "valid", "test")
    for kind, array in {"X": np.array([[0, 3], [1, 2]]), "y": np.array([0, 1])}.items()
}


def test_frappe_numbers_each_field_from_0(tmp_path):
    found = read_frappe(save(tmp_path, "f", FRAPPE, {"valid_X": np.array([[0, 4], [0, 2]])}))
    assert (found.fields, found.cardinalities) == (("user", "item"), (2, 3))
    assert found.train.codes.tolist() == [[0, 1], [1, 0]] and found.validation.codes.tolist() == [[0, 2], [0, 0]]
    assert found.train.clicked.tolist() == [False, True] and found.offsets.tolist() == [0, 2]


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"test_X": np.array([[2, 3], [1, 2]])},
            "expected the categories of item after those of user, found 2 after 2",
        ),
        ({"test_y": np.array([0, 2])}, r"expected test_y\[1\] in \[0, 1\], found 2"),
        ({"test_y": np.array([0])}, "expected a row of 2 fields for each of 1 labels as test_X"),
        ({"test_X": np.array([[-1, 3], [1, 2]])}, r"expected test_X\[0, 0\] in \[0, inf\], found -1"),
    ],
)
def test_frappe_faults(tmp_path, changed, message):
    with pytest.raises(DataFileError, match=message):
        read_frappe(save(tmp_path, "f", FRAPPE, changed))


COAT = {
    "train": np.array([[0, 5], [1, 0]], dtype=np.int8),
    "test": np.array([[2, 0], [0, 0]], dtype=np.int8),
    "propensities": np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32),
    "user_features": np.eye(2, dtype=np.int8),
    "item_features": np.eye(2, 3, dtype=np.int8),
}


def test_coat_lists_ratings_with_their_propensities(tmp_path):
    found = read_coat(save(tmp_path, "c", COAT, {}))
    assert (found.train.user.tolist(), found.train.item.tolist()) == ([0, 1], [1, 0])
    assert found.train.rating.tolist() == [5, 1] and found.test.rating.tolist() == [2]
    np.testing.assert_array_equal(found.train_propensities, np.float32([0.2, 0.3]))


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"test": np.array([[6, 0], [0, 0]])}, r"expected test\[0, 0\] in \[0, 5\], found 6"),
        ({"propensities": np.zeros((2, 2))}, r"expected propensities\[0, 0\] in .* found 0"),
        (
            {"test": np.zeros((2, 3), int)},
            r"expected integers of shape \[2, 2\] as test, found int64 of shape \[2, 3\]",
        ),
    ],
)
def test_coat_faults(tmp_path, changed, message):
    with pytest.raises(DataFileError, match=message):
        read_coat(save(tmp_path, "c", COAT, changed))


LETOR = {
    "X": np.arange(12, dtype=np.float32).reshape(6, 2) / 12,
    "rel": np.array([0, 2, 1, 0, 0, 1]),
    "qid": np.array([30, 30, 10, 20, 20, 20]),
    "part": np.array([1, 1, 4, 5, 5, 5]),
}


def test_letor_keeps_the_documents_of_a_query_together(tmp_path):
    found = read_mq2008(save(tmp_path, "l", LETOR, {}))
    queries = found.queries
    assert (queries.start.tolist(), queries.query_ids.tolist()) == ([0, 2, 3, 6], [30, 10, 20])
    assert queries.query.tolist() == [0, 0, 1, 2, 2, 2] and found.part.tolist() == [0, 3, 4]
    assert queries.padded(queries.relevance, fill=-1).tolist() == [[0, 2, -1], [1, -1, -1], [0, 0, 1]]
    assert queries.mask.tolist() == [[True, True, False], [True, False, False], [True] * 3]


def test_letor_folds(tmp_path):
    found = read_mq2008(save(tmp_path, "l", LETOR, {}))
    train, validation, test = found.fold(0)  # parts 0 to 2; 3; 4
    assert [part.query_ids.tolist() for part in (train, validation, test)] == [[30], [10], [20]]
    np.testing.assert_array_equal(test.features, LETOR["X"][3:])
    assert (test.relevance.tolist(), test.start.tolist()) == ([0, 0, 1], [0, 3])
    train, validation, test = found.fold(3)  # parts 3, 4, 0; 1; 2
    assert [part.query_ids.tolist() for part in (train, validation, test)] == [[30, 10, 20], [], []]
    with pytest.raises(ValueError, match=r"fold must be in \[0, 5\), got 5"):
        found.fold(5)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"qid": np.array([30, 30, 10, 20, 20, 30])}, "expected the documents of a query together"),
        ({"part": np.array([1, 2, 4, 5, 5, 5])}, "expected a query in one part"),
        ({"part": np.array([0, 0, 4, 5, 5, 5])}, r"expected part\[0\] in \[1, 5\], found 0"),
        ({"rel": np.array([0, 3, 1, 0, 0, 1])}, r"expected rel\[1\] in \[0, 2\], found 3"),
        ({"rel": np.array([0, 1])}, "expected as many rows in each array, and at least one, found 6 of X, 2 of rel"),
    ],
)
def test_letor_faults(tmp_path, changed, message):
    with pytest.raises(DataFileError, match=message):
        read_mq2008(save(tmp_path, "l", LETOR, changed))


def test_small_files_are_not_taken_for_the_published_sets(tmp_path):
    with pytest.raises(DataFileError, match=r"994,169 train rows, .* found 3 train rows, 2 users"):
        load_ncf(save(tmp_path, "r", RATINGS, {}), save(tmp_path, "c", CANDIDATES, {}))
    with pytest.raises(DataFileError, match=r"202,027 rows to train on, .* found 2 rows"):
        load_frappe(save(tmp_path, "f", FRAPPE, {}))
    with pytest.raises(DataFileError, match=r"290 users, 300 items, .* found 2 users, 2 items"):
        load_coat(save(tmp_path, "c", COAT, {}))
    with pytest.raises(DataFileError, match=r"15,211 documents, .* found 6 documents"):
        load_mq2008(save(tmp_path, "l", LETOR, {}))


@pytest.mark.parametrize(
    "load, files",
    [(load_ncf, NCF_FILES), (load_frappe, (FRAPPE_FILE,)), (load_coat, (COAT_FILE,)), (load_mq2008, (MQ2008_FILE,))],
)
def test_published_sets_are_counted_as_published(load, files):
    if any(dataset_path(file) is None for file in files):
        pytest.skip(NO_DATA)
    load()  # which asserts the counts


def test_the_fields_of_frappe():
    if dataset_path(FRAPPE_FILE) is None:
        pytest.skip(NO_DATA)
    found = load_frappe()
    assert found.fields[:2] == ("user", "item")
    assert found.cardinalities == (957, 4_082, 7, 7, 2, 3, 2, 9, 80, 233)
    for part in (found.train, found.validation, found.test):
        assert 0.32 < part.clicked.mean() < 0.34  # two negatives a positive, less those that were dropped


def test_the_folds_of_mq2008_share_no_query_and_test_each_once():
    if dataset_path(MQ2008_FILE) is None:
        pytest.skip(NO_DATA)
    found = load_mq2008()
    tests = []
    for fold in range(5):
        parts = [part.query_ids for part in found.fold(fold)]
        assert len(np.unique(np.concatenate(parts))) == 784
        tests.append(parts[2])
    assert len(np.unique(np.concatenate(tests))) == 784
