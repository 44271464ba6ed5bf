"""The best slate for users who choose one item of it or none, in proportion to how attractive each is."""

import torch
from jaxtyping import Bool, Float, Int

T = torch.Tensor

_MOST_ROUNDS = 50


def value_of(
    attraction: Float[T, "rows slots"], value: Float[T, "rows slots"], nothing: Float[T, " rows"]
) -> Float[T, " rows"]:
    """sum_i v_i Q_i / (1 + sum_i v_i) over a slate, the choice of nothing having attraction 1 and value `nothing`.

    Ie et al. (IJCAI 2019, "SlateQ"), with a value for the null item.
    """
    return ((attraction * value).sum(dim=1) + nothing) / (1 + attraction.sum(dim=1))


def best_slate(
    attraction: Float[T, "rows items"],
    value: Float[T, "rows items"],
    nothing: Float[T, " rows"],
    eligible: Bool[T, "rows items"],
    num_slots: int,
) -> Int[T, "rows slots"]:
    """The slate of highest `value_of`, exactly.

    The paper solves a linear programme. Dinkelbach's method (Management Science 1967) has the same optimum: given the
    value y that a slate must beat, the best one holds the items of highest v_i (Q_i - y), and y becomes what that slate
    is worth, until it grows no more.
    """
    worth = torch.full_like(nothing, -torch.inf)
    slate = torch.where(eligible, attraction, -torch.inf).topk(num_slots).indices
    for _ in range(_MOST_ROUNDS):
        now = value_of(attraction.gather(1, slate), value.gather(1, slate), nothing)
        if not (now > worth).any():
            break
        worth = torch.maximum(worth, now)
        surplus = attraction * (value - worth[:, None])
        slate = torch.where(eligible, surplus, -torch.inf).topk(num_slots).indices
    return slate


def greedy_slate(
    attraction: Float[T, "rows items"],
    value: Float[T, "rows items"],
    nothing: Float[T, " rows"],
    eligible: Bool[T, "rows items"],
    num_slots: int,
) -> Int[T, "rows slots"]:
    """Item after item, always the one with which the slate so far is worth most: the paper's greedy heuristic."""
    rows = torch.arange(len(nothing), device=nothing.device)
    total, weight = nothing.clone(), torch.ones_like(nothing)
    free, slots = eligible.clone(), []
    for _ in range(num_slots):
        worth = (total[:, None] + attraction * value) / (weight[:, None] + attraction)
        item = torch.where(free, worth, -torch.inf).argmax(dim=1)
        total = total + (attraction * value)[rows, item]
        weight = weight + attraction[rows, item]
        free[rows, item] = False
        slots.append(item)
    return torch.stack(slots, dim=1)


def top_slate(
    attraction: Float[T, "rows items"],
    value: Float[T, "rows items"],
    nothing: Float[T, " rows"],
    eligible: Bool[T, "rows items"],
    num_slots: int,
) -> Int[T, "rows slots"]:
    """The items of highest v_i Q_i: the paper's top-k heuristic."""
    return torch.where(eligible, attraction * value, -torch.inf).topk(num_slots).indices


OPTIMISERS = {"exact": best_slate, "greedy": greedy_slate, "top": top_slate}
