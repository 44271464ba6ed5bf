"""Every loss is its formula, written out in loops over documents, and its gradient that of the formula."""

import math
from itertools import permutations

import pytest
import torch

from agents.losses import LOSSES, make_loss

PARAMETERS = {
    "gbce": {"sampling_rate": 0.2, "calibration": 0.6},
    "ranknet": {"sigma": 1.3},
    "margin": {"margin": 0.7},
    "lambdarank": {"sigma": 0.8},
    "approx-ndcg": {"temperature": 0.5},
}


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


# Pointwise: the term of a document.


def mse(s, label):
    return (s - label) ** 2


def bce(s, label):
    return -label * math.log(sigmoid(s)) - (1 - label) * math.log(1 - sigmoid(s))


def gbce(s, label, sampling_rate, calibration):
    """As printed in the paper."""
    beta = sampling_rate * (calibration * (1 - 1 / sampling_rate) + 1 / sampling_rate)
    return -label * math.log(sigmoid(s) ** beta) - (1 - label) * math.log(1 - sigmoid(s))


# Pairwise and listwise: the loss of a list, None where it says nothing.


def ordered(labels):
    return [(i, j) for i in range(len(labels)) for j in range(len(labels)) if labels[i] > labels[j]]


def ranknet(s, labels, w, sigma=1.0):
    """The lecture's cross-entropy of the chance of a pair: of l_i > l_j only y_ij = 1 remains."""
    terms = [-w[i] * math.log(sigmoid(sigma * (s[i] - s[j]))) for i, j in ordered(labels)]
    return sum(terms) / len(terms) if terms else None


def margin(s, labels, w, margin):
    terms = [w[i] * max(0.0, margin - s[i] + s[j]) for i, j in ordered(labels)]
    return sum(terms) / len(terms) if terms else None


def ranking(s, labels):
    """Documents from the best to the worst; of equal scores the lowest label first, then the first in the list."""
    return sorted(range(len(s)), key=lambda i: (-s[i], labels[i], i))


def ndcg(ranked_labels, cutoff=None):
    def dcg(labels):
        return sum((2 ** labels[r] - 1) / math.log2(r + 2) for r in range(len(labels))[:cutoff])

    return dcg(ranked_labels) / dcg(sorted(ranked_labels, reverse=True))


def average_precision(ranked_labels):
    hits, total = 0, 0.0
    for r, label in enumerate(ranked_labels):
        if label > 0:
            hits += 1
            total += hits / (r + 1)
    return total / hits


def change(metric, s, labels, i, j):
    order = ranking(s, labels)
    before = [labels[d] for d in order]
    a, b = order.index(i), order.index(j)
    after = list(before)
    after[a], after[b] = after[b], after[a]
    return abs(metric(after) - metric(before))


def lambdarank(s, labels, w, sigma=1.0, cutoff=None):
    def metric(ranked):
        return ndcg(ranked, cutoff)

    terms = [
        -w[i] * change(metric, s, labels, i, j) * math.log(sigmoid(sigma * (s[i] - s[j]))) for i, j in ordered(labels)
    ]
    return sum(terms) if terms else None


def lambdarank_map(s, labels, w, sigma=1.0):
    labels = [float(label > 0) for label in labels]
    terms = [
        -w[i] * change(average_precision, s, labels, i, j) * math.log(sigmoid(sigma * (s[i] - s[j])))
        for i, j in ordered(labels)
    ]
    return sum(terms) if terms else None


def softmax(s, labels, w):
    if not sum(labels):
        return None
    total = sum(math.exp(x) for x in s)
    terms = [-weight * label * math.log(math.exp(x) / total) for x, label, weight in zip(s, labels, w, strict=True)]
    return sum(terms) / sum(labels)


def listnet(s, labels, w):
    if not sum(labels):
        return None
    by_score, by_label = sum(math.exp(x) for x in s), sum(math.exp(x) for x in labels)
    return sum(
        -weight * math.exp(label) / by_label * math.log(math.exp(x) / by_score)
        for x, label, weight in zip(s, labels, w, strict=True)
    )


def listmle(s, labels, w):
    if not ordered(labels):
        return None
    total = 0.0
    for i in range(len(s)):
        if labels[i] > min(labels):
            remaining = sum(math.exp(s[k]) for k in range(len(s)) if labels[k] <= labels[i])
            total -= w[i] * math.log(math.exp(s[i]) / remaining)
    return total


def approx_ndcg(s, labels, w, temperature):
    if not sum(labels):
        return None
    gains = 0.0
    for i in range(len(s)):
        rank = 1 + sum(sigmoid((s[j] - s[i]) / temperature) for j in range(len(s)) if j != i)
        gains += w[i] * (2 ** labels[i] - 1) / math.log2(1 + rank)
    ideal = sum((2**label - 1) / math.log2(r + 2) for r, label in enumerate(sorted(labels, reverse=True)))
    return 1 - gains / ideal


POINTWISE = {"mse": mse, "bce": bce, "gbce": gbce}
OF_A_LIST = {
    "ranknet": ranknet,
    "bpr": ranknet,
    "margin": margin,
    "lambdarank": lambdarank,
    "lambdarank-map": lambdarank_map,
    "softmax": softmax,
    "listnet": listnet,
    "listmle": listmle,
    "approx-ndcg": approx_ndcg,
}


def literal(name, scores, labels, mask, weights, **parameters):
    lists = [
        tuple(values[row][mask[row]].tolist() for values in (scores, labels, weights)) for row in range(len(scores))
    ]
    if name in POINTWISE:
        terms = [w * POINTWISE[name](s, label, **parameters) for x in lists for s, label, w in zip(*x, strict=True)]
    else:
        terms = [term for x in lists if (term := OF_A_LIST[name](*x, **parameters)) is not None]
    assert len(terms) > 5
    return sum(terms) / len(terms)


def test_every_loss_has_a_formula_here():
    assert set(LOSSES) == set(POINTWISE) | set(OF_A_LIST)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_value(name, tied, weighted, ragged):
    for seed in range(5):
        scores, labels, mask, weights = ragged(seed, tied=tied)
        parameters = PARAMETERS.get(name, {})
        value = make_loss(name, **parameters)(scores, labels, mask, weights if weighted else None)
        used = weights if weighted else torch.ones_like(weights)
        assert float(value) == pytest.approx(literal(name, scores, labels, mask, used, **parameters), rel=1e-10)


@pytest.mark.parametrize("cutoff", [1, 3, 50])
def test_lambdarank_with_a_cutoff(cutoff, ragged):
    scores, labels, mask, weights = ragged(1, tied=True)
    value = make_loss("lambdarank", cutoff=cutoff)(scores, labels, mask, weights)
    assert float(value) == pytest.approx(literal("lambdarank", scores, labels, mask, weights, cutoff=cutoff), rel=1e-10)


@pytest.mark.parametrize("name", [name for name in LOSSES if not name.startswith("lambdarank")])
def test_gradient(name, ragged):
    scores, labels, mask, weights = ragged(3, num_queries=6, num_documents=7)
    loss = make_loss(name, **PARAMETERS.get(name, {}))
    scores = scores.nan_to_num(0.0, posinf=0.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: 3 * loss(s, labels, mask, weights), scores, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("name", ["lambdarank", "lambdarank-map"])
@pytest.mark.parametrize("tied", [False, True])
def test_gradient_of_lambdarank_is_the_lambdas(name, tied, ragged):
    scores, labels, mask, weights = ragged(4, tied=tied)
    sigma, binary = 1.7, name == "lambdarank-map"
    scores = scores.requires_grad_()
    make_loss(name, sigma=sigma)(scores, labels, mask, weights).backward()
    expected, num_lists = torch.zeros_like(scores), 0
    for row in range(len(scores)):
        places = mask[row].nonzero()[:, 0].tolist()
        s, w = scores[row, places].tolist(), weights[row, places].tolist()
        of_list = [float(x > 0) if binary else x for x in labels[row, places].tolist()]
        num_lists += bool(ordered(of_list))
        for i, j in ordered(of_list):
            delta = change(average_precision if binary else ndcg, s, of_list, i, j)
            force = -sigma * w[i] * delta / (1 + math.exp(sigma * (s[i] - s[j])))
            expected[row, places[i]] += force
            expected[row, places[j]] -= force
    assert torch.allclose(scores.grad, expected / num_lists, rtol=1e-10, atol=1e-14)
    assert (expected != 0).sum() > 20


def test_listmle_without_ties_is_the_likelihood_of_the_order():
    """Xia et al. (2008), equation of the likelihood loss, term by term."""
    s, labels = [0.3, -1.2, 2.0, 0.1], [3.0, 1.0, 0.0, 2.0]
    order = [0, 3, 1, 2]
    likelihood = 1.0
    for place, i in enumerate(order):
        likelihood *= math.exp(s[i]) / sum(math.exp(s[k]) for k in order[place:])
    value = make_loss("listmle")(torch.tensor([s]), torch.tensor([labels]), torch.ones(1, 4, dtype=torch.bool))
    assert float(value) == pytest.approx(-math.log(likelihood), rel=1e-6)


def test_listmle_leaves_the_lowest_label_in_any_order():
    """The chance that documents 0 and 1 come first, in this order, summed over all orders of the others."""
    s = [0.3, -1.2, 2.0, 0.1, -0.4]
    chance = 0.0
    for tail in permutations([2, 3, 4]):
        order = [0, 1, *tail]
        chance += math.prod(math.exp(s[i]) / sum(math.exp(s[k]) for k in order[n:]) for n, i in enumerate(order))
    labels = torch.tensor([[2.0, 1.0, 0.0, 0.0, 0.0]])
    value = make_loss("listmle")(torch.tensor([s]), labels, torch.ones(1, 5, dtype=torch.bool))
    assert float(value) == pytest.approx(-math.log(chance), rel=1e-6)


def test_gbce_at_its_ends(ragged):
    """t = 0 is binary cross-entropy; at t = 1 the best score of a positive is that against the whole catalogue."""
    scores, labels, mask, weights = ragged(5)
    labels = (labels > 2).double()
    plain = make_loss("bce")(scores, labels, mask, weights)
    assert torch.allclose(make_loss("gbce", sampling_rate=0.1, calibration=0.0)(scores, labels, mask, weights), plain)
    # An item that is the positive in 1 of 20 requests, against 10 of 99 others drawn uniformly: seen as a positive
    # p = 0.05 times and as a negative (1 - p) * 10/99 times. With t = 1 its best chance is p again.
    rate, p = 10 / 99, 0.05
    score = torch.tensor([[math.log(p / (1 - p))] * 2], dtype=torch.float64, requires_grad=True)
    times = torch.tensor([[p, (1 - p) * rate]], dtype=torch.float64)
    full = make_loss("gbce", sampling_rate=rate, calibration=1.0)
    full(score, torch.tensor([[1.0, 0.0]]).double(), torch.ones(1, 2, dtype=torch.bool), times).backward()
    assert abs(float(score.grad.sum())) < 1e-12


def test_one_positive_makes_listmle_and_softmax_agree():
    scores = torch.randn(4, 30, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(4, 30)
    labels[:, 0] = 1
    mask = torch.ones(4, 30, dtype=torch.bool)
    expected = torch.nn.functional.cross_entropy(scores, torch.zeros(4, dtype=torch.long))
    assert torch.allclose(make_loss("softmax")(scores, labels, mask), expected)
    assert torch.allclose(make_loss("listmle")(scores, labels, mask), expected)
