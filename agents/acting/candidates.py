"""Items drawn at random, of which slates are then chosen."""

import torch
from jaxtyping import Bool, Float, Int

T = torch.Tensor


def drawn_at_random(luck: Float[T, "rows items"], offered: Bool[T, "#rows items"], num: int) -> Int[T, "rows drawn"]:
    """`num` of the items on offer, any as likely: those of the highest luck.

    Raises:
        ValueError: if fewer are on offer.
    """
    if len(offered) and int(fewest := offered.sum(dim=1).min()) < num:
        raise ValueError(f"candidates must be at most the number of items on offer, got {num} of {fewest}")
    return torch.where(offered, luck, -1.0).topk(num).indices
