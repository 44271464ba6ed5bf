"""What users are known to have clicked, of which models think highly, and which is no hard negative therefore."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Int

T = torch.Tensor


@final
@dataclass(frozen=True)
class Known:
    """The clicks of some users, and whose each row of a batch is."""

    item: Int[T, " clicks"]
    """The clicked items, with repetitions, one user after the other."""
    num_clicks: Int[T, " users"]
    user: Int[T, " rows"]
    """The place of each row's user in `num_clicks`."""

    @staticmethod
    def of(
        item: Int[T, " all_clicks"], first: Int[T, " users"], end: Int[T, " users"], user: Int[T, " rows"]
    ) -> "Known":
        """The clicks `first[k]` to `end[k] - 1` of all clicks for user k."""
        num = end - first
        start = torch.repeat_interleave(end - num.cumsum(0), num)
        return Known(item[start + torch.arange(len(start), device=item.device)], num, user)

    def among(self, items: Int[T, " candidates"]) -> Bool[T, "rows candidates"]:
        """Which of these items, all different and ascending, each row's user is known to have clicked."""
        user = torch.repeat_interleave(torch.arange(len(self.num_clicks), device=items.device), self.num_clicks)
        place = torch.searchsorted(items, self.item).clamp(max=len(items) - 1)
        found = items[place] == self.item
        clicked = torch.zeros(len(self.num_clicks), len(items), dtype=torch.bool, device=items.device)
        clicked[user[found], place[found]] = True
        return clicked[self.user]
