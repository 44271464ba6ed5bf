"""What a batch is worth to a network: each target equals its formula, written out pair by pair."""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from agents.fields import Columns, Schema, Table
from agents.losses import Loss, make_loss
from agents.losses.log_rank import LogRank
from agents.matrix_factorization import FactorNetwork
from agents.negatives import Draw, Hard, InBatch, Negatives, uniform
from agents.objective import Batch, Catalogue, Impressions, WholeCatalogue
from agents.requests import Requests
from recsim_lab.policy import NEVER

T = torch.Tensor

NUM_USERS, NUM_ITEMS, DIM = 3, 6, 2
NOTHING = Columns(torch.zeros(NUM_ITEMS, 0, dtype=torch.long), torch.zeros(NUM_ITEMS, 0), ())
TABLE = Table(NOTHING, NOTHING, torch.zeros(NUM_ITEMS, dtype=torch.long), torch.full((NUM_ITEMS,), NEVER))
USERS = torch.tensor([2, 0, 1])
CLICKED = torch.tensor([4, 1, 4])


@pytest.fixture
def network() -> FactorNetwork:
    torch.manual_seed(0)
    network = FactorNetwork(Schema(NUM_USERS, NUM_ITEMS, 1), DIM, scale=1.0).double()
    network.known_users[:] = network.known_items[:] = True
    with torch.no_grad():
        network.users[:, -1] = torch.randn(1 + NUM_USERS)
        network.items[:, -1] = torch.randn(1 + NUM_ITEMS)
    return network


def batch_of(items: T, labels: T | None = None, weights: T | None = None) -> Batch:
    zero = torch.zeros_like(USERS)
    nothing = torch.zeros(len(USERS), 0, dtype=torch.int32)
    labels = torch.ones(items.shape, dtype=torch.float64) if labels is None else labels
    return Batch(Requests(USERS, zero, zero, nothing, nothing, TABLE), TABLE, items, labels, zero, weights)


def score(network: FactorNetwork, row: int, item: int) -> float:
    """The formula: user · item + both biases."""
    user, vector = network.users[1 + USERS[row]].tolist(), network.items[1 + item].tolist()
    return sum(a * b for a, b in zip(user[:DIM], vector[:DIM], strict=True)) + user[DIM] + vector[DIM]


@dataclass(frozen=True)
class Given(Negatives):
    """Given items, with given logs of expected numbers."""

    items: T
    log_expected: T

    def draw(self, clicked, num, shared, judge=None):
        return Draw(self.items, self.log_expected)


@dataclass(frozen=True)
class Recorded(Loss):
    """Keeps what it is asked about."""

    kind: ClassVar = "pointwise"
    seen: list = field(default_factory=list)

    def _loss(self, scores, labels, mask, weights):
        self.seen.append((scores.detach(), labels, mask, weights))
        return scores.sum()


SHARED = Given(torch.tensor([0, 4, 5]), torch.tensor([0.5, -0.2, 0.1], dtype=torch.float64))
OWN = Given(torch.tensor([[0, 4], [1, 3], [5, 5]]), torch.tensor([[0.5, -0.2], [0.1, 0.7], [1.0, 1.0]]).double())


@pytest.mark.parametrize("negatives", [SHARED, OWN], ids=["shared", "own"])
@pytest.mark.parametrize("correct", [False, True])
def test_catalogue_scores_labels_and_mask(negatives, correct, network):
    criterion = Recorded()
    Catalogue(criterion, negatives, 3, True, correct).loss(network, batch_of(CLICKED[:, None]))
    scores, labels, mask, weights = criterion.seen[0]
    for row in range(3):
        drawn = (negatives.items if negatives is SHARED else negatives.items[row]).tolist()
        expected = (negatives.log_expected if negatives is SHARED else negatives.log_expected[row]).tolist()
        assert labels[row].tolist() == [1.0] + [0.0] * len(drawn)
        assert mask[row].tolist() == [True] + [item != CLICKED[row] for item in drawn]
        # The clicked item is there with certainty: its own score is never corrected.
        assert float(scores[row, 0]) == pytest.approx(score(network, row, int(CLICKED[row])))
        for place, (item, log_expected) in enumerate(zip(drawn, expected, strict=True), start=1):
            if mask[row, place]:
                correction = log_expected if correct else 0.0
                assert float(scores[row, place]) == pytest.approx(score(network, row, item) - correction)
    assert (weights == 1).all()


@pytest.mark.parametrize("name", ["bce", "softmax", "bpr"])
@pytest.mark.parametrize("negatives", [SHARED, OWN], ids=["shared", "own"])
def test_catalogue_is_its_formula(name, negatives, network):
    terms = []
    for row in range(3):
        drawn = (negatives.items if negatives is SHARED else negatives.items[row]).tolist()
        won = score(network, row, int(CLICKED[row]))
        lost = [score(network, row, item) for item in drawn if item != CLICKED[row]]
        if name == "bce":
            terms += [math.log1p(math.exp(-won)), *(math.log1p(math.exp(other)) for other in lost)]
        elif name == "softmax":
            terms.append(math.log(math.exp(won) + sum(math.exp(other) for other in lost)) - won)
        else:
            terms.append(np.mean([math.log1p(math.exp(other - won)) for other in lost]))
    loss = Catalogue(make_loss(name), negatives, 3, True).loss(network, batch_of(CLICKED[:, None]))
    assert float(loss.detach()) == pytest.approx(np.mean(terms))


def test_weight_decay_is_the_mean_squared_length(network):
    plain, decayed = (
        Catalogue(make_loss("bce"), OWN, 2, False, weight_decay=decay).loss(network, batch_of(CLICKED[:, None]))
        for decay in (0.0, 0.3)
    )

    def length(rows: T) -> T:
        # The ones beside the biases count too, and have no gradient.
        return rows.square().sum(dim=-1) + 1

    users = length(network.users[1 + USERS]).mean()
    items = (length(network.items[1 + CLICKED]).mean() + length(network.items[1 + OWN.items]).mean()) / 2
    assert float((decayed - plain).detach()) == pytest.approx(0.3 * float((users + items).detach()))


@pytest.mark.parametrize("pool", [list(range(NUM_ITEMS)), [1, 4, 5]], ids=["all", "some"])
def test_the_whole_catalogue_is_plain_cross_entropy(pool, network):
    shown = torch.tensor([item in pool for item in range(NUM_ITEMS)])
    objective = WholeCatalogue(torch.tensor(pool), shown.cumsum(0) - 1, changes=True)
    loss = objective.loss(network, batch_of(CLICKED[:, None]))
    loss.backward()
    gradients = [network.users.grad.clone(), network.items.grad.clone()]
    network.zero_grad()
    logits = network(batch_of(CLICKED[:, None]).inputs, torch.tensor(pool))
    plain = cross_entropy(logits, torch.tensor([pool.index(item) for item in CLICKED.tolist()]))
    plain.backward()
    assert float(loss.detach()) == pytest.approx(float(plain.detach()))
    for own, literal in zip(gradients, (network.users.grad, network.items.grad), strict=True):
        torch.testing.assert_close(own, literal)


RELEASE, WITHDRAWAL = torch.tensor([0, 0, 5, 9, 0, 0]), torch.tensor([NEVER, 12, NEVER, NEVER, NEVER, 3])
TICKS = torch.tensor([2, 6, 20])
"""Items 0, 1, 4, 5 were on offer at the first, then 0, 1, 2, 4, then 0, 2, 3, 4."""


def batch_of_a_changing_catalogue() -> Batch:
    return replace(batch_of(CLICKED[:, None]), table=replace(TABLE, release=RELEASE, withdrawal=WITHDRAWAL), tick=TICKS)


def literal_loss(network: FactorNetwork, alternatives: list[list[int]]) -> float:
    """The mean cross-entropy of each click among its alternatives."""
    losses = []
    for row, items in enumerate(alternatives):
        clicked = int(CLICKED[row])
        total = sum(math.exp(score(network, row, item)) for item in {clicked, *items})
        losses.append(math.log(total) - score(network, row, clicked))
    return float(np.mean(losses))


def test_what_was_not_on_offer_is_no_negative(network):
    every = Draw(torch.arange(NUM_ITEMS), torch.zeros(NUM_ITEMS))
    batch = batch_of_a_changing_catalogue()
    loss = Catalogue(make_loss("softmax"), Given(every.items, every.log_expected), 6, True).loss(network, batch)
    expected = literal_loss(network, [[0, 1, 4, 5], [0, 1, 2, 4], [0, 2, 3, 4]])
    assert float(loss.detach()) == pytest.approx(expected)
    everything = torch.arange(NUM_ITEMS)
    whole = WholeCatalogue(everything, everything, changes=True).loss(network, batch)
    assert float(whole.detach()) == pytest.approx(expected)
    whole.backward()
    gradient = network.items.grad.clone()
    network.zero_grad()
    loss.backward()
    torch.testing.assert_close(network.items.grad, gradient)


def test_what_was_not_on_offer_is_no_hard_negative_either(network):
    with torch.no_grad():
        network.items[1 + 3, -1], network.items[1 + 5, -1] = 50.0, 40.0
    hard = Hard(uniform(torch.ones(NUM_ITEMS).bool()), share=1.0)
    loss = Catalogue(make_loss("softmax"), hard, 1, False).loss(network, batch_of_a_changing_catalogue(), network)
    # The hardest is 5 for the first request and 3 for the last; the second has neither of them.
    best = max((0, 2, 4), key=lambda item: score(network, 1, item))
    assert float(loss.detach()) == pytest.approx(literal_loss(network, [[5], [best], [3]]))


SLATES = torch.tensor([[0, 4, 2], [1, 3, -1], [5, -1, -1]])
CLICKS = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 0]]).double()
WEIGHTS = torch.tensor([[1.0, 2.0, 4.0]]).double().expand(3, -1)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["bce", "softmax"])
def test_impressions_are_their_formula(name, weighted, biased, network):
    bias = torch.tensor([0.3, -0.1, -0.7], dtype=torch.float64, requires_grad=True)
    terms = []
    for row in range(3):
        shown = [slot for slot in range(3) if SLATES[row, slot] >= 0]
        scores = [score(network, row, int(SLATES[row, slot])) + biased * float(bias[slot].detach()) for slot in shown]
        weights = [float(WEIGHTS[row, slot]) if weighted else 1.0 for slot in shown]
        clicks = [float(CLICKS[row, slot]) for slot in shown]
        triples = list(zip(scores, clicks, weights, strict=True))
        if name == "bce":
            terms += [w * (math.log1p(math.exp(s)) - c * s) for s, c, w in triples]
        elif any(clicks):
            total = math.log(sum(math.exp(s) for s in scores))
            terms.append(sum(w * c * (total - s) for s, c, w in triples) / sum(clicks))
    objective = Impressions(make_loss(name), bias if biased else None)
    loss = objective.loss(network, batch_of(SLATES, CLICKS, WEIGHTS if weighted else None))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(np.mean(terms))
    assert (bias.grad is not None and bool(bias.grad.any())) == biased


@pytest.mark.parametrize("name", ["bce", "mse", "softmax", "bpr", "lambdarank", "listmle", "approx-ndcg"])
def test_what_pads_a_slate_teaches_nothing(name, network):
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    labels = CLICKS.clone()
    losses = []
    for padding in (0.0, 1.0):
        labels[SLATES < 0] = padding
        losses.append(Impressions(make_loss(name), bias).loss(network, batch_of(SLATES, labels)))
    assert float(losses[0].detach()) == float(losses[1].detach())
    losses[1].backward()
    # -1 is read as "unknown", row 0, which therefore must have no gradient.
    assert not network.items.grad[0].any() and network.items.grad[1:].any()


def test_the_judge_is_asked_and_not_taught(network):
    torch.manual_seed(1)
    judge = FactorNetwork(Schema(NUM_USERS, NUM_ITEMS, 1), DIM, scale=5.0).double()
    judge.known_users[:] = judge.known_items[:] = True
    criterion = Recorded()
    objective = Catalogue(criterion, Hard(uniform(torch.ones(NUM_ITEMS).bool()), share=1.0), 2, False)
    assert objective.needs_judge
    assert not Catalogue(criterion, SHARED, 2, False).needs_judge
    objective.loss(network, batch_of(CLICKED[:, None]), judge).backward()
    assert judge.users.grad is None and judge.items.grad is None and network.items.grad is not None
    scores, _, _, _ = criterion.seen[0]
    for row in range(3):
        others = [item for item in range(NUM_ITEMS) if item != CLICKED[row]]
        hardest = sorted(others, key=lambda item, row=row: -score(judge, row, item))[:2]
        # Chosen by the judge's scores, judged by the network's own.
        assert scores[row, 1:].tolist() == pytest.approx([score(network, row, item) for item in hardest])


def test_a_batch_of_nothing_is_worth_nothing(network):
    batch = batch_of(CLICKED[:, None])
    empty = Batch(batch.inputs.take(slice(0)), TABLE, batch.items[:0], batch.labels[:0], batch.tick[:0])
    for objective in (
        Catalogue(make_loss("softmax"), InBatch(torch.zeros(NUM_ITEMS)), 2, True),
        Catalogue(make_loss("bce"), InBatch(torch.zeros(NUM_ITEMS)), 2, False),
        WholeCatalogue(torch.arange(NUM_ITEMS), torch.arange(NUM_ITEMS), changes=True),
    ):
        assert float(objective.loss(network, empty).detach()) == 0


# ---- what tells when to stop -----------------------------------------------------------------------------------------


def test_held_out_clicks_of_hard_negatives_are_judged_by_their_rank(network):
    drawn = uniform(torch.ones(NUM_ITEMS).bool())
    easy = Catalogue(make_loss("softmax"), drawn, 3, True, weight_decay=0.1)
    assert easy.of_held_out is easy
    hard = Catalogue(make_loss("softmax"), Hard(drawn), 3, True, weight_decay=0.1).of_held_out
    torch.manual_seed(3)
    items = drawn.draw(CLICKED, 64, shared=True).items.tolist()
    torch.manual_seed(3)
    loss = hard.loss(network, batch_of(CLICKED[:, None])).detach()
    expected = []
    for row, clicked in enumerate(CLICKED.tolist()):
        own, others = score(network, row, clicked), [score(network, row, item) for item in items if item != clicked]
        expected.append(math.log2(1 + sum(one > own for one in others)))
    assert float(loss) == pytest.approx(np.mean(expected), abs=1e-6) and min(expected) < max(expected)


def test_ranks_are_logged_among_the_others_in_the_middle_of_ties():
    scores = torch.tensor([[3.0, 5, 3, 1, 9], [2, 1, 7, 0, 0], [1, 1, 1, 1, 1]], requires_grad=True)
    labels = torch.tensor([[1.0, 0, 0, 0, 0], [1, 3, 0, 0, 0], [0, 0, 0, 0, 0]])
    mask = torch.tensor([[True] * 4 + [False], [True] * 4 + [False], [True] * 5])
    weights = torch.tensor([[2.0], [1.0], [1.0]]).expand(3, 5)
    loss = LogRank()(scores, labels, mask, weights)
    # One above and one level: rank 2.5. The other list: ranks 2 and 2, weighing 1 and 3 of 4. The last has no click.
    assert float(loss.detach()) == pytest.approx((2 * math.log2(2.5) + math.log2(2)) / 2)
    loss.backward()
    assert (scores.grad == 0).all()
