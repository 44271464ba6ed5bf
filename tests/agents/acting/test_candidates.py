"""Candidates are as many as asked for, distinct, on offer, and any as likely."""

import numpy as np
import pytest
import torch

from agents.acting.candidates import drawn_at_random
from recsim_lab.testing import check_counts


def test_all_that_is_on_offer_is_as_likely() -> None:
    generator = torch.Generator().manual_seed(0)
    offered = torch.tensor([[True, False, True, True, True, False, True]])
    drawn = drawn_at_random(torch.rand((20_000, 7), generator=generator), offered, 3)
    assert drawn.shape == (20_000, 3)
    ordered = drawn.sort(dim=1).values
    assert (ordered[:, 1:] > ordered[:, :-1]).all()
    # Which three of the five: ten sets, each as likely.
    sets = torch.zeros((20_000, 7), dtype=torch.long).scatter(1, drawn, 1) @ (2 ** torch.arange(7))
    counts = sets.bincount(minlength=128).numpy()
    assert (counts > 0).sum() == 10 and not counts[np.arange(128) & 0b100010 > 0].any()
    check_counts(counts[counts > 0], np.full(10, 2000.0), "candidates")


def test_there_must_be_enough() -> None:
    offered = torch.tensor([[True, True, True], [True, False, True]])
    with pytest.raises(ValueError, match="candidates must be at most the number of items on offer, got 3 of 2"):
        drawn_at_random(torch.rand(2, 3), offered, 3)
