"""Against which other items the relevant ones must hold their own."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int

A = np.ndarray


@dataclass(frozen=True)
class Choice:
    """What candidates can be made of, for some requests.

    `eligible` marks what production could have shown; `slate` what it did show; `uniform` are independent uniform
    draws in [0, 1); `popularity` counts the clicks that each item had in the training part; `retrieved` holds the
    retriever's items of each request, best first, padded with -1.
    """

    eligible: Bool[A, "rows items"]
    slate: Int[A, "rows slots"]
    uniform: Float32[A, "rows items"]
    popularity: Int[A, " items"]
    retrieved: Int[A, "rows found"]


class Candidates(ABC):
    """Says which items compete with the relevant ones, which are always among them."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name in that of a protocol."""

    @property
    @abstractmethod
    def said(self) -> str:
        """The candidates in words."""

    @abstractmethod
    def others(self, choice: Choice, relevant: Bool[A, "rows items"]) -> Bool[A, "rows items"]:
        """The candidates, besides those marked as relevant."""

    def of(self, choice: Choice, relevant: Bool[A, "rows items"]) -> Bool[A, "rows items"]:
        """All candidates of each request."""
        return self.others(choice, relevant) | relevant


@dataclass(frozen=True)
class Full(Candidates):
    """All items that production could have shown."""

    @property
    def name(self) -> str:
        return "full"

    @property
    def said(self) -> str:
        return "all items that could be shown"

    def others(self, choice: Choice, relevant: Bool[A, "rows items"]) -> Bool[A, "rows items"]:
        return choice.eligible


@dataclass(frozen=True)
class Sampled(Candidates):
    """`num` of them, drawn uniformly without replacement, or in proportion to popularity^`power`."""

    num: int = 100
    power: float = 0.0

    def __post_init__(self) -> None:
        if self.num < 1:
            raise ValueError(f"num must be at least 1, got {self.num}")
        if not self.power >= 0:
            raise ValueError(f"power must be at least 0, got {self.power}")

    @property
    def name(self) -> str:
        return f"sampled{self.num}" if self.power == 0 else f"popular{self.num}"

    @property
    def said(self) -> str:
        how = "uniformly" if self.power == 0 else "in proportion to their clicks in the training part"
        return f"{self.num} items drawn {how}"

    def others(self, choice: Choice, relevant: Bool[A, "rows items"]) -> Bool[A, "rows items"]:
        # The smallest exponential waiting times, at rates of weight, are draws without replacement (Efraimidis &
        # Spirakis, Information Processing Letters 2006). One click more, so that every item can be drawn.
        keys = choice.uniform
        if self.power:
            weight = (choice.popularity + 1.0) ** self.power
            keys = (-np.log1p(-keys) / weight).astype(np.float32)
        keys = np.where(choice.eligible & ~relevant, keys, np.inf)
        num = min(self.num, keys.shape[1] - 1)
        bound = np.partition(keys, num, axis=1)[:, num, None]
        return keys < bound


@dataclass(frozen=True)
class LoggedSlate(Candidates):
    """The items that stood beside the relevant ones, as they were shown."""

    @property
    def name(self) -> str:
        return "slate"

    @property
    def said(self) -> str:
        return "the items of the slate that was shown"

    def others(self, choice: Choice, relevant: Bool[A, "rows items"]) -> Bool[A, "rows items"]:
        return _marked(choice.slate, relevant.shape[1])


@dataclass(frozen=True)
class FromRetriever(Candidates):
    """The first `num` items of a cheap retriever of the study: what a second stage would be given."""

    num: int = 100

    def __post_init__(self) -> None:
        if self.num < 1:
            raise ValueError(f"num must be at least 1, got {self.num}")

    @property
    def name(self) -> str:
        return f"retrieved{self.num}"

    @property
    def said(self) -> str:
        return f"the {self.num} items that the retriever finds"

    def others(self, choice: Choice, relevant: Bool[A, "rows items"]) -> Bool[A, "rows items"]:
        return _marked(choice.retrieved[:, : self.num], relevant.shape[1]) & choice.eligible


def _marked(items: Int[A, "rows some"], num_items: int) -> Bool[A, "rows items"]:
    """The items as marks; -1 marks nothing."""
    # One spare column takes the padding.
    marks = np.zeros((len(items), num_items + 1), bool)
    marks[np.arange(len(items))[:, None], items] = True
    return marks[:, :-1]
