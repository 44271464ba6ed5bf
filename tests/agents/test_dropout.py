"""Dropout drops its share, keeps the mean, and does nothing when serving."""

import pytest
import torch

from agents.dropout import Dropout

NUM = 320_001
"""No multiple of the eight bytes of a word."""


@pytest.mark.parametrize(
    ("probability", "share"), [(0.25, 64 / 256), (0.2, 51 / 256), (0.0001, 1 / 256), (0.999, 255 / 256)]
)
def test_a_share_is_dropped_and_the_mean_stays(probability, share):
    out = Dropout(probability, torch.Generator().manual_seed(0))(torch.ones(NUM))
    # Five standard errors: a false alarm in two million.
    assert abs((out == 0).double().mean() - share) < 5 * (share * (1 - share) / NUM) ** 0.5
    torch.testing.assert_close(out[out != 0].unique(), torch.tensor([1 / (1 - share)]))


def test_each_number_is_dropped_by_itself():
    kept = (Dropout(0.5, torch.Generator().manual_seed(0))(torch.ones(NUM - 1)) > 0).double().view(-1, 8) - 0.5
    # Of the bytes of a word and of words in a row: correlations of 40,000 pairs have a standard error of 1/200.
    between = kept.T @ kept / (0.25 * len(kept)) - torch.eye(8)
    assert between.abs().max() < 6 / len(kept) ** 0.5
    assert (kept[1:] * kept[:-1]).mean(dim=0).abs().max() / 0.25 < 6 / len(kept) ** 0.5


def test_the_gradient_is_that_of_what_was_kept():
    states = torch.randn(50, 3, requires_grad=True)
    out = Dropout(0.4)(states)
    out.sum().backward()
    torch.testing.assert_close(out, states * states.grad)


def test_nothing_is_dropped_when_serving_or_at_probability_zero():
    states = torch.randn(7, 5)
    assert Dropout(0.5).eval()(states) is states and Dropout(0.0)(states) is states


def test_the_seed_of_torch_decides():
    def run(seed):
        torch.manual_seed(seed)
        return Dropout(0.5)(torch.ones(100))

    assert torch.equal(run(1), run(1)) and not torch.equal(run(1), run(2))
