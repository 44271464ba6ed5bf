"""Loads MovieLens in its three official layouts: latest-small (and its larger kin), 100K and 1M.

Source: F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM Transactions on
Interactive Intelligent Systems 5(4), 2015, and the README of each data set.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import TypeVar, final

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.datasets import movielens_listings as listings
from recsim_lab.datasets.base import Ratings
from recsim_lab.datasets.files import DataFile, read_layout
from recsim_lab.datasets.movielens_listings import Movie, User
from recsim_lab.datasets.tables import Numbers, NumberTable

A = np.ndarray
Listed = TypeVar("Listed", Movie, User)

_ORIGIN = "MovieLens can be had from the GroupLens site"
_LOWEST_RATING, _HIGHEST_RATING = 0.5, 5.0
_COLUMNS: dict[str, type[int] | type[float]] = {
    "userId": int,
    "movieId": int,
    "rating": float,
    "timestamp": int,
}


@final
@dataclass(frozen=True)
class _Layout:
    """Which file holds what, and how it is read; without a file of users, those who rate are the users."""

    ratings: str
    table: NumberTable
    movies: str
    read_movies: Callable[[DataFile], Iterator[Movie]]
    users: str | None = None
    read_users: Callable[[DataFile], Iterator[User]] | None = None
    occupations: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(file for file in (self.ratings, self.movies, self.users) if file)


_LAYOUTS = {
    "MovieLens latest": _Layout(
        ratings="ratings.csv",
        table=NumberTable(",", has_header=True, columns=_COLUMNS),
        movies="movies.csv",
        read_movies=listings.movies_csv,
    ),
    "MovieLens 100K": _Layout(
        ratings="u.data",
        table=NumberTable("\t", has_header=False, columns=_COLUMNS),
        movies="u.item",
        read_movies=listings.movies_100k,
        users="u.user",
        read_users=listings.users_100k,
        occupations=listings.OCCUPATIONS_100K,
    ),
    "MovieLens 1M": _Layout(
        ratings="ratings.dat",
        table=NumberTable("::", has_header=False, columns=_COLUMNS),
        movies="movies.dat",
        read_movies=listings.movies_1m,
        users="users.dat",
        read_users=listings.users_1m,
        occupations=listings.OCCUPATIONS_1M,
    ),
}


def load_movielens(path: str | os.PathLike[str]) -> Ratings:
    """Reads the MovieLens data set in the folder or zip archive at `path`, in whichever layout it is there.

    The files may lie one folder deep. Listed movies and users without a rating are kept. 1M and 100K tell the
    users' gender, age group and occupation. Genre names are the data set's own ("Children" or "Children's").

    Raises `FileNotFoundError` where no layout is whole, and `DataFileError`, naming file and line, for what is
    malformed, a rating outside [0.5, 5], a movie or user that isn't listed, or a movie rated twice by one user.
    """
    name, found = read_layout(path, {name: layout.files for name, layout in _LAYOUTS.items()}, _ORIGIN)
    layout = _LAYOUTS[name]
    movies = _by_id(layout.read_movies(found[layout.movies]), found[layout.movies])
    item_ids = _ids(movies)
    ratings = layout.table.read(found[layout.ratings])
    _check_range(ratings)
    item = _positions(ratings, "movieId", item_ids, layout.movies)
    if layout.users is None or layout.read_users is None:
        users: list[User] = []
        user_ids, user = np.unique(ratings.columns["userId"], return_inverse=True)
    else:
        users = _by_id(layout.read_users(found[layout.users]), found[layout.users])
        user_ids = _ids(users)
        user = _positions(ratings, "userId", user_ids, layout.users)
    _check_rated_once(ratings, user, item, len(item_ids))

    oldest_first = np.argsort(ratings.columns["timestamp"], kind="stable")
    genres = tuple(sorted(frozenset().union(*(movie.genres for movie in movies))))
    categories = {
        "gender": listings.GENDERS,
        "age_group": listings.AGE_GROUPS,
        "occupation": layout.occupations,
    }
    return Ratings(
        user=user[oldest_first].astype(np.int32),
        item=item[oldest_first].astype(np.int32),
        rating=ratings.columns["rating"][oldest_first].astype(np.float32),
        timestamp=ratings.columns["timestamp"][oldest_first],
        user_ids=user_ids,
        item_ids=item_ids,
        titles=tuple(movie.title for movie in movies),
        genres=genres,
        item_genres=_genre_table(movies, genres),
        years=np.array([movie.year for movie in movies], dtype=np.int32),
        user_features={
            name: np.array([user.codes[name] for user in users], dtype=np.int32) for name in categories if users
        },
        user_feature_names=categories if users else {},
    )


def load_sample() -> Ratings:
    """MovieLens latest-small of October 2016, which ships with its licence: 100,004 ratings by 671 users.

    9,125 movies are listed, 9,066 of them rated; users have no features.
    """
    with as_file(files("recsim_lab.datasets") / "data" / "ml-latest-small.zip") as path:
        return load_movielens(path)


def _by_id(listed: Iterator[Listed], file: DataFile) -> list[Listed]:
    first: dict[int, Listed] = {}
    for record in listed:
        if record.id in first:
            raise file.fault(record.line, "each id once", f"{record.id}, as on line {first[record.id].line}")
        first[record.id] = record
    if not first:
        raise file.fault(None, "at least one record", "none")
    return [first[record_id] for record_id in sorted(first)]


def _ids(listed: Sequence[Movie] | Sequence[User]) -> Int[A, " listed"]:
    return np.array([record.id for record in listed], dtype=np.int64)


def _genre_table(movies: Sequence[Movie], genres: tuple[str, ...]) -> Bool[A, "items genres"]:
    table = np.array([[genre in movie.genres for genre in genres] for movie in movies], dtype=bool)
    return table.reshape(len(movies), len(genres))


def _check_range(ratings: Numbers) -> None:
    stars: Float[A, " rows"] = ratings.columns["rating"]
    wrong = np.flatnonzero(~((stars >= _LOWEST_RATING) & (stars <= _HIGHEST_RATING)))  # NaN too
    if wrong.size:
        row = int(wrong[0])
        raise ratings.fault(row, f"a rating in [{_LOWEST_RATING}, {_HIGHEST_RATING:g}]", f"{stars[row]:g}")


def _positions(ratings: Numbers, column: str, ids: Int[A, " listed"], listing: str) -> Int[A, " rows"]:
    """Where each row's id stands among the listed ones, which rise."""
    wanted = ratings.columns[column]
    positions = np.searchsorted(ids, wanted).clip(max=len(ids) - 1)
    unlisted = np.flatnonzero(ids[positions] != wanted)
    if unlisted.size:
        row = int(unlisted[0])
        raise ratings.fault(row, f"a {column} that {listing} lists", f"{wanted[row]}")
    return positions


def _check_rated_once(ratings: Numbers, user: Int[A, " rows"], item: Int[A, " rows"], num_items: int) -> None:
    pairs = user.astype(np.int64) * num_items + item
    order = np.argsort(pairs, kind="stable")
    again = np.flatnonzero(np.diff(pairs[order]) == 0)
    if again.size:
        first = again[order[again + 1].argmin()]
        earlier, row = int(order[first]), int(order[first + 1])
        movie_id, user_id = ratings.columns["movieId"][row], ratings.columns["userId"][row]
        raise ratings.fault(
            row,
            "each movie once for each user",
            f"movie {movie_id} by user {user_id}, as on line {ratings.line_number(earlier)}",
        )
