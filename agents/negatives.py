"""What clicks are trained against: items drawn from the catalogue, each with how often it is expected in a draw.

With `Draw.log_expected` taken off the scores of the negatives, the sum of exponentials that a sampled softmax sees
has the full softmax's as its expectation (Bengio & Senécal 2008). The clicked item is there with certainty, so its
own score is not corrected, and where it is drawn again it is masked (Khrylchenko et al., arXiv 2507.09331). So is what
was not on offer when the request was made: the full softmax is then that of what was.

What else a user clicked may be drawn like any item, as is usual: without it the expected numbers would be others. Only
the hardest are none of it, since it is what a model scores highest.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int

T = torch.Tensor

Judge = Callable[[Int[T, " candidates"]], Float[T, "rows candidates"]]
"""A previous model's scores of candidates, all different and ascending, for the requests of a batch; minus infinity for
what was not on offer, or what a request's user is known to have clicked."""


@dataclass(frozen=True)
class Draw:
    """Negatives that all requests of a batch share, `[negatives]`, or of each request, `[rows, negatives]`.

    `log_expected` is the log of the number of times that each item is expected among the negatives of a request.
    """

    items: Int[T, "*rows negatives"]
    log_expected: Float[T, "*rows negatives"]

    def valid(self, clicked: Int[T, " rows"]) -> Bool[T, "rows negatives"]:
        """Whether each is a negative at all: not the item that was clicked, nor one that is never expected, such as
        an item that only held-out clicks brought into their batch."""
        return (self.items != clicked[:, None]) & ~self.log_expected.isneginf()


class Negatives(ABC):
    """A way to draw negatives for clicks; randomness is torch's own."""

    name: ClassVar[str]
    needs_judge: ClassVar[bool] = False

    @abstractmethod
    def draw(self, clicked: Int[T, " rows"], num: int, shared: bool, judge: Judge | None = None) -> Draw:
        """`num` negatives for the clicks of a batch, once for all of them if `shared`."""


@final
@dataclass(frozen=True)
class Weighted(Negatives):
    """Items drawn, with replacement, in proportion to given weights."""

    name: ClassVar[str] = "weighted"

    weights: Float[T, " items"]
    cumulative: Float[T, " items"] = field(init=False)
    log_probability: Float[T, " items"] = field(init=False)

    def __post_init__(self) -> None:
        total = self.weights.double().sum()
        if not total > 0:
            raise ValueError("weights must be above 0 for at least one item, got none")
        object.__setattr__(self, "cumulative", self.weights.double().cumsum(0) / total)
        object.__setattr__(self, "log_probability", (self.weights.double() / total).log().float())

    def draw(self, clicked: Int[T, " rows"], num: int, shared: bool, judge: Judge | None = None) -> Draw:
        shape = (num,) if shared else (len(clicked), num)
        uniform = torch.rand(shape, dtype=torch.float64, device=clicked.device)
        # The first item whose cumulative weight exceeds the number: one of weight zero is never that.
        items = torch.searchsorted(self.cumulative, uniform, right=True).clamp(max=self._last)
        return Draw(items, self.log_probability[items] + _log(num))

    @property
    def _last(self) -> int:
        return int(self.weights.nonzero()[-1])


def uniform(pool: Bool[T, " items"]) -> Weighted:
    """Every item of the pool alike."""
    return Weighted(pool.float())


def popularity(pool: Bool[T, " items"], clicks: Float[T, " items"], power: float) -> Weighted:
    """Items of the pool in proportion to (their clicks + 1)^power (word2vec's .75 lies between uniform and counts)."""
    return Weighted(pool * (clicks.double() + 1.0) ** power)


@final
@dataclass(frozen=True)
class InBatch(Negatives):
    """The items clicked elsewhere in the batch: they cost nothing to embed, and come in proportion to clicks.

    `shared`: all of the batch up to `most`, however many were asked for. Otherwise `num` of them for each click.
    """

    name: ClassVar[str] = "in-batch"
    most: ClassVar[int] = 4096
    """Bounds what a batch of long sequences costs, where every click meets every other one."""

    log_probability: Float[T, " items"]
    """Of each item, the log of its share of the clicks that batches are drawn from."""

    def num_shared(self, num_rows: int) -> float:
        """How many clicks of others each of `num_rows` clicks meets in a shared draw, on average."""
        return min(num_rows, self.most) * (num_rows - 1) / max(num_rows, 1)

    def draw(self, clicked: Int[T, " rows"], num: int, shared: bool, judge: Judge | None = None) -> Draw:
        num_rows = len(clicked)
        if shared:
            if num_rows > self.most:
                clicked = clicked[torch.randperm(num_rows, device=clicked.device)[: self.most]]
            return Draw(clicked, self.log_probability[clicked] + _log(self.num_shared(num_rows)))
        steps = 1 + torch.randperm(max(num_rows - 1, 1), device=clicked.device)[:num]
        items = clicked[(torch.arange(num_rows, device=clicked.device)[:, None] + steps) % num_rows]
        return Draw(items, self.log_probability[items] + _log(len(steps)))


@final
@dataclass(frozen=True)
class Mixed(Negatives):
    """In-batch items together with as many others as asked for (Yang et al., WWW 2020).

    An item's expected number is the sum over both sources, whichever drew it.
    """

    name: ClassVar[str] = "mixed"

    in_batch: InBatch
    others: Weighted
    share: float = 0.5
    """Of `num`, the share drawn from `others`; it matters only where negatives are not shared."""

    def draw(self, clicked: Int[T, " rows"], num: int, shared: bool, judge: Judge | None = None) -> Draw:
        num_others = num if shared else max(1, round(num * self.share))
        first = self.in_batch.draw(clicked, num - num_others, shared)
        second = self.others.draw(clicked, num_others, shared)
        items = torch.cat([first.items, second.items], dim=-1)
        num_first = self.in_batch.num_shared(len(clicked)) if shared else first.items.shape[-1]
        expected = torch.logaddexp(
            self.in_batch.log_probability[items] + _log(num_first),
            self.others.log_probability[items] + _log(num_others),
        )
        return Draw(items, expected)


@final
@dataclass(frozen=True)
class Hard(Negatives):
    """The items that a previous model scores highest among drawn ones, and easy ones beside them.

    `share` of the negatives are hard: for each request the highest, all different, of a pool that is drawn afresh
    for each batch, and never one that its user clicked in what is being learned from (dynamic negative sampling, Zhang
    et al., SIGIR 2013). Where the pool holds too few others, the clicked item fills the place: `Draw.valid` masks it.

    The pool is of `pool_per_hard` draws for each hard negative, and of `least_pool` at least. What is drawn again is
    there once, so it never holds more than the catalogue, and a small catalogue is hard as a whole.

    The rest are drawn as `others` does, once for all requests if `shared`, known clicks among them. How often an item
    is among the hardest is not known: `log_expected` is that of `others` alone.
    """

    name: ClassVar[str] = "hard"
    needs_judge: ClassVar[bool] = True

    others: Weighted
    share: float = 0.5
    pool_per_hard: int = 8
    least_pool: int = 256

    def draw(self, clicked: Int[T, " rows"], num: int, shared: bool, judge: Judge | None = None) -> Draw:
        if judge is None:
            return self.others.draw(clicked, num, shared)
        num_hard = max(1, round(num * self.share))
        num_drawn = max(self.least_pool, self.pool_per_hard * num_hard)
        pool = self.others.draw(clicked, num_drawn, shared=True).items.unique()
        num_hard = min(num_hard, len(pool))
        best = judge(pool).masked_fill(pool == clicked[:, None], -torch.inf).topk(num_hard, dim=1)
        hard = torch.where(best.values.isneginf(), clicked[:, None], pool[best.indices])
        easy = self.others.draw(clicked, max(num - num_hard, 0), shared).items
        items = torch.cat([hard, easy.expand(len(clicked), -1)], dim=1)
        return Draw(items, self.others.log_probability[items] + _log(num))


def _log(count: float | int) -> float:
    """log(count), with minus infinity for nothing expected."""
    return float(torch.tensor(float(max(count, 0))).log())
