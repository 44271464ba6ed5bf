"""Random ragged lists, for the tests of losses."""

from collections.abc import Callable

import pytest
import torch

Lists = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture
def ragged() -> Callable[..., Lists]:
    """Scores, labels 0 to 4, mask and weights of lists of 0 to `num_documents` documents, scattered over the places.

    With `tied`, many scores of a list are equal. What is outside the mask is NaN or infinite.
    """

    def make(seed: int = 0, num_queries: int = 20, num_documents: int = 9, tied: bool = False) -> Lists:
        generator = torch.Generator().manual_seed(seed)
        shape = (num_queries, num_documents)
        scores = torch.randn(shape, generator=generator, dtype=torch.float64)
        if tied:
            scores = scores.round()
        labels = torch.randint(-2, 5, shape, generator=generator).clamp(min=0).double()
        # One list has all labels equal, one none above 0, one no document, one a single document.
        labels[0], labels[1] = 2.0, 0.0
        share = torch.rand(num_queries, 1, generator=generator) + 0.3
        mask = torch.rand(shape, generator=generator) < share
        mask[2], mask[3] = False, torch.arange(num_documents) == 4
        weights = torch.rand(shape, generator=generator, dtype=torch.float64) * 3 + 0.1
        scores[~mask], labels[~mask], weights[~mask] = torch.inf, torch.nan, -torch.inf
        scores[:, ::2] = torch.where(mask[:, ::2], scores[:, ::2], torch.nan)
        return scores, labels, mask, weights

    return make
