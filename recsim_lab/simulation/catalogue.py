"""The items: what is true of them, and the noisy part of it that is public."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.policy import NEVER, TICKS_PER_DAY, Field
from recsim_lab.simulation.columns import check_columns

A = np.ndarray


@dataclass(frozen=True)
class Catalogue:
    """One row per item.

    `latent` meets the users' preferences in a dot product. `appeal` attracts (heavy-tailed in `everyday`);
    `quality` is what satisfies; `clickbait` attracts and disappoints. `continues` is the item of the same series
    that comes before this one, -1 for none. `release_day` is the first day on offer (0: from the start).
    `genre`, `length` and `language` are the public codes; genre is the topic seen through noise.
    """

    latent: Float32[A, "items dims"]
    topic: Int[A, " items"]
    appeal: Float32[A, " items"]
    quality: Float32[A, " items"]
    clickbait: Float32[A, " items"]
    continues: Int[A, " items"]
    release_day: Int[A, " items"]
    genre: Int[A, " items"]
    length: Int[A, " items"]
    language: Int[A, " items"]
    creator: Int[A, " items"]
    num_topics: int
    titles: tuple[str, ...] = ()
    lifetime_days: int = 0
    """Days that an item is on offer (0: for ever). Those on offer from the start go one after the other, so that as
    many are withdrawn on each of the first days."""
    public_numbers: tuple[str, ...] = ()
    """Which of `appeal`, `quality` and `clickbait` recommenders may see as they are."""

    def __post_init__(self) -> None:
        if not len(self.latent):
            raise ValueError("a catalogue must have at least one item, got 0")
        if self.lifetime_days < 0:
            raise ValueError(f"lifetime_days must be at least 0, got {self.lifetime_days}")
        if hidden := sorted(set(self.public_numbers) - {"appeal", "quality", "clickbait"}):
            raise ValueError(f"public_numbers must be of appeal, quality and clickbait, got {hidden[0]!r}")
        check_columns(self, self.num_items, "items")
        for name, limit in (("topic", self.num_topics), ("genre", self.num_topics), ("continues", self.num_items)):
            if (largest := getattr(self, name).max()) >= limit:
                raise ValueError(f"{name} must be below {limit}, got {largest}")

    @property
    def num_items(self) -> int:
        return len(self.latent)

    def public_fields(self) -> tuple[tuple[Field, ...], dict[str, A]]:
        """The fields and columns of the feature table's item side."""
        columns = {"genre": self.genre, "length": self.length, "language": self.language, "creator": self.creator}
        fields = tuple(
            Field(name, "categorical", self.num_topics if name == "genre" else int(column.max()) + 1)
            for name, column in columns.items()
        )
        numbers = {name: getattr(self, name) for name in self.public_numbers}
        return fields + tuple(Field(name, "numeric") for name in numbers), columns | numbers

    def release_ticks(self) -> tuple[Int[A, " items"], Int[A, " items"]]:
        """First tick on offer, and first tick no longer on offer."""
        release = self.release_day.astype(np.int64) * TICKS_PER_DAY
        if not self.lifetime_days:
            return release, np.full(self.num_items, NEVER, np.int64)
        old = np.flatnonzero(release <= 0)
        days = np.full(self.num_items, self.lifetime_days, np.int64)
        days[old] = 1 + np.arange(len(old)) * self.lifetime_days // max(len(old), 1)
        return release, np.maximum(release, 0) + days * TICKS_PER_DAY


def plain_catalogue(
    latent: Float32[A, "items dims"],
    topic: Int[A, " items"] | None = None,
    num_topics: int = 1,
    quality: Float32[A, " items"] | None = None,
    appeal: Float32[A, " items"] | None = None,
    clickbait: Float32[A, " items"] | None = None,
    titles: tuple[str, ...] = (),
    public_numbers: tuple[str, ...] = (),
) -> Catalogue:
    """A catalogue of the given arrays, with nothing more to tell: what is left out is zero, genre is the topic."""
    num_items = len(latent)
    nothing = np.zeros(num_items, np.float32)
    code = np.zeros(num_items, np.int32)
    topic = code if topic is None else topic.astype(np.int32)
    return Catalogue(
        latent=latent,
        topic=topic,
        appeal=nothing if appeal is None else appeal,
        quality=nothing if quality is None else quality,
        clickbait=nothing if clickbait is None else clickbait,
        continues=np.full(num_items, -1, np.int32),
        release_day=code,
        genre=topic,
        length=code,
        language=code,
        creator=code,
        num_topics=num_topics,
        titles=titles,
        public_numbers=public_numbers,
    )
