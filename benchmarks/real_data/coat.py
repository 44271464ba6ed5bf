"""Coat: ratings that users chose to give teach less about the others than the same ratings weighted by 1/propensity.

Schnabel et al., "Recommendations as Treatments" (ICML 2016): matrix factorisation as it is, and with each squared
error over the chance that the pair was rated; both judged on ratings of items drawn at random.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from agents.examples import RequestExamples
from agents.fields import Schema
from agents.losses import make_loss
from agents.matrix_factorization import FactorNetwork
from agents.objective import Impressions
from agents.training import Schedule, fit, seeded
from benchmarks.real_data.gates import Row
from benchmarks.real_data.propensities import fit_propensities
from benchmarks.real_data.registry import Report, benchmark
from benchmarks.real_data.tables import bare_requests, feature_table
from recsim_lab.datasets.coat import COAT_FILE, Coat, RatedPairs, load_coat
from recsim_lab.evaluation.statistics import paired_interval

A = np.ndarray
T = torch.Tensor

NUM_SEEDS, NUM_FOLDS = 10, 4
DIMS, WEIGHT_DECAYS, MOST_EPOCHS = (16, 64), (0.2, 0.3, 0.4, 0.6), 60
BATCH_SIZE, LEARNING_RATE = 2048, 0.02

Predict = Callable[[RatedPairs], Float[A, " ratings"]]


@final
@dataclass(frozen=True)
class Settings:
    """What is chosen on held-out training ratings; `weight_decay` as in `agents.objective`."""

    dim: int
    weight_decay: float
    epochs: int


def train(
    coat: Coat,
    ratings: RatedPairs,
    weights: Float[A, " ratings"],
    settings: Settings,
    seed: int,
    error: Callable[[Predict], float] | None = None,
) -> tuple[Predict, list[float]]:
    """Matrix factorisation with a free offset; returns it and, if asked for, its `error` after each epoch."""
    schema = Schema(coat.num_users, coat.num_items, 1)
    requests = bare_requests(coat.num_users, schema.table(feature_table(coat.num_items), "cpu"))
    examples = RequestExamples(
        requests,
        _codes(ratings.user),
        _codes(ratings.item)[:, None],
        torch.tensor(ratings.rating)[:, None],
        torch.tensor(weights / weights.mean(), dtype=torch.float32)[:, None],
    )
    with seeded(seed):
        network = FactorNetwork(schema, settings.dim)
        network.known_users[:], network.known_items[:] = True, True
        offset = torch.nn.Parameter(torch.tensor([np.average(ratings.rating, weights=weights)], dtype=torch.float32))
        optimizer = torch.optim.Adam([*network.parameters(), offset], lr=LEARNING_RATE, fused=True)

        def predict(pairs: RatedPairs) -> Float[A, " ratings"]:
            with torch.no_grad():
                scores = network(requests.take(_codes(pairs.user)), _codes(pairs.item)[:, None])
            return (scores + offset).detach()[:, 0].numpy().astype(np.float64)

        # An offset for slot 0 is one for every rating, and unlike biases it is not decayed.
        objective = Impressions(make_loss("mse"), offset, settings.weight_decay)
        schedule = Schedule(settings.epochs, BATCH_SIZE)
        curve = fit(
            network, optimizer, examples, objective, schedule, None if error is None else lambda: error(predict)
        )
    return predict, [epoch.validation for epoch in curve]


def choose(coat: Coat, weights: Float[A, " ratings"]) -> Settings:
    """The settings of least squared error, weighted as in training, on the folds of the training ratings held out."""
    fold = np.random.default_rng(0).permutation(len(weights)) % NUM_FOLDS
    best, least = Settings(DIMS[0], WEIGHT_DECAYS[0], 1), np.inf
    for dim, weight_decay in product(DIMS, WEIGHT_DECAYS):
        settings = Settings(dim, weight_decay, MOST_EPOCHS)
        errors = np.mean([_held_out(coat, weights, settings, fold == k) for k in range(NUM_FOLDS)], axis=0)
        if errors.min() < least:
            best, least = Settings(dim, weight_decay, int(errors.argmin()) + 1), errors.min()
    return best


def _held_out(
    coat: Coat, weights: Float[A, " ratings"], settings: Settings, held_out: Bool[A, " ratings"]
) -> list[float]:
    judged = _of(coat.train, held_out)

    def error(predict: Predict) -> float:
        return float(np.average((predict(judged) - judged.rating) ** 2, weights=weights[held_out]))

    return train(coat, _of(coat.train, ~held_out), weights[~held_out], settings, 0, error)[1]


def _of(ratings: RatedPairs, chosen: Bool[A, " ratings"]) -> RatedPairs:
    return RatedPairs(ratings.user[chosen], ratings.item[chosen], ratings.rating[chosen])


def _codes(ids: Int[A, " ratings"]) -> Int[T, " ratings"]:
    return torch.tensor(ids, dtype=torch.long)


WEIGHTED = ("mf-ips-coat", "mf-ips-fitted-coat")
DIFFERENCE = "MSE less naive MSE"
GATES = {(name, "MSE"): "below mf-naive-coat" for name in WEIGHTED} | {
    (name, f"{DIFFERENCE}, at most"): "< 0" for name in WEIGHTED
}


@benchmark("mf-coat", "Coat", (COAT_FILE,), minutes=4, gates=GATES)
def mf_coat(report: Report) -> list[Row]:
    """Naive matrix factorisation, and two weighted by inverse propensity: as given with the data, and our own."""
    coat = load_coat()
    observed = np.zeros(coat.propensities.shape, np.bool_)
    observed[coat.train.user, coat.train.item] = True
    fitted = fit_propensities(observed, coat.user_features, coat.item_features)
    inverse = {
        "mf-naive-coat": np.ones(len(coat.train.rating)),
        "mf-ips-coat": 1 / coat.train_propensities.astype(np.float64),
        "mf-ips-fitted-coat": 1 / fitted[coat.train.user, coat.train.item],
    }
    said = {
        "mf-naive-coat": "all ratings count alike",
        "mf-ips-coat": "squared errors weighted by 1/propensity, as given with the data",
        "mf-ips-fitted-coat": "squared errors weighted by 1/propensity, by logistic regression on pairs of features",
    }
    rows: list[Row] = []
    squared: dict[str, Float[A, " seeds"]] = {}
    for name, weights in inverse.items():
        began = time.perf_counter()
        settings = choose(coat, weights)
        report(f"{name}: {settings}")
        errors = [
            train(coat, coat.train, weights, settings, seed)[0](coat.test) - coat.test.rating
            for seed in range(NUM_SEEDS)
        ]
        squared[name] = np.array([np.mean(error**2) for error in errors])
        absolute = [float(np.mean(np.abs(error))) for error in errors]
        protocol = (
            f"{said[name]}; dim {settings.dim}, decay {settings.weight_decay} and {settings.epochs} epochs chosen "
            f"on {NUM_FOLDS} folds of the training ratings, weighted alike; judged on the uniformly random test ratings"
        )
        seconds = time.perf_counter() - began
        rows += [
            Row.of_seeds(name, "Coat", protocol, "MSE", list(squared[name]), seconds=seconds),
            Row.of_seeds(name, "Coat", protocol, "MAE", absolute, seconds=seconds),
        ]
        report(f"{name}: MSE {squared[name].mean():.4f}, MAE {np.mean(absolute):.4f}")
    for name in WEIGHTED:
        rows += _difference(name, squared[name], squared["mf-naive-coat"])
    return rows


def _difference(name: str, ips: Float[A, " seeds"], naive: Float[A, " seeds"]) -> list[Row]:
    interval = paired_interval(ips, naive)
    said = "difference of the errors of two models of the same seed; see their rows"
    upper = f"upper end of the 95% t interval over {NUM_SEEDS} seeds of the {said}"
    return [
        Row.of_seeds(name, "Coat", said, DIFFERENCE, list(ips - naive)),
        Row(name, "Coat", upper, f"{DIFFERENCE}, at most", interval.high, num_seeds=NUM_SEEDS),
    ]
