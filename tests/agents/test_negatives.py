"""Negatives come as often as they say, and the correction by that turns a sampled softmax into the full one."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from agents.fields import Columns, Schema, Table
from agents.losses import SoftmaxCrossEntropy
from agents.matrix_factorization import FactorNetwork
from agents.negatives import Draw, Hard, InBatch, Mixed, Negatives, Weighted, popularity, uniform
from agents.objective import Batch, Catalogue
from agents.requests import Requests
from recsim_lab.policy import NEVER
from recsim_lab.testing import check_counts

T = torch.Tensor

NUM_ITEMS = 8
POOL = torch.tensor([False, True, True, False, True, True, True, False])
CLICKS = torch.tensor([0.0, 30, 1, 0, 5, 0, 14, 0])
CHANCE = CLICKS / CLICKS.sum()
IN_BATCH = InBatch(CHANCE.log())
SOURCES = {
    "uniform": uniform(POOL),
    "popularity": popularity(POOL, CLICKS, 0.75),
    "in-batch": IN_BATCH,
    "mixed": Mixed(IN_BATCH, uniform(POOL)),
    "mixed, few others": Mixed(IN_BATCH, popularity(POOL, CLICKS, 0.5), share=0.2),
}


def batches(num_batches: int, num_rows: int, seed: int = 0) -> T:
    """Batches of clicks, each click drawn in proportion to `CLICKS`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(CHANCE, num_batches * num_rows, True, generator=generator).view(num_batches, num_rows)


def of_row(draw: Draw, row: int, clicked: T) -> tuple[T, T]:
    """A request's negatives, without the click that it brought to the batch itself."""
    if draw.items.ndim == 2:
        return draw.items[row], draw.log_expected[row]
    with_batch = torch.equal(draw.items[: len(clicked)], clicked)
    others = torch.arange(len(draw.items)) != row if with_batch else torch.arange(len(draw.items)) >= 0
    return draw.items[others], draw.log_expected[others]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", SOURCES)
def test_negatives_come_as_often_as_they_say(name, shared):
    """Chi-square, false alarm below 1e-5; each request's negatives are independent where clicks are."""
    num_batches, num_rows, row = 500, 40, 2
    torch.manual_seed(1)
    counts, expected = np.zeros(NUM_ITEMS, np.int64), np.zeros(NUM_ITEMS)
    for clicked in batches(num_batches, num_rows):
        items, log_expected = of_row(SOURCES[name].draw(clicked, 25, shared), row, clicked)
        counts += np.bincount(items, minlength=NUM_ITEMS)
        expected[items] = log_expected.exp()
    check_counts(counts, num_batches * expected, name)
    assert counts.sum() / num_batches == pytest.approx(expected.sum(), rel=1e-5)


def test_weights_are_the_frequencies():
    weights = {
        "uniform": POOL.double() / 5,
        "popularity": POOL * (CLICKS.double() + 1) ** 0.75 / (POOL * (CLICKS.double() + 1) ** 0.75).sum(),
    }
    torch.manual_seed(0)
    for name, chance in weights.items():
        for shared in (False, True):
            items = SOURCES[name].draw(torch.zeros(100, dtype=torch.long), 500, shared).items
            assert items.shape == ((500,) if shared else (100, 500))
            check_counts(np.bincount(items.ravel(), minlength=NUM_ITEMS), items.numel() * chance.numpy(), name)


def test_items_of_no_weight_are_never_drawn(monkeypatch):
    edges = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: edges)
    assert uniform(POOL).draw(torch.zeros(1, dtype=torch.long), 2, True).items.tolist() == [1, 6]


def test_counts_to_a_high_power_stay_numbers():
    source = popularity(torch.ones(3, dtype=torch.bool), torch.tensor([1e4, 1.0, 0.0]), 10.0)
    assert not source.log_probability.isnan().any() and (source.draw(torch.tensor([2]), 9, True).items == 0).all()


def test_no_weights_are_refused():
    with pytest.raises(ValueError, match="weights must be above 0 for at least one item"):
        uniform(torch.zeros(3, dtype=torch.bool))


def test_in_batch_negatives_are_other_clicks():
    clicked = torch.arange(100, 110)
    of_all = InBatch(torch.zeros(200))
    torch.manual_seed(0)
    for num in (1, 3, 9, 50):
        items = of_all.draw(clicked, num, shared=False).items
        assert items.shape == (10, min(num, 9))
        for row in range(10):
            assert len(set(items[row].tolist()) - {100 + row}) == min(num, 9)
    assert of_all.draw(clicked, 3, shared=True).items.tolist() == clicked.tolist()


def test_a_batch_of_many_clicks_meets_some_of_them():
    of_all = InBatch(torch.zeros(10_000))
    clicked = torch.arange(2 * InBatch.most)
    torch.manual_seed(0)
    draw = of_all.draw(clicked, 3, shared=True)
    assert len(draw.items.unique()) == len(draw.items) == InBatch.most
    # Each click is drawn half of the time, so each meets all that were drawn but half a click of its own.
    assert draw.log_expected.exp().unique().tolist() == pytest.approx([InBatch.most - 0.5], rel=1e-6)


def test_repeated_clicks_are_no_negatives():
    draw = Draw(torch.tensor([3, 5, 3]), torch.zeros(3))
    assert draw.valid(torch.tensor([3, 4])).tolist() == [[False, True, False], [True] * 3]
    draw = Draw(torch.tensor([[3, 5], [3, 5]]), torch.zeros(2, 2))
    assert draw.valid(torch.tensor([3, 5])).tolist() == [[False, True], [True, False]]


# ---- the correction --------------------------------------------------------------------------------------------------


def catalogue_of(num_users: int) -> tuple[FactorNetwork, Table]:
    """A network with scores that differ widely, and its table."""
    torch.manual_seed(3)
    network = FactorNetwork(Schema(num_users, NUM_ITEMS, 1), dim=3, scale=1.0)
    network.known_users[:] = network.known_items[:] = True
    nothing = Columns(torch.zeros(NUM_ITEMS, 0, dtype=torch.long), torch.zeros(NUM_ITEMS, 0), ())
    return network, Table(nothing, nothing, torch.zeros(NUM_ITEMS, dtype=torch.long), torch.full((NUM_ITEMS,), NEVER))


def batch_of(clicked: T, table: Table) -> Batch:
    none = torch.zeros(len(clicked), 0, dtype=torch.int32)
    users = torch.arange(len(clicked))
    requests = Requests(users, torch.zeros_like(users), torch.zeros_like(users), none, none, table)
    return Batch(requests, table, clicked[:, None], torch.ones(len(clicked), 1), requests.tick)


def sum_seen(network: FactorNetwork, batch: Batch, negatives: Negatives, num: int, shared: bool) -> float:
    """The sum of exponentials over the negatives that the loss of a batch of one click has seen."""
    with torch.no_grad():
        loss = Catalogue(SoftmaxCrossEntropy(), negatives, num, shared, correct=True).loss(network, batch)
        positive = network(batch.inputs, batch.items).double()
    return float(torch.exp(loss.double() + positive) - torch.exp(positive))


def full_sum(network: FactorNetwork, batch: Batch, pool: T) -> float:
    """The same over every item of the pool but the clicked one."""
    rest = pool & (torch.arange(NUM_ITEMS) != batch.items[0, 0])
    with torch.no_grad():
        return float(network(batch.inputs, rest.nonzero()[:, 0]).double().exp().sum())


@dataclass(frozen=True)
class WrongSign(Negatives):
    """The logs of expected numbers with their sign turned."""

    inner: Negatives

    def draw(self, clicked, num, shared, judge=None):
        draw = self.inner.draw(clicked, num, shared)
        return Draw(draw.items, -draw.log_expected)


def expected_by_enumeration(monkeypatch, source: Weighted, wrap=lambda negatives: negatives) -> tuple[float, float]:
    """(the expectation over every draw of one negative, the full sum)."""
    network, table = catalogue_of(1)
    batch = batch_of(torch.tensor([4]), table)
    ends = torch.cat([torch.zeros(1, dtype=torch.float64), source.cumulative])
    expected = 0.0
    for item in range(NUM_ITEMS):
        chance = float(ends[item + 1] - ends[item])
        if chance > 0:
            middle = (ends[item : item + 1] + ends[item + 1 : item + 2]) / 2
            monkeypatch.setattr(torch, "rand", lambda *_, middle=middle, **__: middle)
            assert source.draw(batch.items[:, 0], 1, True).items.tolist() == [item]
            expected += chance * sum_seen(network, batch, wrap(source), 1, shared=True)
    return expected, full_sum(network, batch, POOL)


@pytest.mark.parametrize("name", ["uniform", "popularity"])
def test_the_corrected_softmax_expects_the_full_one_exactly(name, monkeypatch):
    expected, full = expected_by_enumeration(monkeypatch, SOURCES[name])
    assert expected == pytest.approx(full, rel=1e-5)


@pytest.mark.parametrize("name", ["uniform", "popularity"])
def test_the_wrong_sign_is_seen(name, monkeypatch):
    expected, full = expected_by_enumeration(monkeypatch, SOURCES[name], WrongSign)
    assert abs(expected - full) > 0.1 * full


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name, wrong", [*((name, False) for name in SOURCES), ("mixed", True)])
def test_the_corrected_softmax_expects_the_full_one(name, wrong, shared):
    """Over 500 draws, within 4.5 standard errors (false alarm 7e-6); the wrong sign is beyond them."""
    num_rows, row, num = 16, 1, 12
    network, table = catalogue_of(num_rows)
    source = WrongSign(SOURCES[name]) if wrong else SOURCES[name]
    torch.manual_seed(2)
    sums = []
    clicked = batches(500, num_rows, seed=5)
    clicked[:, row] = 4
    with torch.no_grad():
        every = torch.arange(NUM_ITEMS)
        scores = network(batch_of(clicked[0], table).inputs, every)[row].double()
        for some in clicked:
            draw = source.draw(some, num, shared)
            items, corrections = (side if shared else side[row] for side in (draw.items, draw.log_expected))
            sums.append(float((scores[items] - corrections).exp()[draw.valid(some)[row]].sum()))
    reached = CLICKS > 0 if name == "in-batch" else POOL
    full = float(scores[reached & (every != 4)].exp().sum())
    error = np.std(sums) / np.sqrt(len(sums))
    assert error < 0.05 * full or wrong
    assert (abs(np.mean(sums) - full) < 4.5 * error) != wrong


# ---- hard negatives --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share, num_hard", [(0.5, 3), (1.0, 6), (0.01, 1)])
def test_hard_negatives_are_the_highest_of_the_pool(share, num_hard):
    others = uniform(torch.ones(300, dtype=torch.bool))
    hard = Hard(others, share, pool_per_hard=1, least_pool=40)
    scores = torch.randn(4, 300, generator=torch.Generator().manual_seed(0))
    asked: list[T] = []

    def judge(items):
        asked.append(items)
        return scores[:, items]

    torch.manual_seed(0)
    pool = set(others.draw(torch.zeros(1, dtype=torch.long), 40, shared=True).items.tolist())
    # Two of the clicks are the best of the pool themselves.
    best = [max(pool, key=lambda item, row=row: float(scores[row, item])) for row in range(4)]
    clicked = torch.tensor([best[0], best[1], 7, 8])
    torch.manual_seed(0)
    draw = hard.draw(clicked, 6, shared=False, judge=judge)
    assert draw.items.shape == (4, 6) and set(asked[0].tolist()) == pool and len(asked) == 1
    for row in range(4):
        candidates = sorted(pool - {int(clicked[row])}, key=lambda item, row=row: -float(scores[row, item]))
        assert draw.items[row, :num_hard].tolist() == candidates[:num_hard]
    assert torch.equal(draw.log_expected, others.log_probability[draw.items] + float(np.log(6)))


def test_hard_negatives_of_a_small_catalogue_are_different_items():
    hard = Hard(uniform(POOL), share=1.0)
    draw = hard.draw(torch.tensor([4]), 4, shared=False, judge=lambda items: items[None].float())
    assert draw.items.tolist() == [[6, 5, 2, 1]]


@pytest.mark.parametrize(
    "num, share, num_drawn", [(4, 0.5, 256), (64, 0.5, 256), (66, 0.5, 264), (256, 0.5, 1024), (256, 1.0, 2048)]
)
def test_the_pool_grows_with_the_number_of_hard_ones(num, share, num_drawn):
    """By eight draws for each, and no further than the catalogue."""
    asked: list[T] = []

    def judge(items):
        asked.append(items)
        return -items[None].float()

    num_hard = round(num * share)
    for num_items in (10**6, 100):
        others = uniform(torch.ones(num_items, dtype=torch.bool))
        clicked = torch.tensor([num_items - 1])
        torch.manual_seed(0)
        pool = others.draw(clicked, num_drawn, shared=True).items.unique()
        draws = []
        for _ in range(2):
            torch.manual_seed(0)
            draws.append(Hard(others, share).draw(clicked, num, shared=False, judge=judge))
        assert torch.equal(asked[-1], pool) and torch.equal(draws[0].items, draws[1].items)
        assert draws[0].items.shape == (1, num)
        hardest = pool[pool != clicked][:num_hard]
        assert torch.equal(draws[0].items[0, : len(hardest)], hardest)
    assert len(asked[0]) > 0.99 * num_drawn and len(asked[-1]) <= 100


def test_what_is_scored_minus_infinity_is_no_negative():
    others = uniform(torch.ones(6, dtype=torch.bool))
    scores = torch.tensor([[6.0, -torch.inf, 4, 3, -torch.inf, 1], [-torch.inf] * 6])
    torch.manual_seed(0)
    draw = Hard(others, share=1.0).draw(torch.tensor([3, 2]), 6, shared=False, judge=lambda items: scores[:, items])
    assert draw.items.tolist() == [[0, 2, 5, 3, 3, 3], [2] * 6]
    assert draw.valid(torch.tensor([3, 2])).tolist() == [[True] * 3 + [False] * 3, [False] * 6]


def test_easy_negatives_beside_hard_ones_are_shared_where_all_are():
    others, clicked = uniform(torch.ones(10**6, dtype=torch.bool)), torch.tensor([1, 2, 3])
    for shared in (False, True):
        draw = Hard(others, share=0.5).draw(clicked, 8, shared, judge=lambda items: torch.randn(3, len(items)))
        hard, easy = draw.items[:, :4], draw.items[:, 4:]
        assert len(hard.unique()) > 4 and len(easy.unique()) == (4 if shared else 12)
        assert torch.equal(draw.log_expected, others.log_probability[draw.items] + float(np.log(8)))


def test_without_a_judge_hard_negatives_are_easy():
    clicked = torch.tensor([1, 2])
    hard = Hard(uniform(POOL))
    torch.manual_seed(0)
    first = hard.draw(clicked, 4, shared=False)
    torch.manual_seed(0)
    assert torch.equal(first.items, uniform(POOL).draw(clicked, 4, shared=False).items)


# ---- the smallest batches --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("correct", [False, True])
@pytest.mark.parametrize("name", SOURCES)
def test_a_batch_of_one_click_is_no_trouble(name, correct, shared):
    network, table = catalogue_of(1)
    batch = batch_of(torch.tensor([4]), table)
    loss = Catalogue(SoftmaxCrossEntropy(), SOURCES[name], 1, shared, correct).loss(network, batch)
    loss.backward()
    assert loss.isfinite() and network.items.grad.isfinite().all() and network.users.grad.isfinite().all()
