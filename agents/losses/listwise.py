"""Listwise losses of chance: how likely a list's labels are if documents are drawn in proportion to exp(score)."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float

from agents.losses.base import Loss, mean_where
from agents.losses.blocks import left_aligned

T = torch.Tensor

_NEVER = -1e30
"""A score that leaves no chance, and unlike minus infinity no NaN in a gradient."""


@final
@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """-sum_i l_i log softmax(s)_i / sum_i l_i: each relevant document against all others, in proportion to its label.

    Where one document is relevant and the others are sampled negatives, this is the sampled softmax.
    """

    kind: ClassVar[Literal["listwise"]] = "listwise"

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        total = labels.sum(dim=1)
        loss = -(weights * labels * _log_chance(scores, mask)).sum(dim=1)
        return mean_where(loss / total.where(total > 0, 1.0), total > 0)


@final
@dataclass(frozen=True)
class ListNet(Loss):
    """-sum_i softmax(l)_i log softmax(s)_i: the chances to come first, by labels and by scores.

    Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach (ICML 2007), with top-one chances.
    """

    kind: ClassVar[Literal["listwise"]] = "listwise"

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        chance = _log_chance(labels, mask).exp()
        loss = -(weights * chance * _log_chance(scores, mask)).sum(dim=1)
        return mean_where(loss, (labels > 0).any(dim=1))


@final
@dataclass(frozen=True)
class ListMLE(Loss):
    """Minus the log-likelihood of the labels' order, where documents are drawn one by one without replacement.

    Xia et al., Listwise Approach to Learning to Rank (ICML 2008): sum_i [log sum_{k from i on} exp(s_k) - s_i] over
    documents in the order of their labels, a Plackett-Luce model. Documents of the lowest label of a list may follow
    in any order, which has chance 1, so they have no term of their own. Other ties are treated as in Breslow (1974),
    whose partial likelihood of survival times is the same formula: each of the tied is drawn from all of them and all
    below. So nothing is left to chance, or to the order of the documents in the list.
    """

    kind: ClassVar[Literal["listwise"]] = "listwise"

    def _loss(
        self,
        scores: Float[T, "queries documents"],
        labels: Float[T, "queries documents"],
        mask: Bool[T, "queries documents"],
        weights: Float[T, "queries documents"],
    ) -> Float[T, ""]:
        lowest = labels.masked_fill(~mask, torch.inf).amin(dim=1, keepdim=True)
        above = mask & (labels > lowest)
        documents, present = left_aligned(above)
        label, order = labels.gather(1, documents).masked_fill(~present, -torch.inf).sort(dim=1, descending=True)
        documents, present = documents.gather(1, order), present.gather(1, order)
        score = scores.gather(1, documents).masked_fill(~present, _NEVER)

        # From the lowest upwards: the documents of the lowest label as one, then the others.
        rest = scores.masked_fill(above | ~mask, _NEVER).logsumexp(dim=1, keepdim=True)
        remaining = torch.cat([score, rest], dim=1).flip(1).logcumsumexp(dim=1).flip(1)[:, :-1]
        place = torch.arange(label.shape[1], device=label.device).expand_as(label)
        new_label = label != label.roll(1, dims=1)
        first_of_label = place.masked_fill(~new_label, 0).cummax(dim=1).values if label.shape[1] else place
        terms = (remaining.gather(1, first_of_label) - score) * weights.gather(1, documents)
        return mean_where(terms.masked_fill(~present, 0.0).sum(dim=1), present.any(dim=1))


def _log_chance(
    scores: Float[T, "queries documents"], mask: Bool[T, "queries documents"]
) -> Float[T, "queries documents"]:
    """The log of the chance to be drawn first; 0 outside the mask."""
    return scores.masked_fill(~mask, _NEVER).log_softmax(dim=1).masked_fill(~mask, 0.0)
