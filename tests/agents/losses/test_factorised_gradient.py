"""Forces summed up document by document are the gradient of the sum over pairs, however pairs are cut into blocks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.losses import RankNet, blocks, make_loss
from agents.losses.blocks import left_aligned


def plain_ranknet(scores, labels, mask, weights):
    """The formula over all [documents, documents] pairs, differentiated by torch."""
    ordered = (labels[:, :, None] > labels[:, None, :]) & mask[:, :, None] & mask[:, None, :]
    terms = torch.nn.functional.softplus(scores[:, None, :] - scores[:, :, None]) * weights[:, :, None]
    num_pairs = ordered.sum(dim=(1, 2))
    of_query = terms.masked_fill(~ordered, 0.0).sum(dim=(1, 2)) / num_pairs.clamp(min=1)
    return of_query.sum() / (num_pairs > 0).sum().clamp(min=1)


@pytest.mark.parametrize("num_queries, num_documents, chance", [(3, 400, 0.002), (30, 40, 0.3), (5, 60, 0.9)])
@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_ranknet_is_autograd_of_the_plain_formula(num_queries, num_documents, chance, unit):
    """However close two different labels are, they are in order."""
    generator = torch.Generator().manual_seed(0)
    shape = (num_queries, num_documents)
    scores = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(1, 4, shape, generator=generator) * (torch.rand(shape, generator=generator) < chance)
    labels = unit * labels.double()
    mask = torch.rand(shape, generator=generator) < 0.9
    weights = torch.rand(shape, generator=generator, dtype=torch.float64)
    plain = plain_ranknet(scores, labels, mask, weights)
    factorised = RankNet()(scores, labels, mask, weights)
    assert torch.allclose(factorised, plain, rtol=1e-12)
    expected, got = (torch.autograd.grad(loss, scores)[0] for loss in (plain, factorised))
    assert torch.allclose(got, expected, rtol=1e-10, atol=1e-15) and (expected != 0).any()


@pytest.mark.parametrize("name", ["ranknet", "margin", "lambdarank", "lambdarank-map", "approx-ndcg"])
@pytest.mark.parametrize("num_pairs", [1, 40, 10**6])
def test_blocks_of_any_size_agree(name, num_pairs, ragged, monkeypatch):
    scores, labels, mask, weights = ragged(0)
    results = []
    for size in (200, num_pairs):
        monkeypatch.setattr(blocks, "_PAIRS_ON_CPU", size)
        leaf = scores.clone().requires_grad_()
        loss = make_loss(name)(leaf, labels, mask, weights)
        loss.backward()
        results.append((loss.detach(), leaf.grad))
    assert torch.allclose(results[0][0], results[1][0], rtol=1e-12)
    assert torch.allclose(results[0][1], results[1][1], rtol=1e-10, atol=1e-15)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=8), st.integers(1, 60))
def test_blocks_hold_every_chosen_document_once(rows, num_pairs):
    chosen = torch.tensor(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_PAIRS_ON_CPU", num_pairs)
        all_blocks = list(blocks.blocks(chosen))
    found = [
        (int(query), int(document))
        for block in all_blocks
        for query, of_query, present in zip(block.queries, block.documents, block.present, strict=True)
        for document in of_query[present]
    ]
    assert sorted(found) == [tuple(place) for place in chosen.nonzero().tolist()]
    assert all(block.documents.numel() * 6 <= max(num_pairs, 6) for block in all_blocks)


def test_a_long_list_among_short_ones_costs_its_own_pairs():
    """One list with 512 chosen documents and 511 with a single one: 1,023 rows of pairs, not 512 x 512."""
    chosen = torch.zeros(512, 512, dtype=torch.bool)
    chosen[:, 0], chosen[0] = True, True
    rows = sum(block.documents.numel() for block in blocks.blocks(chosen))
    assert 1_023 <= rows < 2 * 1_023


def test_left_aligned():
    documents, present = left_aligned(torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]]).bool())
    assert documents[present].tolist() == [1, 3, 2]
    assert present.tolist() == [[True, True], [False, False], [True, False]]


def test_scores_that_need_no_gradient_get_none(ragged):
    scores, labels, mask, weights = ragged(0)
    assert not RankNet()(scores, labels, mask, weights).requires_grad
    with torch.no_grad():
        RankNet()(scores.clone().requires_grad_(), labels, mask, weights)
