"""A loss says how far the scores of lists of documents are from their labels."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float

T = torch.Tensor


class Loss(ABC):
    """A frozen dataclass of parameters; calling it gives the loss of a batch of lists, ready for `backward()`.

    Lists are ragged: `mask` is False where a list has no document, and whatever stands there, NaN too, leaves no
    trace in the loss and gets a gradient of zero. Nothing depends on the order of the documents of a list.

    `labels` are at least 0, and a document is relevant where its label is above 0. `weights` say how much a document
    matters, as inverse propensities do. They multiply terms and never enter a normaliser, so doubling them doubles
    the loss: pointwise a document's term, pairwise the pairs that a document should win, listwise what a document
    contributes to its list. Neither labels nor weights get a gradient.

    A pointwise loss is the mean over documents, the others are means over the lists that say something: that have an
    ordered pair (pairwise, ListMLE) or a relevant document (listwise). Where none does, the loss is a zero with a
    gradient of zeros. Half precision is computed in float32.
    """

    kind: ClassVar[Literal["pointwise", "pairwise", "listwise"]]

    @final
    def __call__(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"] | None = None,
    ) -> Float[T, ""]:
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        if not scores.numel():
            return scores.sum()
        scores = scores.masked_fill(~mask, 0.0)
        labels = labels.detach().to(scores.dtype).masked_fill(~mask, 0.0)
        if weights is None:
            weights = scores.new_ones(1, 1).expand_as(scores)
        else:
            weights = weights.detach().to(scores.dtype).masked_fill(~mask, 0.0)
        return self._loss(scores, labels, mask, weights)

    @abstractmethod
    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        """The loss, where scores, labels and weights are zero outside the mask."""


def mean_where(values: Float[T, "..."], counted: Bool[T, "..."]) -> Float[T, ""]:
    """The mean of the values that count; 0 where none does."""
    return values.masked_fill(~counted, 0.0).sum() / counted.sum().clamp(min=1)
