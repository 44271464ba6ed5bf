"""The users of a vector environment, as an agent that acts sees them."""

import hashlib
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from jaxtyping import Bool, Float, Int

from recsim_lab.policy import FeatureTable, Observation

A = np.ndarray


@final
@dataclass(frozen=True)
class Outcome:
    """What followed a batch of slates. `after` are the same users' next requests; of those who are gone for good, or
    whose episode was cut off, they are the last that will be seen."""

    clicks: Bool[A, "rows slots"]
    reward: Float[A, " rows"]
    after: Observation
    ended: Bool[A, " rows"]
    cut: Bool[A, " rows"]


@final
class LiveUsers:
    """Keeps the requests that wait for a slate; who is gone is followed by the next user of the seat.

    Raises:
        ValueError: if the environment resets seats by itself, so that last requests would be lost.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        if env.metadata.get("autoreset_mode") != AutoresetMode.DISABLED:
            raise ValueError(
                "autoreset_mode of an environment to learn in must be DISABLED, so that the last request of a life is "
                f"seen, got {env.metadata.get('autoreset_mode')}: SlateVectorEnv(..., autoreset_mode='Disabled')"
            )
        self.env = env
        self.features: FeatureTable = env.unwrapped.features  # type: ignore[attr-defined]
        self.num_slots: int = env.single_action_space.shape[0]  # type: ignore[index]

    def __len__(self) -> int:
        return self.env.num_envs

    @property
    def description(self) -> str:
        """How many users are served at once, how many slots they are shown, and the catalogue's public features."""
        table = self.features
        columns = [*sorted(table.users.items()), *sorted(table.items.items())]
        columns += [("release", table.release), ("withdrawal", table.withdrawal)]
        digest = hashlib.sha256(repr((table.user_fields, table.item_fields)).encode())
        for name, values in columns:
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
        return f"{len(self)} seats, {self.num_slots} slots and the features {digest.hexdigest()[:16]}"

    def begin(self, seed: int) -> None:
        """New users, who follow from the seed; those of two seeds have nothing in common."""
        # Seat i under seed s is the single environment under s + i: neighbouring seeds would share most users.
        far = np.random.SeedSequence(seed).generate_state(1)[0]
        self._see(self.env.reset(seed=int(far))[0])

    def step(self, slates: Int[A, "rows slots"]) -> Outcome:
        fields, reward, ended, cut, info = self.env.step(slates)
        after = Observation.of(fields, self.features)
        gone = ended | cut
        self._see(self.env.reset(options={"reset_mask": gone})[0] if gone.any() else fields)
        return Outcome(info["clicks"], reward, after, ended, cut & ~ended)

    def state(self) -> dict[str, A]:
        """The environment's state, as named arrays."""
        return self.env.unwrapped.state()  # type: ignore[attr-defined]

    def restore(self, state: dict[str, A]) -> None:
        self._see(self.env.unwrapped.restore(state))  # type: ignore[attr-defined]

    def _see(self, fields: dict[str, A]) -> None:
        self.observation = Observation.of(fields, self.features)
