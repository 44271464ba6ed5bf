"""What an item is worth to a user at a request, before any dynamics: taste, public features, appeal, freshness."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.kernels import add_crosses, pair_dot

if TYPE_CHECKING:
    from recsim_lab.simulation.catalogue import Catalogue
    from recsim_lab.simulation.population import Population
    from recsim_lab.simulation.world import World

A = np.ndarray
State = Mapping[str, A]

PARTS_OF_DAY = 8
"""A day has eight parts of three hours; the hour acts on utility through them."""
NUM_DEVICES = 3


@dataclass(frozen=True)
class Crosses:
    """Tables of how public features meet: the sum of their entries has standard deviation 1 over random pairs.

    `age_part_language` is the three-way cross; tables are centred along every axis, so that no feature has an
    effect of its own that popularity could find.
    """

    age_genre: Float32[A, "ages genres"]
    part_length: Float32[A, "parts lengths"]
    age_part_language: Float32[A, "ages parts languages"]
    device_length: Float32[A, "devices lengths"]

    def __post_init__(self) -> None:
        for name, (axis, num_codes) in {
            "part_length": ("parts of the day", PARTS_OF_DAY),
            "device_length": ("devices", NUM_DEVICES),
        }.items():
            if len(getattr(self, name)) != num_codes:
                raise ValueError(
                    f"{name} must have a row for each of {num_codes} {axis}, got {len(getattr(self, name))}"
                )

    def check_codes(self, catalogue: "Catalogue", population: "Population") -> None:
        """Refuse codes of users or items for which the tables have no entry.

        Raises:
            ValueError: naming the code, the rule and the value.
        """
        num_ages, num_genres = self.age_genre.shape
        for name, codes, num_codes in (
            ("age", population.age, num_ages),
            ("genre", catalogue.genre, num_genres),
            ("length", catalogue.length, self.part_length.shape[1]),
            ("language", catalogue.language, self.age_part_language.shape[2]),
        ):
            if codes.max() >= num_codes:
                raise ValueError(f"{name} must be below {num_codes}, as in the crosses, got {codes.max()}")


def draw_crosses(
    rng: np.random.Generator, num_ages: int, num_genres: int, num_lengths: int, num_languages: int
) -> Crosses:
    """Centred tables of normal entries, scaled so that each has the same variance and their sum variance 1.

    A feature of which there is one code only crosses with nothing: its tables are zero.
    """

    def centred(*shape: int) -> A:
        table = rng.normal(size=shape)
        for axis in range(len(shape)):
            table -= table.mean(axis=axis, keepdims=True)
        # With one code only along an axis nothing is left, up to rounding, and nothing may be blown up.
        spread = table.std() if min(shape) > 1 else np.inf
        return (table / spread / 2.0).astype(np.float32)

    return Crosses(
        age_genre=centred(num_ages, num_genres),
        part_length=centred(PARTS_OF_DAY, num_lengths),
        age_part_language=centred(num_ages, PARTS_OF_DAY, num_languages),
        device_length=centred(NUM_DEVICES, num_lengths),
    )


@dataclass(frozen=True)
class Utility:
    """The weighted sum of the components; a weight of zero switches one off.

    utility = offset + latent p.v + features C + appeal a + clickbait c + freshness exp(-age / freshness_days)

    with preference p, item vector v, crosses C, and the item's age in days since its release (items on offer from
    the start count as old). Dynamics add further terms.
    """

    latent: float = 1.0
    features: float = 0.0
    appeal: float = 0.0
    clickbait: float = 0.0
    freshness: float = 0.0
    freshness_days: float = 10.0
    offset: float = 0.0
    crosses: Crosses | None = None

    def __post_init__(self) -> None:
        for name in ("latent", "features", "appeal", "clickbait", "freshness", "offset"):
            if not np.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")
        if not self.freshness_days > 0:
            raise ValueError(f"freshness_days must be positive, got {self.freshness_days}")
        if self.features and self.crosses is None:
            raise ValueError(f"crosses must be given where features has a weight, got features={self.features}")

    def match(
        self, world: "World", state: State, rows: Int[A, " rows"], items: Int[A, "rows slots"]
    ) -> Float32[A, "rows slots"]:
        """The personal part: latent match and feature crosses."""
        out = np.empty(items.shape, np.float32)
        catalogue = world.catalogue
        pair_dot(items, rows, state["preference"], catalogue.latent, np.float32(self.latent), out)
        if self.features and self.crosses is not None:
            profile = state["profile"][rows]
            add_crosses(
                items,
                world.population.age[profile],
                part_of_day(state["tick"][rows]),
                state["device"][rows],
                catalogue.genre,
                catalogue.length,
                catalogue.language,
                self.crosses.age_genre,
                self.crosses.part_length,
                self.crosses.age_part_language,
                self.crosses.device_length,
                np.float32(self.features),
                out,
            )
        return out

    def item_part(self, world: "World") -> Float32[A, " items"]:
        """The part that depends on the item alone and not on time."""
        catalogue = world.catalogue
        part = self.offset + self.appeal * catalogue.appeal + self.clickbait * catalogue.clickbait
        return np.asarray(part, np.float32)

    def fresh_part(
        self, world: "World", tick: Int[A, " rows"], items: Int[A, "rows slots"]
    ) -> Float32[A, "rows slots"]:
        """The bonus of new items."""
        released = world.catalogue.release_day[items]
        age = (tick[:, None] / TICKS_PER_DAY - released).astype(np.float32)
        # What is not out yet would overflow the exponential.
        bonus = np.float32(self.freshness) * np.exp(-np.maximum(age, 0) / np.float32(self.freshness_days))
        return np.where((released > 0) & (age >= 0), bonus, np.float32(0))


def part_of_day(tick: Int[A, " rows"]) -> Int[A, " rows"]:
    """0 to 7, three hours each."""
    return tick % TICKS_PER_DAY * PARTS_OF_DAY // TICKS_PER_DAY
