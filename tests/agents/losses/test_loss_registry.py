"""Losses by name, and wrong names and parameters told what there is."""

from dataclasses import FrozenInstanceError

import pytest

from agents.losses import LOSSES, LambdaRank, Loss, RankNet, make_loss


@pytest.mark.parametrize(
    "kind, names",
    [
        ("pointwise", {"mse", "bce", "gbce"}),
        ("pairwise", {"ranknet", "bpr", "margin", "lambdarank", "lambdarank-map"}),
        ("listwise", {"listnet", "listmle", "softmax", "approx-ndcg"}),
    ],
)
def test_kinds(kind, names):
    losses = {name: make_loss(name, **({"sampling_rate": 0.1} if name == "gbce" else {})) for name in LOSSES}
    assert {name for name, loss in losses.items() if loss.kind == kind} == names
    assert all(isinstance(loss, Loss) for loss in losses.values())


def test_names_and_parameters():
    assert make_loss("bpr") == make_loss("ranknet") == RankNet(sigma=1.0)
    assert make_loss("lambdarank-map", sigma=2.0) == LambdaRank("map", sigma=2.0)
    assert make_loss("lambdarank", cutoff=5) == LambdaRank("ndcg", 5)
    assert make_loss("gbce", sampling_rate=0.25, calibration=1.0).power == 0.25
    with pytest.raises(FrozenInstanceError):
        make_loss("ranknet").sigma = 3.0


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("hinge", {}, "loss must be one of mse, bce, .*approx-ndcg, got 'hinge'"),
        ("ranknet", {"margin": 1.0}, "one that ranknet has, got 'margin'; parameters of ranknet: sigma"),
        ("mse", {"sigma": 1.0}, "got 'sigma'; parameters of mse: none"),
        ("lambdarank-map", {"metric": "ndcg"}, "got 'metric'; parameters of lambdarank-map: cutoff, sigma"),
        ("gbce", {"calibration": 0.5}, "sampling_rate must be given for gbce"),
        ("gbce", {"sampling_rate": 0.0}, r"sampling_rate must be in \(0, 1\], got 0.0"),
        ("gbce", {"sampling_rate": 0.5, "calibration": 1.5}, r"calibration must be in \[0, 1\], got 1.5"),
        ("ranknet", {"sigma": 0.0}, "sigma must be above 0 and finite, got 0.0"),
        ("lambdarank", {"sigma": float("inf")}, "sigma must be above 0 and finite, got inf"),
        ("lambdarank", {"cutoff": 0}, "cutoff must be at least 1 or none, got 0"),
        ("lambdarank-map", {"cutoff": 3}, "cutoff must be none for the metric map, got 3"),
        ("margin", {"margin": -1.0}, "margin must be above 0 and finite, got -1.0"),
        ("approx-ndcg", {"temperature": float("nan")}, "temperature must be above 0 and finite, got nan"),
    ],
)
def test_wrong_requests(name, parameters, message):
    with pytest.raises(ValueError, match=message):
        make_loss(name, **parameters)
