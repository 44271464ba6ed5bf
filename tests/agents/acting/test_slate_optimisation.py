"""The exact slate is that of a search through all slates; heuristics are what they say, and never better."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.acting.slate_optimisation import OPTIMISERS, best_slate, greedy_slate, top_slate, value_of

T = torch.Tensor
_NUMBERS = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 1.0, 3.0, 7.5])
_WEIGHTS = st.sampled_from([1e-3, 0.1, 0.5, 1.0, 1.0, 2.0, 20.0])


@st.composite
def _problems(draw: st.DrawFn) -> tuple[T, T, T, T, int]:
    """Attractions, values, the value of nothing, who is eligible, and the number of slots; with many ties."""
    num_rows, num_items = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    num_slots = draw(st.integers(1, min(num_items, 3)))

    def table(numbers: st.SearchStrategy, width: int) -> T:
        row = st.lists(numbers, min_size=width, max_size=width)
        return torch.tensor(draw(st.lists(row, min_size=num_rows, max_size=num_rows)), dtype=torch.float64)

    eligible = table(st.sampled_from([0.0, 1.0, 1.0]), num_items) > 0
    eligible[:, :num_slots] = True
    mixed = torch.tensor(draw(st.permutations(range(num_items))))
    return (
        table(_WEIGHTS, num_items),
        table(_NUMBERS, num_items),
        table(_NUMBERS, 1)[:, 0],
        eligible[:, mixed],
        num_slots,
    )


def _worth(attraction: list[float], value: list[float], nothing: float, slate: tuple[int, ...]) -> float:
    chosen = sum(attraction[item] * value[item] for item in slate)
    return (chosen + nothing) / (1 + sum(attraction[item] for item in slate))


def _worths(slates: T, attraction: T, value: T, nothing: T) -> list[float]:
    rows = zip(attraction.tolist(), value.tolist(), nothing.tolist(), slates.tolist(), strict=True)
    return [_worth(v, q, none, tuple(slate)) for v, q, none, slate in rows]


def _best_worths(attraction: T, value: T, nothing: T, eligible: T, num_slots: int) -> list[float]:
    """By trying all slates."""
    rows = zip(attraction.tolist(), value.tolist(), nothing.tolist(), eligible.tolist(), strict=True)
    return [
        max(_worth(v, q, none, slate) for slate in combinations([i for i, ok in enumerate(may) if ok], num_slots))
        for v, q, none, may in rows
    ]


@settings(max_examples=300, deadline=None)
@given(_problems())
def test_the_exact_slate_is_the_best_of_all(problem: tuple[T, T, T, T, int]) -> None:
    attraction, value, nothing, eligible, num_slots = problem
    slates = best_slate(*problem)
    assert slates.shape == (len(nothing), num_slots)
    assert eligible.gather(1, slates).all()
    assert all(len(set(slate)) == num_slots for slate in slates.tolist())
    np.testing.assert_allclose(
        _worths(slates, attraction, value, nothing), _best_worths(*problem), rtol=1e-9, atol=1e-9
    )


@settings(max_examples=200, deadline=None)
@given(_problems())
def test_heuristics_are_legal_and_never_better(problem: tuple[T, T, T, T, int]) -> None:
    attraction, value, nothing, eligible, num_slots = problem
    best = np.array(_best_worths(*problem))
    for heuristic in (greedy_slate, top_slate):
        slates = heuristic(*problem)
        assert eligible.gather(1, slates).all()
        assert all(len(set(slate)) == num_slots for slate in slates.tolist())
        assert (np.array(_worths(slates, attraction, value, nothing)) <= best + 1e-9).all()


@settings(max_examples=200, deadline=None)
@given(_problems())
def test_greedy_takes_the_item_that_adds_most_again_and_again(problem: tuple[T, T, T, T, int]) -> None:
    attraction, value, nothing, eligible, num_slots = (x.tolist() if isinstance(x, T) else x for x in problem)
    slates = greedy_slate(*problem).tolist()
    for row, slate in enumerate(slates):
        for length in range(num_slots):
            held = tuple(slate[:length])
            free = [item for item, may in enumerate(eligible[row]) if may and item not in held]
            worths = [_worth(attraction[row], value[row], nothing[row], (*held, item)) for item in free]
            taken = _worth(attraction[row], value[row], nothing[row], (*held, slate[length]))
            assert taken == pytest.approx(max(worths), rel=1e-9, abs=1e-9)


def test_worth_by_hand() -> None:
    """Chances .2, .4 and .4 of nothing, the first and the second item."""
    worth = value_of(torch.tensor([[2.0, 2.0]]), torch.tensor([[3.0, 1.0]]), torch.tensor([5.0]))
    assert worth.item() == pytest.approx(0.2 * 5 + 0.4 * 3 + 0.4 * 1)


def test_optimisers_differ_where_they_should() -> None:
    """One slot. Top-k takes the item of highest attraction times value, which is worth 2 / 3; the other is worth 1."""
    attraction, value = torch.tensor([[2.0, 0.5]]), torch.tensor([[1.0, 3.0]])
    nothing, eligible = torch.zeros(1), torch.ones((1, 2), dtype=torch.bool)
    chosen = {name: find(attraction, value, nothing, eligible, 1).item() for name, find in OPTIMISERS.items()}
    assert chosen == {"exact": 1, "greedy": 1, "top": 0}


def test_greedy_can_miss_the_best() -> None:
    """Alone item 2 is worth most, 208 / 41 > 10 / 2 > 2 / 1.02; beside it 218 / 42 is most, but 12 / 2.02 is more."""
    attraction, value = torch.tensor([[1.0, 0.02, 40.0]]), torch.tensor([[10.0, 100.0, 5.2]])
    nothing, eligible = torch.zeros(1), torch.ones((1, 3), dtype=torch.bool)
    exact, greedy = (find(attraction, value, nothing, eligible, 2) for find in (best_slate, greedy_slate))
    assert set(exact[0].tolist()) == {0, 1}
    assert set(greedy[0].tolist()) == {0, 2}


def test_many_items_in_single_precision_are_still_best_to_rounding() -> None:
    """Against the linear programme's certificate: no item outside has a higher v (Q - y) than one inside."""
    generator = torch.Generator().manual_seed(0)
    attraction = torch.randn((50, 2000), generator=generator).mul(2).exp()
    value = 10 * torch.randn((50, 2000), generator=generator)
    nothing, eligible = torch.randn(50, generator=generator), torch.rand((50, 2000), generator=generator) < 0.5
    slates = best_slate(attraction, value, nothing, eligible, 10)
    worth = value_of(*(x.double() for x in (attraction.gather(1, slates), value.gather(1, slates), nothing)))
    surplus = attraction.double() * (value.double() - worth[:, None])
    inside = surplus.gather(1, slates)
    outside = surplus.masked_fill(~eligible, -torch.inf).scatter(1, slates, -torch.inf)
    gap = (outside.amax(dim=1) - inside.amin(dim=1)) / inside.amax(dim=1)
    assert gap.max() < 1e-4
