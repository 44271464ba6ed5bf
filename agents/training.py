"""The training loop: epochs over examples in memory, with early stopping and curves."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from agents.examples import Examples
from agents.network import Network
from agents.objective import Batch, Objective

T = torch.Tensor


@dataclass(frozen=True)
class Epoch:
    """What one pass over the examples brought; `validation` is better when higher, NaN where nothing was held out."""

    epoch: int
    loss: float
    validation: float
    seconds: float


Report = Callable[[Epoch, int], None]
"""Called after each epoch with what it brought and the number of epochs planned."""


@dataclass(frozen=True)
class Schedule:
    """How long and in what steps.

    Training stops when `patience` validations in a row were no better (None: never; 0 means 1), and the weights of
    the best epoch stay. Steps whose gradient is longer than `gradient_norm` are shortened to it (0: none).
    """

    epochs: int
    batch_size: int
    patience: int | None = None
    gradient_norm: float = 0.0
    judge_from: int = 1
    """The epoch, counted from 0, from which on hard negatives are chosen: by the network as the last one left it."""
    validate_every: int = 1
    rate_factor: float = 1.0
    """Multiplies the learning rate after `rate_patience` validations in a row that were no better than the best."""
    rate_patience: int = 1


def fit(
    network: Network,
    optimizer: torch.optim.Optimizer,
    examples: Examples,
    objective: Objective,
    schedule: Schedule,
    validate: Callable[[], float] | None = None,
    report: Report | None = None,
) -> list[Epoch]:
    """Train the network in place, and what else the optimiser holds; the network is left ready to serve.

    Raises:
        ValueError: if the loss of an epoch is not finite, or that of the last batch after the last step; or if a
            validation is no number.
    """
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    curve: list[Epoch] = []
    best, best_value, waited, batch = None, -torch.inf, 0, None
    for epoch in range(schedule.epochs):
        started = time.perf_counter()
        judge = None
        if objective.needs_judge and epoch >= schedule.judge_from:
            judge = copy.deepcopy(network).eval()
        network.train()
        # Sums stay tensors: asking for a number after every step would wait for the device.
        total, num_steps = torch.zeros((), device=next(network.parameters()).device), 0
        for batch in examples.batches(schedule.batch_size, shuffled=True):
            loss = objective.loss(network, batch, judge)
            optimizer.zero_grad()
            loss.backward()
            if schedule.gradient_norm:
                torch.nn.utils.clip_grad_norm_(trained, schedule.gradient_norm)
            optimizer.step()
            total += loss.detach()
            num_steps += 1
        network.eval()
        due = validate is not None and ((epoch + 1) % schedule.validate_every == 0 or epoch + 1 == schedule.epochs)
        value = validate() if validate is not None and due else torch.nan
        curve.append(Epoch(epoch, float(total) / max(num_steps, 1), value, time.perf_counter() - started))
        _check_finite(total, epoch)
        if due and math.isnan(value):
            _check_last_step(network, objective, batch, epoch)
            raise ValueError(f"validation must be a number, got {value} in epoch {epoch}")
        if report is not None:
            report(curve[-1], schedule.epochs)
        if due and value > best_value:
            best, best_value, waited = _snapshot(network, optimizer, trained), value, 0
        elif due:
            waited += 1
            if waited % schedule.rate_patience == 0:
                for group in optimizer.param_groups:
                    group["lr"] *= schedule.rate_factor
            if schedule.patience is not None and waited >= schedule.patience:
                break
    if best is not None and schedule.patience is not None:
        network.load_state_dict(best[0])
        optimizer.load_state_dict(best[1])
        with torch.no_grad():
            for parameter, value_then in zip(trained, best[2], strict=True):
                parameter.copy_(value_then)
    _check_last_step(network, objective, batch, len(curve) - 1)
    return curve


def held_out_loss(
    network: Network, examples: Examples, objective: Objective, batch_size: int, seed: int
) -> Callable[[], float]:
    """Minus the mean loss of examples that are not learned from, with the same negatives every time."""

    def validate() -> float:
        with torch.no_grad(), seeded(seed):
            batches = examples.batches(batch_size, shuffled=False)
            losses = [(objective.loss(network, batch), len(batch.items)) for batch in batches]
        # The last batch may be small, and must not count like the others.
        return -sum(float(loss) * size for loss, size in losses) / max(sum(size for _, size in losses), 1)

    return validate


@contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """Within, torch's randomness follows from the seed alone; after, it is as it was before."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(_mixed(seed))
        yield


def _mixed(seed: tuple[int, ...]) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1, "uint64")[0] >> 1)


def _check_last_step(network: Network, objective: Objective, batch: Batch | None, epoch: int) -> None:
    """A step that was too long shows only after it."""
    if batch is not None:
        with torch.no_grad():
            _check_finite(objective.loss(network, batch), epoch)


def _check_finite(loss: T, epoch: int) -> None:
    if not torch.isfinite(loss):
        raise ValueError(
            f"training must keep its loss finite, got {float(loss)} in epoch {epoch}: "
            "a lower learning_rate or a higher weight_decay may help"
        )


def _snapshot(
    network: Network, optimizer: torch.optim.Optimizer, trained: list[T]
) -> tuple[dict[str, Any], dict[str, Any], list[T]]:
    """Copies of all that changes; the optimiser may hold parameters that are not the network's."""
    return copy.deepcopy((network.state_dict(), optimizer.state_dict(), [value.detach() for value in trained]))


def curve_rows(curve: list[Epoch]) -> list[dict[str, int | float]]:
    """The curve as rows of a table."""
    return [asdict(epoch) for epoch in curve]
