"""The baselines that any model has to beat: popularity, a constant, a single feature. They also check the protocols."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from benchmarks.real_data.gates import Row
from benchmarks.real_data.metrics import candidate_ranking, full_ranking, letor_metrics
from benchmarks.real_data.registry import Report, benchmark
from recsim_lab.datasets import LeaveTwoOut, load_coat, load_mq2008, load_ncf, load_sequences
from recsim_lab.datasets.coat import COAT_FILE
from recsim_lab.datasets.letor import MQ2008_FILE, NUM_FOLDS
from recsim_lab.datasets.ncf import NCF_FILES
from recsim_lab.datasets.sequences import SEQUENCE_SETS

A = np.ndarray

FULL_RANKING = "leave-two-out, test item among all items, history removed (validation item in it), ties by expectation"
NCF_PROTOCOL = "held-out item among 99 fixed negatives (NCF), repeated negatives once, ties by expectation"
KNOWN = "interactions before the test item counted"
LEAKING = "all interactions counted, test items too, which is what S3-Rec's table all_rank (published) fits"
NOTHING: Mapping[str, Any] = MappingProxyType({})


def _gates(name: str, hit_rate: str, ndcg: str) -> dict[tuple[str, str], str]:
    return {(name, "HR@10"): hit_rate, (name, "NDCG@10"): ndcg}


@benchmark(
    "popularity-ncf",
    "MovieLens-1M",
    NCF_FILES,
    minutes=0.1,
    gates=_gates("popularity-ncf", ".453 to .455", ".254 to .255"),
)
def popularity_ncf(report: Report) -> list[Row]:
    """Number of users who chose the item."""
    data = load_ncf()
    counts = np.bincount(data.item, minlength=data.num_items).astype(np.float64)
    found = candidate_ranking(lambda users, items: counts[items], data.candidates)
    return [
        Row("popularity-ncf", "MovieLens-1M", f"{NCF_PROTOCOL}; training pairs counted", metric, value)
        for metric, value in found.items()
    ]


@benchmark(
    "popularity-ml-1m",
    "MovieLens-1M",
    (SEQUENCE_SETS["ml-1m"].file,),
    minutes=0.1,
    gates=_gates("popularity-ml-1m", ".036 to .037", ".0175 to .0183"),
)
def popularity_movielens(report: Report) -> list[Row]:
    parts = load_sequences("ml-1m").leave_two_out()
    return _popularity("popularity-ml-1m", "MovieLens-1M", parts, parts.train_and_validation.counts(), KNOWN)


@benchmark(
    "popularity-beauty",
    "Amazon Beauty",
    (SEQUENCE_SETS["beauty"].file,),
    minutes=0.1,
    gates=_gates("popularity-with-test-beauty", ".0149 to .0155", ".0066 to .0070"),
)
def popularity_beauty(report: Report) -> list[Row]:
    published = {"HR@10": 0.0152, "NDCG@10": 0.0068}
    return _popularity_as_published("beauty", "Amazon Beauty", published)


@benchmark(
    "popularity-lastfm",
    "LastFM",
    (SEQUENCE_SETS["lastfm"].file,),
    minutes=0.1,
    gates=_gates("popularity-with-test-lastfm", ".0435 to .0445", ".0200 to .0206"),
)
def popularity_lastfm(report: Report) -> list[Row]:
    published = {"HR@10": 0.0440, "NDCG@10": 0.0203}
    return _popularity_as_published("lastfm", "LastFM", published)


def _popularity_as_published(name: str, dataset: str, published: dict[str, float]) -> list[Row]:
    """Popularity before the test, and as S3-Rec's table must have counted it: its numbers come out on all items."""
    sequences = load_sequences(name)
    parts = sequences.leave_two_out()
    return [
        *_popularity(f"popularity-{name}", dataset, parts, parts.train_and_validation.counts(), KNOWN),
        *_popularity(f"popularity-with-test-{name}", dataset, parts, sequences.counts(), LEAKING, published),
    ]


def _popularity(
    name: str,
    dataset: str,
    parts: LeaveTwoOut,
    counts: Int[A, " items"],
    counted: str,
    published: Mapping[str, float] = NOTHING,
) -> list[Row]:
    shared = counts.astype(np.float32)  # exact: below 2^24

    def scores(users: Int[A, " rows"]) -> Float[A, "rows items"]:
        return np.broadcast_to(shared, (users.size, shared.size))

    protocol = f"{FULL_RANKING}; {counted}"
    return [
        Row(name, dataset, protocol, metric, value, published=published.get(metric))
        for metric, value in full_ranking(scores, parts).items()
    ]


@benchmark(
    "constant-coat",
    "Coat",
    (COAT_FILE,),
    minutes=0.1,
    gates={("constant-coat-mean", "MSE"): "1.691 to 1.693", ("constant-coat-snips", "MSE"): "1.555 to 1.557"},
)
def constant_coat(report: Report) -> list[Row]:
    """One number for every rating: the mean, or the mean weighted by inverse propensity (SNIPS)."""
    data = load_coat()
    weight = 1.0 / data.train_propensities.astype(np.float64)
    constants = {
        "constant-coat-mean": (data.train.rating.mean(dtype=np.float64), "mean of the training ratings"),
        "constant-coat-snips": (
            np.average(data.train.rating, weights=weight),
            "mean of the training ratings weighted by inverse propensity as published",
        ),
    }
    rows = []
    for name, (constant, how) in constants.items():
        error = data.test.rating - constant
        protocol = f"{how}; judged on the uniformly random test ratings"
        rows.append(Row(name, "Coat", protocol, "MSE", float(np.mean(error**2))))
        rows.append(Row(name, "Coat", protocol, "MAE", float(np.mean(np.abs(error)))))
    return rows


@benchmark(
    "single-feature-mq2008",
    "MQ2008",
    (MQ2008_FILE,),
    minutes=0.1,
    gates={("single-feature-mq2008", "MAP"): ".4705 to .4720"},
)
def single_feature_mq2008(report: Report) -> list[Row]:
    """The feature whose order of the documents is best; chosen on all data, and by each fold's training part."""
    data = load_mq2008()
    num_features = data.queries.features.shape[1]
    found = [letor_metrics(data.queries.features[:, feature], data.queries) for feature in range(num_features)]
    average = np.array([metrics["MAP"] for metrics in found])
    best = int(average.mean(axis=1).argmax())
    distance = (data.part[None, :] - np.arange(NUM_FOLDS)[:, None]) % NUM_FOLDS  # 0 to 2: train, 4: test
    by_training = [
        average[average[:, fold_distance < 3].mean(axis=1).argmax(), fold_distance == 4].mean()
        for fold_distance in distance
    ]
    convention = "a query without a relevant document counts 0 (LETOR), ties by expectation"
    rows = [
        Row(
            "single-feature-mq2008",
            "MQ2008",
            f"feature {best + 1} of 1 to {num_features}, best on all 784 queries and scored on them; {convention}",
            metric,
            float(found[best][metric].mean()),
        )
        for metric in ("MAP", "NDCG@10")
    ]
    report(f"feature {best + 1} is best, MAP {average[best].mean():.4f}")
    honest = f"mean over five folds' tests of the feature that is best in the fold's training part; {convention}"
    return [
        *rows,
        Row("single-feature-by-fold-mq2008", "MQ2008", honest, "MAP", float(np.mean(by_training))),
    ]
