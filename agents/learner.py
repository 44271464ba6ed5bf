"""A network, its optimiser and the offsets of slots, which learn together: made, enlarged for new users, and kept."""

import json
from collections.abc import Mapping

import numpy as np
import torch

from agents.fields import Schema
from agents.network import Network

A = np.ndarray
T = torch.Tensor

Learner = tuple[Network, torch.optim.Optimizer, torch.nn.Parameter | None]
"""A network, its optimiser, and the offsets of slots, where there are any."""

Moments = Mapping[int, Mapping[str, T]]
"""What an optimiser remembers of each parameter, by its place among them."""


def made(network: Network, learning_rate: float, weights: Mapping[str, T], moments: Moments, bias: T | None) -> Learner:
    """A new network with these weights (none: its own) and an optimiser with these moments, both padded for users who
    are new."""
    device = network.known_items.device
    own = network.state_dict()
    network.load_state_dict({name: _padded(weights[name], own[name], own=True) for name in own} if weights else own)
    slot_bias = None if bias is None else torch.nn.Parameter(bias.to(device))
    parameters = [*network.parameters(), *([] if slot_bias is None else [slot_bias])]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    for place, parameter in enumerate(parameters):
        if place in moments:
            optimizer.state[parameter] = {
                name: value.clone() if value.ndim == 0 else _padded(value, parameter.detach(), own=False)
                for name, value in moments[place].items()
            }
    return network, optimizer, slot_bias


def tensors_of(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, T]:
    """Weights and moments by name."""
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    for place, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{place}/{name}": value for name, value in moments.items()}
    return tensors


def parted(tensors: Mapping[str, T]) -> tuple[dict[str, T], Moments]:
    """Weights and moments out of what `tensors_of` named."""
    weights = {n.removeprefix("network/"): value for n, value in tensors.items() if n.startswith("network/")}
    moments: dict[int, dict[str, T]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, place, key = name.split("/")
            moments.setdefault(int(place), {})[key] = value
    return weights, moments


def arrays_of(learner: Learner) -> dict[str, A]:
    """All of a learner as named arrays."""
    network, optimizer, slot_bias = learner
    arrays = tensors_of(network, optimizer)
    if slot_bias is not None:
        arrays["slot_bias"] = slot_bias.detach()
    schema = json.dumps(network.schema.describe()).encode()
    return {name: value.cpu().numpy() for name, value in arrays.items()} | {"schema": np.frombuffer(schema, np.uint8)}


def read(arrays: Mapping[str, A], device: str) -> tuple[Schema, dict[str, T], Moments, T | None]:
    """Schema, weights, moments and offsets of slots, of which `arrays_of` made arrays."""
    tensors = {n: torch.tensor(value, device=device) for n, value in arrays.items()}
    return Schema.parse(json.loads(arrays["schema"].tobytes())), *parted(tensors), tensors.get("slot_bias")


def _padded(value: T, like: T, own: bool) -> T:
    """The tensor with as many rows as `like`: those of new users are as its newcomer's, row 0, or zero."""
    num_new = len(like) - len(value) if value.ndim else 0
    if num_new == 0:
        return value.clone()
    if value.dtype == torch.bool or not own:
        return torch.cat([value, torch.zeros_like(like[:num_new])])
    return torch.cat([value, value[:1].expand(num_new, *value.shape[1:])])
