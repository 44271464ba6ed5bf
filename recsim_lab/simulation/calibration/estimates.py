"""What ratings tell about their users and items, as one bundle that a small file can hold."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8

from recsim_lab.datasets import Ratings
from recsim_lab.simulation.calibration.factors import FactorSettings, RatingFactors, fit_factors
from recsim_lab.simulation.utility import PARTS_OF_DAY, part_of_day

A = np.ndarray

FORMATS = ("IMAX",)
"""Labels among the genres that tell how a film is shown, not what it is about; they are nobody's topic."""
NO_GENRE = "(no genre)"
_SECONDS_PER_TICK = 60


@dataclass(frozen=True, eq=False)
class Estimates:
    """The fitted factors, and counts; users and items stand in the order of the ratings' own.

    `topic` is the item's main genre, `topic_names` names it. `user_topics` counts a user's ratings by topic.
    `part_of_day` is when the user rated most (three hours each, UTC), `age` the code of the age group (zero where
    unknown). `user_ids` and `item_ids` are the data set's own.
    """

    factors: RatingFactors
    ratings_per_user: Int[A, " users"]
    ratings_per_item: Int[A, " items"]
    user_topics: Int[A, "users topics"]
    part_of_day: Int[A, " users"]
    age: Int[A, " users"]
    topic: Int[A, " items"]
    topic_names: tuple[str, ...]
    titles: tuple[str, ...]
    user_ids: Int[A, " users"]
    item_ids: Int[A, " items"]

    def take(self, users: Int[A, " some_users"], items: Int[A, " some_items"]) -> "Estimates":
        """Some of the users and items, with what was estimated from all of them."""
        factors = replace(
            self.factors,
            **{f"user_{name}": getattr(self.factors, f"user_{name}")[users] for name in ("bias", "factors")},
            **{f"item_{name}": getattr(self.factors, f"item_{name}")[items] for name in ("bias", "factors")},
        )
        of_users = ("ratings_per_user", "user_topics", "part_of_day", "age", "user_ids")
        of_items = ("ratings_per_item", "topic", "item_ids")
        chosen: dict[str, Any] = {name: getattr(self, name)[users] for name in of_users}
        chosen |= {name: getattr(self, name)[items] for name in of_items}
        titles = tuple(self.titles[item] for item in items) if self.titles else ()
        return replace(self, factors=factors, titles=titles, **chosen)

    def save(self, path: Path) -> None:
        """Write a compressed `.npz`; vectors are kept in half precision, biases in single."""
        arrays = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("factors", *_TEXTS)
        }
        arrays |= {name: _encoded(getattr(self, name)) for name in _TEXTS}
        arrays["mean"] = np.float64(self.factors.mean)
        for side in ("user", "item"):
            arrays[f"{side}_bias"] = getattr(self.factors, f"{side}_bias")
            arrays[f"{side}_factors"] = getattr(self.factors, f"{side}_factors").astype(np.float16)
        unfinished = path.with_name(f".{path.name}.unfinished")
        with unfinished.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        os.replace(unfinished, path)

    @staticmethod
    def load(path: Path) -> "Estimates":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Any] = dict(file)
        factors = RatingFactors(
            mean=float(arrays.pop("mean")),
            user_bias=arrays.pop("user_bias"),
            item_bias=arrays.pop("item_bias"),
            user_factors=arrays.pop("user_factors").astype(np.float32),
            item_factors=arrays.pop("item_factors").astype(np.float32),
        )
        arrays |= {name: _decoded(arrays.pop(name)) for name in _TEXTS}
        return Estimates(factors=factors, **arrays)


_TEXTS = ("topic_names", "titles")


def estimate(ratings: Ratings, settings: FactorSettings = FactorSettings()) -> Estimates:
    """Fit the factors and count the rest.

    Raises:
        ValueError: if there is no rating.
    """
    factors = fit_factors(ratings, settings)
    topic, topic_names = main_topics(ratings)
    return Estimates(
        factors=factors,
        ratings_per_user=ratings.ratings_per_user().astype(np.int32),
        ratings_per_item=ratings.ratings_per_item().astype(np.int32),
        user_topics=_count_pairs(ratings.user, topic[ratings.item], ratings.num_users, len(topic_names)),
        part_of_day=_favourite_part_of_day(ratings),
        age=ratings.user_features.get("age_group", np.zeros(ratings.num_users, np.int32)).astype(np.int32),
        topic=topic,
        topic_names=topic_names,
        titles=ratings.titles,
        user_ids=ratings.user_ids,
        item_ids=ratings.item_ids,
    )


def main_topics(ratings: Ratings) -> tuple[Int[A, " items"], tuple[str, ...]]:
    """The rarest of each item's genres, which says most about it (genres come in alphabetical order), and names."""
    kept = np.array([genre not in FORMATS for genre in ratings.genres], bool)
    names = tuple(genre for genre in ratings.genres if genre not in FORMATS)
    of_item = ratings.item_genres[:, kept]
    without = ~np.any(of_item, axis=1)
    if without.any():
        of_item = np.concatenate([of_item, without[:, None]], axis=1)
        names = (*names, NO_GENRE)
    num_items = of_item.sum(axis=0)
    return np.where(of_item, num_items, len(of_item) + 1).argmin(axis=1).astype(np.int32), names


def topic_taste(estimates: Estimates, prior: float = 5.0) -> Float32[A, "users topics"]:
    """Each user's shares of topics, with `prior` ratings' worth of everybody's shares mixed in."""
    counts = estimates.user_topics
    everybody = counts.sum(axis=0) / counts.sum()
    total = counts.sum(axis=1, keepdims=True)
    return ((counts + prior * everybody) / (total + prior)).astype(np.float32)


def _favourite_part_of_day(ratings: Ratings) -> Int[A, " users"]:
    part = part_of_day(ratings.timestamp // _SECONDS_PER_TICK)
    counts = _count_pairs(ratings.user, part, ratings.num_users, PARTS_OF_DAY)
    # Everybody's favourite decides between equals, and for those without a rating.
    return (counts + 0.5 * counts.sum(axis=0) / counts.sum()).argmax(axis=1).astype(np.int32)


def _count_pairs(
    row: Int[A, " ratings"], column: Int[A, " ratings"], num_rows: int, num_columns: int
) -> Int[A, "rows columns"]:
    cell = row.astype(np.int64) * num_columns + column
    return np.bincount(cell, minlength=num_rows * num_columns).reshape(num_rows, num_columns).astype(np.int32)


def _encoded(texts: tuple[str, ...]) -> UInt8[A, " bytes"]:
    """The texts as UTF-8 with a line end between them."""
    if any("\n" in text for text in texts):
        raise ValueError(f"titles must be of one line, got {next(text for text in texts if chr(10) in text)!r}")
    return np.frombuffer("\n".join(texts).encode(), np.uint8)


def _decoded(codes: UInt8[A, " bytes"]) -> tuple[str, ...]:
    return tuple(codes.tobytes().decode().split("\n"))
