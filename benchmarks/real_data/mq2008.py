"""MQ2008: what ten losses make of one small network that ranks the documents of a query, over LETOR's five folds.

Training, early stopping and test follow LETOR 4.0 (Qin & Liu 2013): three parts train, the fourth says by its MAP
when to stop, the fifth is the test, so that each query is in one fold's test.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from agents.examples import RequestExamples
from agents.fields import Schema, Table
from agents.losses import make_loss
from agents.multilayer import Multilayer
from agents.network import Network
from agents.objective import Impressions
from agents.training import Schedule, fit, seeded
from benchmarks.real_data.gates import Row
from benchmarks.real_data.metrics import letor_metrics
from benchmarks.real_data.registry import Report, benchmark
from benchmarks.real_data.tables import bare_requests, feature_table
from recsim_lab.datasets.letor import MQ2008_FILE, NUM_FOLDS, LabelledQueries, Mq2008, load_mq2008
from recsim_lab.evaluation.statistics import Interval, paired_interval
from recsim_lab.policy import Field

A = np.ndarray
T = torch.Tensor

LOSSES = (
    "lambdarank",
    "lambdarank-map",
    "listnet",
    "listmle",
    "softmax",
    "approx-ndcg",
    "ranknet",
    "margin",
    "bce",
    "mse",
)
NUM_SEEDS = 5
DECAYS = (0.001, 0.01, 0.03, 0.1)
"""Strengths of the L2 penalty of which each loss takes the one of the best validation MAP: losses differ in scale."""
TUNING_SEED = NUM_SEEDS
"""Not among those that are reported."""
SINGLE_FEATURE_MAP = 0.4712
"""Of the best single feature; see `popularity.single_feature_mq2008`."""
GATED = ("lambdarank", "lambdarank-map", "listnet", "listmle", "softmax", "approx-ndcg")
GATES = {(f"{loss}-mq2008", "MAP"): f"> {SINGLE_FEATURE_MAP}" for loss in GATED}
COMPARED = {
    "lambdarank-against-ranknet": ("lambdarank", "ranknet", "NDCG@10"),
    "lambdarank-map-against-lambdarank": ("lambdarank-map", "lambdarank", "MAP"),
    "pairwise-against-pointwise": ("ranknet", "bce", "NDCG@10"),
    "listwise-against-pointwise": ("softmax", "bce", "NDCG@10"),
    "pairwise-against-mse": ("ranknet", "mse", "NDCG@10"),
    "listwise-against-mse": ("softmax", "mse", "NDCG@10"),
}


@final
@dataclass(frozen=True)
class Ranker:
    """The network's settings, one for all losses but for the penalty; see `DECAYS`."""

    hidden: str = "32"
    dropout: float = 0.0
    learning_rate: float = 0.005
    weight_decay: float = 0.1
    """L2, in Adam's gradient."""
    batch_size: int = 64
    epochs: int = 60
    patience: int = 8

    def build(self, schema: Schema) -> Network:
        return Multilayer(
            hidden=self.hidden, dropout=self.dropout, history="none", ids=False, context=False, target="impressions"
        ).build(schema)


@final
@dataclass(frozen=True)
class Documents:
    """All queries as requests, and their documents as items with features that are standardised within the query."""

    data: Mq2008
    schema: Schema
    table: Table
    lists: Int[T, "queries slots"]
    """The documents of each query, padded with -1."""
    relevance: Float[T, "queries slots"]

    @staticmethod
    def of(data: Mq2008) -> "Documents":
        queries = data.queries
        columns = standardised(queries).T
        fields = {Field(f"feature {i + 1}", "numeric"): column for i, column in enumerate(columns)}
        features = feature_table(len(queries.relevance), items=fields)
        schema = Schema.of(features, queries.num_queries, num_devices=1)
        lists = queries.padded(np.arange(len(queries.relevance)), fill=-1)
        relevance = queries.padded(queries.relevance).astype(np.float32)
        return Documents(data, schema, schema.table(features, "cpu"), torch.tensor(lists), torch.tensor(relevance))

    def examples(self, queries: Bool[A, " queries"], loss: str) -> RequestExamples:
        rows = torch.tensor(np.flatnonzero(queries))
        # The grades 0, 1, 2 as chances, which is what this loss reads.
        labels = self.relevance / 2 if loss == "bce" else self.relevance
        requests = bare_requests(len(self.lists), self.table)
        return RequestExamples(requests, rows, self.lists[rows], labels[rows])

    def metrics(self, network: Network, queries: Bool[A, " queries"]) -> dict[str, Float[A, " chosen"]]:
        """MAP and NDCG@10 of each of these queries."""
        request = bare_requests(1, self.table)
        documents = torch.tensor(np.flatnonzero(np.repeat(queries, self.data.queries.lengths)))
        with torch.no_grad():
            scores = network(request, documents)[0].numpy().astype(np.float64)
        return letor_metrics(scores, self.data.queries.subset(queries))


def standardised(queries: LabelledQueries) -> Float[A, "documents features"]:
    """Features with mean 0 and deviation 1 within each query; a feature that is constant there is 0."""
    values, lengths = queries.features.astype(np.float64), queries.lengths

    def mean(columns: Float[A, "documents features"]) -> Float[A, "documents features"]:
        return np.repeat(np.add.reduceat(columns, queries.start[:-1], axis=0) / lengths[:, None], lengths, axis=0)

    centred = values - mean(values)
    deviation = np.sqrt(mean(centred**2))
    return (centred / np.where(deviation > 1e-9, deviation, 1.0) * (deviation > 1e-9)).astype(np.float32)


@final
@dataclass(frozen=True)
class Trained:
    """The metrics of every query, by the network whose test it was in."""

    ranker: Ranker
    of_queries: Mapping[str, Float[A, "seeds queries"]]
    part: Int[A, " queries"]
    validation: float
    """Mean MAP of the validation parts: what settings may be chosen by."""
    seconds: float

    def of_folds(self, metric: str) -> Float[A, "seeds folds"]:
        values = self.of_queries[metric]
        return np.stack([values[:, self.part == part].mean(axis=1) for part in range(NUM_FOLDS)], axis=1)

    def of_seeds(self, metric: str) -> Float[A, " seeds"]:
        """The mean over folds, as LETOR reports it."""
        return self.of_folds(metric).mean(axis=1)


def tuned(documents: Documents, loss: str, ranker: Ranker) -> Ranker:
    """The ranker with the penalty of the best validation MAP."""
    candidates = [replace(ranker, weight_decay=decay) for decay in DECAYS]
    return max(candidates, key=lambda candidate: train(documents, loss, candidate, [TUNING_SEED]).validation)


def train(documents: Documents, loss: str, ranker: Ranker, seeds: Sequence[int]) -> Trained:
    """A network for each seed and fold."""
    began = time.perf_counter()
    part = documents.data.part
    found = {metric: np.zeros((len(seeds), len(part))) for metric in ("MAP", "NDCG@10")}
    validation = []
    for row, seed in enumerate(seeds):
        for fold in range(NUM_FOLDS):
            distance = (part - fold) % NUM_FOLDS  # 0 to 2: train, 3: validation, 4: test
            network, best = _fitted(documents, loss, ranker, distance, seed)
            for metric, values in documents.metrics(network, distance == 4).items():
                found[metric][row, distance == 4] = values
            validation.append(best)
    return Trained(ranker, found, part, float(np.mean(validation)), (time.perf_counter() - began) / len(seeds))


def _fitted(
    documents: Documents, loss: str, ranker: Ranker, distance: Int[A, " queries"], seed: int
) -> tuple[Network, float]:
    def validate() -> float:
        return float(documents.metrics(network, distance == 3)["MAP"].mean())

    with seeded(seed):
        network = ranker.build(documents.schema)
        optimizer = torch.optim.Adam(
            network.parameters(), lr=ranker.learning_rate, weight_decay=ranker.weight_decay, fused=True
        )
        fit(
            network,
            optimizer,
            documents.examples(distance < 3, loss),
            Impressions(make_loss(loss)),
            Schedule(ranker.epochs, ranker.batch_size, ranker.patience),
            validate,
        )
    return network, validate()


def compare(
    losses: Sequence[str] = LOSSES, num_seeds: int = NUM_SEEDS, report: Report = lambda text: None
) -> dict[str, Trained]:
    """Each loss, trained and tested on the same folds with the same seeds."""
    documents = Documents.of(load_mq2008())
    trained = {}
    for loss in losses:
        ranker = tuned(documents, loss, Ranker())
        trained[loss] = train(documents, loss, ranker, range(num_seeds))
        report(
            f"{loss}, L2 {ranker.weight_decay:g}: MAP {trained[loss].of_seeds('MAP').mean():.4f}, "
            f"NDCG@10 {trained[loss].of_seeds('NDCG@10').mean():.4f}, validation {trained[loss].validation:.4f}"
        )
    return trained


def difference(first: Trained, second: Trained, metric: str) -> Interval:
    """First less second with a 95% t interval over all queries, each averaged over seeds.

    Queries are what the data sampled: over the seeds alone, the interval would say how well this very test is known.
    """
    return paired_interval(first.of_queries[metric].mean(axis=0), second.of_queries[metric].mean(axis=0))


@benchmark("losses-mq2008", "MQ2008", (MQ2008_FILE,), minutes=10, gates=GATES)
def losses_mq2008(report: Report) -> list[Row]:
    """MAP and NDCG@10 of every loss, and the paired differences that the claims about losses are of."""
    trained = compare(report=report)
    ranker = Ranker()
    settings = (
        f"MLP {ranker.hidden}, dropout {ranker.dropout:g}, Adam {ranker.learning_rate:g}; L2 of the best "
        "validation MAP; 46 features standardised in their query; stopped by the validation part's MAP; "
        "mean over five folds' tests; "
        "a query without a relevant document counts 0 (LETOR), ties by expectation"
    )
    rows = []
    for loss, found in trained.items():
        for metric in ("MAP", "NDCG@10"):
            values = list(found.of_seeds(metric))
            protocol = f"{loss}, L2 {found.ranker.weight_decay:g}; {settings}"
            name, seconds = f"{loss}-mq2008", found.seconds
            rows.append(Row.of_seeds(name, "MQ2008", protocol, metric, values, seconds=seconds))
    for name, (first, second, metric) in COMPARED.items():
        interval = difference(trained[first], trained[second], metric)
        report(f"{name}: {interval.estimate:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]")
        said = f"{metric} of {first} less that of {second}, both as in their rows"
        over = f"95% t interval over {len(trained[first].part)} queries, each averaged over {NUM_SEEDS} seeds: "
        for end, value in (("", interval.estimate), (", low", interval.low), (", high", interval.high)):
            protocol = f"{over}{'its estimate' if not end else 'its' + end[1:] + ' end'}; {said}"
            rows.append(
                Row(f"{name}-mq2008", "MQ2008", protocol, f"{metric} difference{end}", value, num_seeds=NUM_SEEDS)
            )
    return rows
