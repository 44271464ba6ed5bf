"""Reads the movies and the users that MovieLens lists, in each of its three layouts.

They are read record by record: they are few beside the ratings, and their text wants parsing in any case.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

from recsim_lab.datasets.files import DataFile
from recsim_lab.datasets.tables import csv_records, parse_integer, separated_records

GENDERS = ("F", "M")
AGE_GROUPS = ("under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")
OCCUPATIONS_1M = (
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)
OCCUPATIONS_100K = (
    *("administrator", "artist", "doctor", "educator", "engineer", "entertainment", "executive"),
    *("healthcare", "homemaker", "lawyer", "librarian", "marketing", "none", "other"),
    *("programmer", "retired", "salesman", "scientist", "student", "technician", "writer"),
)

_GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_NO_GENRE = frozenset({"", "unknown", "(no genres listed)"})
_AGES_1M = (1, 18, 25, 35, 45, 50, 56)  # code of each age group, which is also its lowest age
_YEAR_OF_TITLE = re.compile(r"\(([0-9]{4})(?:[-\u2013][0-9]{0,4})?\)")  # of a series: when it began
_YEAR_OF_DATE = re.compile(r"-([0-9]{4})$")


@final
@dataclass(frozen=True)
class Movie:
    """A listed movie; `year` is -1 where unknown."""

    line: int
    id: int
    title: str
    genres: frozenset[str]
    year: int


@final
@dataclass(frozen=True)
class User:
    """A listed user; `codes` are category codes of gender, age group and occupation."""

    line: int
    id: int
    codes: dict[str, int]


def movies_csv(file: DataFile) -> Iterator[Movie]:
    for line, (movie_id, title, genres) in csv_records(file, ("movieId", "title", "genres")):
        yield _movie(file, line, movie_id, title, genres.split("|"))


def movies_1m(file: DataFile) -> Iterator[Movie]:
    columns = ("MovieID", "Title", "Genres")
    for line, (movie_id, title, genres) in separated_records(file, "::", columns, "latin-1"):
        yield _movie(file, line, movie_id, title, genres.split("|"))


def movies_100k(file: DataFile) -> Iterator[Movie]:
    columns = ("movie id", "movie title", "release date", "video release date", "IMDb URL", *_GENRES_100K)
    for line, fields in separated_records(file, "|", columns, "latin-1"):
        movie_id, title, release_date, _, _, *flags = fields
        for genre, flag in zip(_GENRES_100K, flags, strict=True):
            if flag not in ("0", "1"):
                raise file.fault(line, f"0 or 1 as {genre}", repr(flag))
        genres = [genre for genre, flag in zip(_GENRES_100K, flags, strict=True) if flag == "1"]
        yield _movie(file, line, movie_id, title, genres, release_date)


def users_1m(file: DataFile) -> Iterator[User]:
    columns = ("UserID", "Gender", "Age", "Occupation", "Zip-code")
    ages = tuple(str(age) for age in _AGES_1M)
    occupations = tuple(str(code) for code in range(len(OCCUPATIONS_1M)))
    for line, (user_id, gender, age, occupation, _) in separated_records(file, "::", columns, "latin-1"):
        codes = {
            "gender": _code(file, line, "gender", gender, GENDERS),
            "age_group": _code(file, line, "age", age, ages),
            "occupation": _code(file, line, "occupation", occupation, occupations),
        }
        yield User(line, parse_integer(file, line, "user id", user_id), codes)


def users_100k(file: DataFile) -> Iterator[User]:
    """The layout gives ages in years; they are grouped as that of 1M groups them."""
    columns = ("user id", "age", "gender", "occupation", "zip code")
    for line, (user_id, age, gender, occupation, _) in separated_records(file, "|", columns, "latin-1"):
        years = parse_integer(file, line, "age", age)
        if years < _AGES_1M[0]:
            raise file.fault(line, "at least 1 as age", repr(age))
        codes = {
            "gender": _code(file, line, "gender", gender, GENDERS),
            "age_group": bisect_right(_AGES_1M, years) - 1,
            "occupation": _code(file, line, "occupation", occupation, OCCUPATIONS_100K),
        }
        yield User(line, parse_integer(file, line, "user id", user_id), codes)


def _movie(
    file: DataFile, line: int, movie_id: str, title: str, genres: Iterable[str], release_date: str = ""
) -> Movie:
    """The title's year goes before that of the release date, which other layouts don't have."""
    years = _YEAR_OF_TITLE.findall(title) or _YEAR_OF_DATE.findall(release_date)
    return Movie(
        line=line,
        id=parse_integer(file, line, "movie id", movie_id),
        title=title.strip(),
        genres=frozenset(genres) - _NO_GENRE,
        year=int(years[-1]) if years else -1,
    )


def _code(file: DataFile, line: int, name: str, field: str, categories: tuple[str, ...]) -> int:
    if field not in categories:
        raise file.fault(line, f"one of {', '.join(categories)} as {name}", repr(field))
    return categories.index(field)
