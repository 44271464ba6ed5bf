"""The users: what they prefer, how they behave, and the part of it that is public."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.policy import Field
from recsim_lab.simulation.columns import check_columns

A = np.ndarray

AVERAGE_HABIT = 3
"""The row of `HABITS` that leaves an examination curve as it is."""
HABITS = np.array([0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0])
"""Position habits: the exponent that a user puts on the examination curve; above 1, they look less far down."""


@dataclass(frozen=True)
class Population:
    """One row per user.

    `latent` is the preference that items' latent vectors meet; `topic_taste` the chance of each topic when a new
    intent arises; `habit` a row of `HABITS`. `activity` is added to the logit of coming back each day, `patience`
    taken from the logit of leaving. `part_of_day` and `device` are the favourite ones. `age` is public.
    """

    latent: Float32[A, "users dims"]
    topic_taste: Float32[A, "users topics"]
    habit: Int[A, " users"]
    activity: Float32[A, " users"]
    patience: Float32[A, " users"]
    part_of_day: Int[A, " users"]
    device: Int[A, " users"]
    age: Int[A, " users"]
    num_ages: int = 0
    """How many ages are told apart (0: as many as occur)."""

    def __post_init__(self) -> None:
        if not len(self.latent):
            raise ValueError("a population must have at least one user, got 0")
        check_columns(self, self.num_users, "users")
        if self.habit.max() >= len(HABITS):
            raise ValueError(f"habit must be below {len(HABITS)}, got {self.habit.max()}")
        if self.num_ages and self.age.max() >= self.num_ages:
            raise ValueError(f"age must be below {self.num_ages}, got {self.age.max()}")

    @property
    def num_users(self) -> int:
        return len(self.latent)

    def public_fields(self) -> tuple[tuple[Field, ...], dict[str, A]]:
        """The fields and columns of the feature table's user side."""
        return (Field("age", "categorical", self.num_ages or int(self.age.max()) + 1),), {"age": self.age}

    def take(self, users: Int[A, " taken"]) -> "Population":
        """Some of the users, whose public fields stay those of all."""
        columns = {name: value[users] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **columns, num_ages=self.num_ages or int(self.age.max()) + 1)


def plain_population(
    latent: Float32[A, "users dims"], topic_taste: Float32[A, "users topics"] | None = None
) -> Population:
    """Users of the given preferences who are alike in all else."""
    num_users = len(latent)
    code, nothing = np.zeros(num_users, np.int32), np.zeros(num_users, np.float32)
    return Population(
        latent=latent,
        topic_taste=np.ones((num_users, 1), np.float32) if topic_taste is None else topic_taste,
        habit=np.full(num_users, AVERAGE_HABIT, np.int32),
        activity=nothing,
        patience=nothing,
        part_of_day=code,
        device=code,
        age=code,
    )
