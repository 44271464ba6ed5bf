"""Seconds that each off-policy estimator takes on a million logged slates."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from recsim_lab.evaluation.off_policy import (
    Additive,
    Cascade,
    CascadeDoublyRobust,
    Clip,
    Direct,
    DoublyRobust,
    Estimator,
    Grouped,
    Groups,
    InversePropensity,
    LoggedSlates,
    Predictions,
    Replay,
    RowWeights,
    SelfNormalised,
    Shrink,
    Switch,
    WholeSlate,
)
from recsim_lab.evaluation.off_policy.pseudo_inverse import paired_weights, uniform_weights
from recsim_lab.probabilities import PairProbabilities, Probabilities

A = np.ndarray

NUM_SLOTS, NUM_ITEMS, ROWS_A_REQUEST = 5, 20, 10_000
ESTIMATORS: tuple[Estimator, ...] = (
    Replay(),
    Direct(),
    InversePropensity(),
    InversePropensity(change=Clip()),
    SelfNormalised(),
    InversePropensity(Cascade()),
    InversePropensity(WholeSlate()),
    InversePropensity(Grouped()),
    DoublyRobust(),
    DoublyRobust(change=Switch()),
    DoublyRobust(change=Shrink()),
    CascadeDoublyRobust(),
)


def estimators(num_rows: int = 1_000_000) -> Iterator[dict[str, Any]]:
    """Each estimator on arrays that are there, the choice of a constant and errors by user included."""
    logged = _logged(num_rows, np.random.default_rng(0))
    work = f"{num_rows:,} slates of {NUM_SLOTS}: estimate, and standard error over {logged.num_clusters:,} users"
    for estimator in ESTIMATORS:
        yield _figure(f"off_policy[{estimator.name}]", lambda estimator=estimator: estimator.estimate(logged), work)


def pseudo_inverse(num_rows: int = 1_000_000) -> Iterator[dict[str, Any]]:
    """PI with its weights, in closed form for uniform logging, and from the pairs of a few requests."""
    rng = np.random.default_rng(1)
    logged = _logged(num_rows, rng)
    num_items = np.full(num_rows, 1000)
    anywhere = rng.random((num_rows, NUM_SLOTS, NUM_SLOTS), np.float32) / NUM_SLOTS

    yield _figure(
        "off_policy[pi, uniform logging]",
        lambda: _with(logged, uniform_weights(num_items, anywhere)),
        f"{num_rows:,} slates of {NUM_SLOTS}: weights in closed form, estimate and standard error",
    )
    num_requests = max(1, num_rows // ROWS_A_REQUEST)
    pairs, slates, target = _requests(num_requests, rng)
    request = rng.integers(num_requests, size=num_rows)
    shown = slates[request, rng.integers(slates.shape[1], size=num_rows)]
    repeated = target[request]
    yield _figure(
        "off_policy[pi, pairs]",
        lambda: _with(logged, paired_weights(pairs, request, shown, repeated)),
        f"{num_rows:,} slates of {NUM_SLOTS} by {num_requests} kinds of requests with {NUM_ITEMS} candidates: "
        "pseudo-inverses, weights, estimate and standard error",
    )


def _with(logged: LoggedSlates, weights: RowWeights) -> object:
    fields = vars(logged) | {"additive": weights}
    fields.pop("num_clusters", None)
    return InversePropensity(Additive()).estimate(LoggedSlates(**fields))


def _logged(num_rows: int, rng: np.random.Generator) -> LoggedSlates:
    """Weights spread around 1, as single-precision marginals and double-precision prefixes."""
    shape = (num_rows, NUM_SLOTS)
    nothing = np.zeros(shape, np.float32)

    def told(scale: float) -> Probabilities:
        marginal = scale * (0.2 + rng.random(shape, np.float32))
        return Probabilities(marginal, np.cumprod(marginal.astype(np.float64), axis=1), nothing, nothing)

    expected = rng.random(shape) / 2
    model = Predictions(expected, np.broadcast_to(expected.mean(axis=0), shape).copy(), nothing)
    return LoggedSlates(
        (rng.random(shape) < 0.2).astype(np.float64),
        told(0.1),
        told(0.1),
        rng.integers(max(num_rows // 10, 2), size=num_rows),
        model=model,
        remainder=model,
        groups=Groups(told(0.5), told(0.5)),
    )


def _requests(num: int, rng: np.random.Generator) -> tuple[PairProbabilities, A, A]:
    """Slates that logging may show, their pairs of cells, and the target's cells, of each kind of request."""
    order = rng.random((num, 500, NUM_ITEMS)).argsort(axis=2)[:, :, :NUM_SLOTS]
    cells = (order[:, :, :, None] == np.arange(NUM_ITEMS)).reshape(num, 500, -1).astype(np.float32)
    value = cells.transpose(0, 2, 1) @ cells / 500
    candidates = np.tile(np.arange(NUM_ITEMS), (num, 1))
    target = cells[:, :3].mean(axis=1).reshape(num, NUM_SLOTS, NUM_ITEMS)
    return PairProbabilities(candidates, value, np.zeros_like(value)), order, target


def _figure(name: str, run: Any, work: str, repetitions: int = 3) -> dict[str, Any]:
    seconds = []
    for _ in range(repetitions + 1):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {"name": name, "value": round(float(np.median(seconds[1:])), 3), "unit": "s", "work": work}
