"""Requests as tensors: what a network sees of a batch of observations."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int

from agents.fields import Table
from recsim_lab.policy import Observation

T = torch.Tensor


@dataclass(frozen=True)
class Requests:
    """One row per request; `clicked` newest last, padded with -1 on the left, `clicked_tick` when (minutes)."""

    user: Int[T, " rows"]
    tick: Int[T, " rows"]
    device: Int[T, " rows"]
    clicked: Int[T, "rows history"]
    clicked_tick: Int[T, "rows history"]
    table: Table

    @staticmethod
    def of(observation: Observation, table: Table, device: str, num_recent: int | None = None) -> "Requests":
        """The requests with at most the `num_recent` newest clicks of each (None: all).

        Raises:
            ValueError: if a user has no row in the table of those that have features.
        """
        if len(table.users) and len(observation.user) and (last := observation.user.max()) >= len(table.users):
            raise ValueError(f"users must be among the {len(table.users)} that have features, got user {last}")
        history = observation.clicked.shape[1]
        newest = slice(0 if num_recent is None else max(history - num_recent, 0), None)
        return Requests(
            torch.tensor(observation.user, dtype=torch.long, device=device),
            torch.tensor(observation.tick, dtype=torch.long, device=device),
            torch.tensor(observation.device, dtype=torch.long, device=device),
            torch.tensor(observation.clicked[:, newest], dtype=torch.int32, device=device),
            torch.tensor(observation.clicked_tick[:, newest], dtype=torch.int32, device=device),
            table,
        )

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: Int[T, " taken"] | slice) -> "Requests":
        columns = {n: getattr(self, n)[rows] for n in ("user", "tick", "device", "clicked", "clicked_tick")}
        return replace(self, **columns)
