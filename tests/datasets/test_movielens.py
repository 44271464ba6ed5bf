"""MovieLens: the three layouts say the same, the real sets have their published sizes, faults are located."""

import csv
import io
import shutil
import zipfile
from importlib.resources import as_file, files

import numpy as np
import pytest

from recsim_lab.datasets import DataFileError, dataset_path, load_movielens, load_sample

NO_DATA = "RECSIM_DATA names no folder with this data set"


@pytest.mark.parametrize("layout", ["csv", "100k", "1m"])
def test_rows_are_oldest_first_and_ties_keep_the_file_order(write, layout):
    ratings = load_movielens(write(layout))
    # Lines 2, 3 tie at 100: user 7 goes first as in the file, though its id is the larger one.
    assert ratings.user_ids[ratings.user].tolist() == [7, 2, 2, 7]
    assert ratings.item_ids[ratings.item].tolist() == [10, 30, 20, 30]
    assert ratings.timestamp.tolist() == [100, 100, 200, 300]
    assert ratings.rating.tolist() == ([0.5, 5, 3.5, 4] if layout == "csv" else [1, 5, 3, 4])
    assert (ratings.user.dtype, ratings.item.dtype) == (np.int32, np.int32)
    assert (ratings.rating.dtype, ratings.timestamp.dtype) == (np.float32, np.int64)


def test_csv_listing_is_sorted_by_id_with_quoted_titles_years_and_genres(write):
    ratings = load_movielens(write("csv"))
    assert ratings.item_ids.tolist() == [10, 20, 30, 40]  # 40 is listed but never rated
    assert ratings.titles == (
        "Misérables (Les) (1998)",
        "Long Series (2007-)",
        "Matter, A Grave (1994)",
        "Nameless",
    )
    assert ratings.years.tolist() == [1998, 2007, 1994, -1]
    assert ratings.genres == ("Action", "Comedy", "Drama")
    assert ratings.item_genres.tolist() == [
        [False, False, True],
        [False, False, False],
        [False, True, True],
        [True, False, False],
    ]
    assert ratings.user_ids.tolist() == [2, 7]
    assert ratings.user_features == {} and ratings.user_feature_names == {}


def test_100k_listing(write):
    ratings = load_movielens(write("100k"))
    assert ratings.titles == ("Misérables (Les) (1995)", "For Video", "unknown")
    assert ratings.years.tolist() == [1995, 1997, -1]  # the title's year before that of the release date
    assert ratings.genres == ("Action", "Children's", "Drama")
    assert ratings.item_genres.tolist() == [[False, False, True], [True, True, False], [False] * 3]
    assert ratings.user_ids.tolist() == [2, 7, 9]
    assert named_features(ratings) == {
        "gender": ["M", "F", "F"],
        "age_group": ["18-24", "under 18", "56+"],
        "occupation": ["technician", "other", "writer"],
    }


def test_1m_listing(write):
    ratings = load_movielens(write("1m"))
    assert ratings.titles == ("Misérables: Les (1998)", "Two, Three (1961)", "2001 (1968)")
    assert ratings.years.tolist() == [1998, 1961, 1968]
    assert ratings.genres == ("Action", "Children's", "Drama", "Sci-Fi")
    assert named_features(ratings) == {
        "gender": ["M", "F", "F"],
        "age_group": ["25-34", "under 18", "56+"],
        "occupation": ["scientist", "K-12 student", "writer"],
    }


def named_features(ratings):
    names = ratings.user_feature_names
    return {feature: [names[feature][code] for code in codes] for feature, codes in ratings.user_features.items()}


@pytest.mark.parametrize("age, group", [(17, 0), (18, 1), (24, 1), (25, 2), (44, 3), (45, 4), (55, 5), (99, 6)])
def test_100k_ages_are_grouped_as_those_of_1m(replace_line, age, group):
    ratings = load_movielens(replace_line("100k", "u.user", 1, f"2|{age}|M|technician|85711"))
    assert ratings.user_features["age_group"][0] == group


@pytest.mark.parametrize("layout", ["csv", "100k", "1m"])
@pytest.mark.parametrize("depth", [0, 1])
def test_a_zip_and_a_folder_are_one(write, tmp_path, layout, depth):
    folder = write(layout)
    root = folder if depth == 0 else folder.parent
    archive = shutil.make_archive(str(tmp_path / "packed" / layout), "zip", root)
    expected = load_movielens(folder)
    for path in (archive, root):
        found = load_movielens(path)
        assert found.titles == expected.titles
        for name in ("user", "item", "rating", "timestamp", "user_ids", "item_ids", "item_genres", "years"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("layout", ["csv", "100k", "1m"])
def test_line_ends_of_any_system_and_empty_lines_do_not_matter(write, layout):
    folder = write(layout)
    expected = load_movielens(folder)
    for file in folder.iterdir():
        head, _, rest = file.read_bytes().partition(b"\n")
        file.write_bytes(b"\r\n".join([head, b"", *rest.splitlines()]) + b"\r\n\r\n")
    found = load_movielens(folder)
    assert found.titles == expected.titles
    np.testing.assert_array_equal(found.rating, expected.rating)
    np.testing.assert_array_equal(found.timestamp, expected.timestamp)


FAULTS = [
    # layout, file, line, the line as it should not be, what the message says was expected and found
    ("csv", "ratings.csv", 1, "user,movie,rating,time", "expected the header 'userId,movieId,rating,timestamp'"),
    ("csv", "ratings.csv", 3, "7,10,0.5", "expected 4 fields (userId,movieId,rating,timestamp), found 3"),
    ("csv", "ratings.csv", 3, "7,10,0.5,100,9", "expected 4 fields"),
    ("csv", "ratings.csv", 3, "x7,10,0.5,100", "expected an integer as userId, found 'x7'"),
    ("csv", "ratings.csv", 3, "7,1e1,0.5,100", "expected an integer as movieId, found '1e1'"),
    ("csv", "ratings.csv", 3, "7,10,good,100", "expected a number as rating, found 'good'"),
    ("csv", "ratings.csv", 3, "7,10,,100", "expected a number as rating, found ''"),
    ("csv", "ratings.csv", 3, "7,10,0.5,99999999999999999999", "expected an integer as timestamp"),
    ("csv", "ratings.csv", 3, "7,10,0,100", "expected a rating in [0.5, 5], found 0"),
    ("csv", "ratings.csv", 4, "2,30,5.5,100", "expected a rating in [0.5, 5], found 5.5"),
    ("csv", "ratings.csv", 4, "2,30,nan,100", "expected a rating in [0.5, 5], found nan"),
    ("csv", "ratings.csv", 4, "2,31,5,100", "expected a movieId that movies.csv lists, found 31"),
    ("csv", "ratings.csv", 4, "2,99,5,100", "expected a movieId that movies.csv lists, found 99"),
    ("csv", "ratings.csv", 5, "7,10,3.5,200", "found movie 10 by user 7, as on line 3"),
    ("csv", "movies.csv", 1, "movieId,title", "expected the header 'movieId,title,genres'"),
    ("csv", "movies.csv", 2, "30,Matter, A Grave (1994),Drama", "expected 3 fields"),
    ("csv", "movies.csv", 3, "ten,Two (1998),Drama", "expected an integer as movie id, found 'ten'"),
    ("csv", "movies.csv", 3, '10,"Two (1998),Drama', "expected comma-separated values"),
    ("csv", "movies.csv", 4, "30,Two (1998),Drama", "expected each id once, found 30, as on line 2"),
    ("100k", "u.data", 2, "7 10 1 100", "expected 4 fields"),
    ("100k", "u.data", 2, "8\t10\t1\t100", "expected a userId that u.user lists, found 8"),
    ("100k", "u.item", 2, "20|Two|14-Feb-1997||http://x|0|1", "expected 24 fields"),
    ("100k", "u.item", 2, "20|Two|||" + "|2" * 19, "expected 0 or 1 as unknown, found '2'"),
    ("100k", "u.user", 1, "2|0|M|technician|85711", "expected at least 1 as age, found '0'"),
    ("100k", "u.user", 1, "2|24|X|technician|85711", "expected one of F, M as gender, found 'X'"),
    ("100k", "u.user", 1, "2|24|M|knight|85711", "as occupation, found 'knight'"),
    ("100k", "u.user", 2, "2|24|M|technician|85711", "expected each id once, found 2, as on line 1"),
    ("1m", "ratings.dat", 2, "7::10::1", "expected 4 fields (userId::movieId::rating::timestamp), found 3"),
    ("1m", "ratings.dat", 2, "7:10::1::100", "expected 4 fields"),
    ("1m", "ratings.dat", 2, "7\t10::1::100", "expected 4 fields"),
    ("1m", "ratings.dat", 2, "7:::10::1::100", "expected an integer as movieId, found ':10'"),
    ("1m", "movies.dat", 2, "20::Two (1961)", "expected 3 fields (MovieID::Title::Genres), found 2"),
    ("1m", "users.dat", 2, "7::F::2::10::48067", "expected one of 1, 18, 25, 35, 45, 50, 56 as age, found '2'"),
    ("1m", "users.dat", 2, "7::F::1::21::48067", "as occupation, found '21'"),
]


@pytest.mark.parametrize("layout, file, line, text, message", FAULTS)
def test_a_fault_is_located(replace_line, layout, file, line, text, message):
    folder = replace_line(layout, file, line, text)
    with pytest.raises(DataFileError) as caught:
        load_movielens(folder)
    assert str(caught.value).startswith(f"{folder / file}, line {line}: expected ")
    assert message in str(caught.value)


def test_the_line_number_counts_empty_lines(write):
    content = "userId,movieId,rating,timestamp\n\n\n7,30,4.0,300\n\n7,10,9,100\n"
    with pytest.raises(DataFileError, match=r"ratings\.csv, line 6: expected a rating in .* found 9"):
        load_movielens(write("csv", ratings_csv=content))


@pytest.mark.parametrize(
    "layout, file", [("csv", "ratings_csv"), ("100k", "u_data"), ("1m", "ratings_dat"), ("csv", "movies_csv")]
)
@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_refused(write, layout, file, content):
    with pytest.raises(DataFileError, match=file.replace("_", r"\.")):
        load_movielens(write(layout, **{file: content}))


@pytest.mark.parametrize("file, header", [("ratings_csv", "userId,movieId,rating,timestamp\n")])
def test_a_header_alone_is_refused(write, file, header):
    with pytest.raises(DataFileError, match="a header alone"):
        load_movielens(write("csv", **{file: header}))


def test_text_in_another_encoding_is_located(write):
    folder = write("csv")
    content = (folder / "movies.csv").read_text("utf-8").encode("latin-1")
    (folder / "movies.csv").write_bytes(content)
    with pytest.raises(DataFileError, match=r"movies\.csv, line 3: expected text in utf-8.* the byte 0xe9"):
        load_movielens(folder)


def test_a_byte_order_mark_is_no_fault(write):
    folder = write("csv")
    for file in folder.iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load_movielens(folder).num_ratings == 4


def test_a_missing_file_is_named_with_all_that_was_looked_for(write):
    with pytest.raises(FileNotFoundError) as caught:
        load_movielens(write("1m", users_dat=None, movies_dat=None))
    for part in ("of MovieLens 1M, movies.dat and users.dat are missing", "ratings.csv, movies.csv", "GroupLens"):
        assert part in str(caught.value)


def test_two_data_sets_in_one_place_are_refused(write):
    root = write("csv").parent
    write("1m")
    with pytest.raises(DataFileError, match=r"expected one data set, found 2: MovieLens 1M in 1m, .* in csv"):
        load_movielens(root)


def test_the_sample_is_latest_small():
    ratings = load_sample()
    assert (ratings.num_ratings, ratings.num_users, ratings.num_items) == (100_004, 671, 9_125)
    assert (ratings.ratings_per_item() > 0).sum() == 9_066
    assert ratings.ratings_per_user().min() >= 20
    assert ratings.titles[0] == "Toy Story (1995)" and ratings.years[0] == 1995
    assert len(ratings.genres) == 19 and (ratings.item_genres.sum(axis=1) == 0).sum() == 18
    assert (ratings.years == -1).sum() == 4
    assert ratings.rating.mean(dtype=np.float64) == pytest.approx(3.543608, abs=1e-6)


def test_the_sample_is_the_file_sorted_by_time_alone():
    with as_file(files("recsim_lab.datasets") / "data" / "ml-latest-small.zip") as path:
        text = zipfile.ZipFile(path).read("ml-latest-small/ratings.csv").decode()
    rows = [(int(u), int(m), float(r), int(t)) for u, m, r, t in list(csv.reader(io.StringIO(text)))[1:]]
    rows.sort(key=lambda row: row[3])  # Python's sort keeps the order of ties
    ratings = load_sample()
    for name, column in (
        ("user", ratings.user_ids[ratings.user]),
        ("item", ratings.item_ids[ratings.item]),
        ("rating", ratings.rating),
        ("timestamp", ratings.timestamp),
    ):
        expected = [row[("user", "item", "rating", "timestamp").index(name)] for row in rows]
        np.testing.assert_array_equal(column, expected, err_msg=name)


def test_the_licence_of_the_sample_lies_beside_it():
    folder = files("recsim_lab.datasets") / "data"
    with as_file(folder / "ml-latest-small.zip") as path:
        inside = zipfile.ZipFile(path).read("ml-latest-small/README.txt")
    assert (folder / "ml-latest-small-README.txt").read_bytes() == inside
    assert b"distributed under these same license conditions" in inside


def test_movielens_1m_has_its_published_size():
    path = dataset_path("ml-1m/ml-1m.zip")
    if path is None:
        pytest.skip(NO_DATA)
    ratings = load_movielens(path)
    assert (ratings.num_ratings, ratings.num_users, ratings.num_items) == (1_000_209, 6_040, 3_883)
    assert (ratings.ratings_per_item() > 0).sum() == 3_706
    assert len(ratings.genres) == 18 and (ratings.years > 1900).all()
    assert np.bincount(ratings.user_features["gender"]).tolist() == [1_709, 4_331]
    first_lines = zipfile.ZipFile(path).read("ml-1m/ratings.dat").split(b"\n", 3)[:3]
    for user_id, item_id, stars, timestamp in (map(int, line.split(b"::")) for line in first_lines):
        row = (ratings.user_ids[ratings.user] == user_id) & (ratings.item_ids[ratings.item] == item_id)
        assert (ratings.rating[row].tolist(), ratings.timestamp[row].tolist()) == ([stars], [timestamp])
