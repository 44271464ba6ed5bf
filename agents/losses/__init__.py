"""What to optimise: losses over lists of scored documents, pointwise, pairwise and listwise, by name."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from agents.losses.approx_ndcg import ApproxNDCG
from agents.losses.base import Loss
from agents.losses.lambdarank import LambdaRank
from agents.losses.listwise import ListMLE, ListNet, SoftmaxCrossEntropy
from agents.losses.pairwise import Margin, RankNet
from agents.losses.pointwise import BinaryCrossEntropy, GeneralisedBinaryCrossEntropy, MeanSquaredError

_LOSSES: dict[str, tuple[type[Loss], Mapping[str, Any]]] = {
    "mse": (MeanSquaredError, {}),
    "bce": (BinaryCrossEntropy, {}),
    "gbce": (GeneralisedBinaryCrossEntropy, {}),
    "ranknet": (RankNet, {}),
    "bpr": (RankNet, {}),  # one and the same where labels are binary
    "margin": (Margin, {}),
    "lambdarank": (LambdaRank, {}),
    "lambdarank-map": (LambdaRank, {"metric": "map"}),
    "listnet": (ListNet, {}),
    "listmle": (ListMLE, {}),
    "softmax": (SoftmaxCrossEntropy, {}),
    "approx-ndcg": (ApproxNDCG, {}),
}

LOSSES = tuple(_LOSSES)
"""The names that `make_loss` knows."""


def make_loss(name: str, **parameters: Any) -> Loss:
    """The loss of that name; parameters are the fields of its class.

    Raises:
        ValueError: if there is no such loss or parameter, or a value is missing or out of range.
    """
    if name not in _LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {name!r}")
    loss, fixed = _LOSSES[name]
    there_are = [f for f in fields(loss) if f.name not in fixed]  # type: ignore[arg-type]
    for key in parameters:
        if key not in {f.name for f in there_are}:
            names = ", ".join(f.name for f in there_are) or "none"
            raise ValueError(f"parameter must be one that {name} has, got {key!r}; parameters of {name}: {names}")
    for f in there_are:
        if f.default is MISSING and f.name not in parameters:
            raise ValueError(f"{f.name} must be given for {name}, got {parameters or 'no parameters'}")
    return loss(**fixed, **parameters)


__all__ = [
    "LOSSES",
    "ApproxNDCG",
    "BinaryCrossEntropy",
    "GeneralisedBinaryCrossEntropy",
    "LambdaRank",
    "ListMLE",
    "ListNet",
    "Loss",
    "Margin",
    "MeanSquaredError",
    "RankNet",
    "SoftmaxCrossEntropy",
    "make_loss",
]
