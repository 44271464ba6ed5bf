"""Files of a data set: what is neither folder nor sound archive is refused by name, whatever its bytes."""

import pickle
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsim_lab.datasets import DataFileError, dataset_path, load_movielens
from recsim_lab.datasets.files import DataFile


def test_the_error_names_file_line_and_both_sides():
    error = DataFileError("u.data", 3, "4 fields", "5")
    assert str(error) == "u.data, line 3: expected 4 fields, found 5"
    assert str(DataFileError("u.data", None, "lines", "none")) == "u.data: expected lines, found none"


def test_a_long_find_is_cut():
    assert len(str(DataFileError("u.data", 1, "a number", "x" * 10_000))) < 200


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(DataFileError("u.data", 3, "4 fields", "5")))
    assert (str(error), error.line) == ("u.data, line 3: expected 4 fields, found 5", 3)


def test_lines_are_numbered_by_every_kind_of_end():
    file = DataFile("mixed", b"a\nb\r\n\r\nc\rd\x85e\n\n")
    assert list(file.lines("latin-1")) == [(1, "a"), (2, "b"), (4, "c"), (5, "d\x85e")]


def test_no_such_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*absent"):
        load_movielens(tmp_path / "absent")


def test_an_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"looked for .*u\.data, u\.item, u\.user.*GroupLens"):
        load_movielens(tmp_path)


@pytest.mark.parametrize("name, message", [("a.csv", "a file that is neither"), ("a.zip", "damaged or unfinished")])
def test_a_file_that_is_no_archive(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"userId,movieId\n")
    with pytest.raises(DataFileError, match=message):
        load_movielens(tmp_path / name)


def test_files_two_folders_deep_are_not_found(write, tmp_path):
    write("csv")
    (tmp_path / "outer").mkdir()
    shutil.move(tmp_path / "csv", tmp_path / "outer" / "csv")
    with pytest.raises(FileNotFoundError):
        load_movielens(tmp_path)
    archive = shutil.make_archive(str(tmp_path / "deep"), "zip", tmp_path, "outer")
    with pytest.raises(FileNotFoundError):
        load_movielens(archive)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_archive_loads_or_is_refused_by_name(write, tmp_path, data):
    whole = tmp_path / "whole.zip"
    if not whole.exists():
        shutil.make_archive(str(tmp_path / "whole"), "zip", write("1m").parent, "1m")
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 10]))
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(content[:cut])
    try:
        ratings = load_movielens(damaged)
    except (DataFileError, FileNotFoundError) as error:
        assert "damaged.zip" in str(error)
    else:
        assert ratings.num_ratings == 4


def test_a_changed_byte_of_an_archived_file_is_noticed(write, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "whole"), "zip", write("1m").parent, "1m")
    content = bytearray((tmp_path / "whole.zip").read_bytes())
    content[content.index(b"ratings.dat") + len("ratings.dat") + 3] ^= 0xFF
    (tmp_path / "whole.zip").write_bytes(content)
    with pytest.raises(DataFileError, match="expected an intact zip archive"):
        load_movielens(archive)


def test_dataset_path_looks_in_the_folder_of_the_environment(tmp_path, monkeypatch):
    (tmp_path / "set.zip").touch()
    monkeypatch.setenv("RECSIM_DATA", str(tmp_path))
    assert dataset_path("set.zip") == tmp_path / "set.zip"
    assert dataset_path("other.zip") is None
    monkeypatch.setenv("RECSIM_DATA", "")
    assert dataset_path("set.zip") is None
    monkeypatch.delenv("RECSIM_DATA")
    assert dataset_path("set.zip") is None
