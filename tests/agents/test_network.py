"""Drawn items that recur are embedded once, and nothing else changes by that."""

import pytest
import torch

from agents.fields import Columns, Schema, Table
from agents.matrix_factorization import FactorNetwork
from agents.network import DotNetwork, Recurring
from recsim_lab.policy import NEVER

T = torch.Tensor

NUM_ITEMS, NUM_ROWS = 40, 7
NOTHING = Columns(torch.zeros(NUM_ITEMS, 0, dtype=torch.long), torch.zeros(NUM_ITEMS, 0), ())
TABLE = Table(NOTHING, NOTHING, torch.zeros(NUM_ITEMS, dtype=torch.long), torch.full((NUM_ITEMS,), NEVER))


@pytest.fixture
def network() -> FactorNetwork:
    torch.manual_seed(0)
    network = FactorNetwork(Schema(NUM_ROWS, NUM_ITEMS, 1), 5, scale=1.0).double()
    network.known_items[1:] = True
    return network


def drawn(num_negatives: int, num_items: int = NUM_ITEMS) -> T:
    return torch.randint(num_items, (NUM_ROWS, num_negatives), generator=torch.Generator().manual_seed(1))


def test_vectors_are_embedded_once_where_a_product_costs_less(network, monkeypatch):
    monkeypatch.setattr(DotNetwork, "products_a_gather", 3)
    few, many = torch.arange(NUM_ROWS * 5).view(NUM_ROWS, 5) % 15, drawn(5)
    assert len(few.unique()) == 3 * 5 < len(many.unique())
    found = network.embed_drawn(few, TABLE)
    assert isinstance(found, Recurring) and torch.equal(few.unique()[found.place], few)
    assert isinstance(network.embed_drawn(many, TABLE), torch.Tensor)
    assert isinstance(network.embed_drawn(few[0], TABLE), torch.Tensor)  # shared by all: nothing recurs by design


@pytest.mark.parametrize("num_negatives", [1, 5, 60])
def test_scores_sizes_and_gradients_are_those_of_each_place_by_itself(num_negatives, network, monkeypatch):
    monkeypatch.setattr(DotNetwork, "products_a_gather", NUM_ITEMS)
    items = drawn(num_negatives)
    found = []
    for embed in (network.embed, network.embed_drawn):
        encoded = torch.randn(NUM_ROWS, 7, generator=torch.Generator().manual_seed(2)).double().requires_grad_()
        embedded = embed(items, TABLE)
        scores, size = network.score(encoded, embedded), network.size(encoded, embedded)
        gradients = torch.autograd.grad(scores.exp().mean() + size, (encoded, network.items))
        found.append((scores, size, *gradients))
    assert isinstance(embedded, Recurring)
    torch.testing.assert_close(found[1], found[0])
