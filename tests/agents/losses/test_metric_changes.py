"""What LambdaRank takes as the change of a metric is what the metric changes by when two documents change places."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.losses.blocks import blocks
from agents.losses.lambdarank import gain_change, precision_change, ranks

LISTS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3), st.booleans()), min_size=1, max_size=9)


def as_tensors(of_list):
    scores, labels, mask = (torch.tensor([column]) for column in zip(*of_list, strict=True))
    return scores.double(), labels.double().masked_fill(~mask, 0.0), mask


def changes(change, chosen, num_documents):
    """As a matrix of chosen documents against all."""
    matrix = torch.full((num_documents, num_documents), math.nan, dtype=torch.float64)
    for block in blocks(chosen):
        values = change(block)
        for place in range(block.documents.shape[1]):
            matrix[block.documents[0, place]] = values[0, place]
    return matrix


def by_rank(scores, labels, mask):
    rank = ranks(scores, labels, mask)[0].tolist()
    present = mask[0].nonzero()[:, 0].tolist()
    return [place for _, place in sorted((rank[place], place) for place in present)]


def dcg(labels, cutoff):
    return sum((2**label - 1) / math.log2(r + 2) for r, label in enumerate(labels[:cutoff]))


def precision(labels):
    relevant = [r for r, label in enumerate(labels) if label > 0]
    return sum((n + 1) / (r + 1) for n, r in enumerate(relevant)) / len(relevant)


def exchanged(order, labels, i, j):
    return [labels[{i: j, j: i}.get(place, place)] for place in order]


@settings(max_examples=120, deadline=None)
@given(LISTS, st.sampled_from([None, 1, 2, 5]))
def test_change_of_ndcg(of_list, cutoff):
    scores, labels, mask = as_tensors(of_list)
    order, label = by_rank(scores, labels, mask), labels[0].tolist()
    matrix = changes(gain_change(scores, labels, mask, cutoff), mask & (labels > 0), len(label))
    ideal = dcg(sorted((label[i] for i in order), reverse=True), cutoff)
    before = dcg([label[i] for i in order], cutoff)
    for i in order:
        for j in order:
            if label[i] > label[j]:
                after = dcg(exchanged(order, label, i, j), cutoff)
                assert float(matrix[i, j]) == pytest.approx(abs(after - before) / ideal, abs=1e-12)


@settings(max_examples=120, deadline=None)
@given(LISTS)
def test_change_of_average_precision(of_list):
    scores, labels, mask = as_tensors(of_list)
    labels = (labels > 0).double()
    order, label = by_rank(scores, labels, mask), labels[0].tolist()
    matrix = changes(precision_change(scores, labels, mask), mask & (labels > 0), len(label))
    for i in order:
        for j in order:
            if label[i] > label[j]:
                before, after = precision([label[d] for d in order]), precision(exchanged(order, label, i, j))
                assert float(matrix[i, j]) == pytest.approx(abs(after - before), abs=1e-12)


@settings(max_examples=120, deadline=None)
@given(LISTS)
def test_ranks(of_list):
    """Higher scores first, of equal ones the lower label, then the earlier in the list; masked documents last."""
    scores, labels, mask = as_tensors(of_list)
    expected = sorted(
        range(len(of_list)), key=lambda i: (not mask[0, i], -scores[0, i] if mask[0, i] else 0, labels[0, i], i)
    )
    assert [expected.index(i) + 1 for i in range(len(of_list))] == ranks(scores, labels, mask)[0].tolist()
