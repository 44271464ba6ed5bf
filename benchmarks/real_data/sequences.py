"""SASRec and BERT4Rec on the sequences of published tables: full ranking, the epoch chosen by the validation item."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from agents.bert4rec import BERT4Rec
from agents.neural import NetworkAgent
from agents.sasrec import SASRec
from benchmarks.real_data.clicks import click_log
from benchmarks.real_data.gates import Row
from benchmarks.real_data.metrics import full_ranking
from benchmarks.real_data.registry import Report, benchmark
from recsim_lab.datasets import LeaveTwoOut, Sequences, load_sequences
from recsim_lab.datasets.sequences import SEQUENCE_SETS
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation

A = np.ndarray


def run(
    name: str,
    data: str,
    title: str,
    make: Callable[[int], NetworkAgent],
    published: dict[str, float],
    report: Report,
    num_seeds: int = 1,
) -> list[Row]:
    """Train on all but the last two items of each user, stop by the validation item, and rank the test item.

    `make` gives the agent of a seed; numbers are means over seeds, seconds those of one. `published` are those that
    others reported under this protocol, by metric.
    """
    parts = load_sequences(data).leave_two_out()
    train = parts.train
    log = click_log(train.user, train.items, train.num_items)
    found: list[dict[str, float]] = []
    best: list[str] = []
    began = time.perf_counter()
    for seed in range(num_seeds):
        agent = make(seed)
        agent.judged_by = lambda judged: ranked(judged, parts, "validation", log)["NDCG@10"]
        agent.report = lambda epoch, planned, seed=seed: report(
            f"seed {seed}, epoch {epoch.epoch + 1} of at most {planned}: loss {epoch.loss:.4f}, validation NDCG@10 "
            f"{epoch.validation:.4f}, {epoch.seconds:.0f} s"
        )
        agent.learn(log)
        found.append(ranked(agent, parts, "test", log))
        best.append(str(1 + int(np.nanargmax([epoch.validation for epoch in agent.curve]))))
    seconds = (time.perf_counter() - began) / num_seeds
    protocol = (
        "leave-two-out, test item among all items, history removed, validation item in the input at test, "
        f"ties by expectation; epoch by validation NDCG@10 ({', '.join(best)}); {agent.name}"
    )
    return [
        Row.of_seeds(
            name,
            title,
            protocol,
            metric,
            [metrics[metric] for metrics in found],
            published=value,
            seconds=seconds,
        )
        for metric, value in published.items()
    ]


def ranked(agent: NetworkAgent, parts: LeaveTwoOut, which: str, log: InteractionLog) -> dict[str, float]:
    """HR@10 and NDCG@10 of the validation or the test item."""
    known = parts.train if which == "validation" else parts.train_and_validation

    def scores(users: Int[A, " rows"]) -> Float[A, "rows items"]:
        return agent.scores(histories_of(known, users, agent.num_recent or 1, log))

    return full_ranking(scores, parts, which)


def histories_of(known: Sequences, users: Int[A, " rows"], num_recent: int, log: InteractionLog) -> Observation:
    """A request of each user after all that is known of them."""
    newest = known.start[users + 1][:, None] + np.arange(-num_recent, 0)
    there = newest >= known.start[users][:, None]
    clicked = np.where(there, known.items[np.maximum(newest, 0)], -1).astype(np.int32)
    zeros, nothing = np.zeros(len(users), np.int32), np.zeros((len(users), 0), np.int32)
    return Observation(
        user=users.astype(np.int32),
        session=zeros,
        step=zeros,
        tick=zeros.astype(np.int64),
        device=zeros.astype(np.int8),
        clicked=clicked,
        clicked_tick=np.where(there, 0, -1).astype(np.int32),
        shown=nothing,
        features=log.features,
        blocked=nothing,
    )


PUBLISHED: dict[str, Any] = {"embeddings": "position", "learning_rate": 0.001, "batch_size": 128}
"""What all published settings of SASRec have in common."""


@benchmark(
    "sasrec-bce-beauty",
    "Amazon Beauty",
    (SEQUENCE_SETS["beauty"].file,),
    minutes=40,
    gates={("sasrec-bce-beauty", "HR@10"): ".055 to .066"},
)
def sasrec_bce_beauty(report: Report) -> list[Row]:
    """One negative a click and blocks as in BERT4Rec, which is the SASRec of the reference, S3-Rec's table."""

    def make(seed: int) -> NetworkAgent:
        return SASRec(
            loss="bce",
            num_negatives=1,
            shared=False,
            num_heads=2,
            feedforward_factor=4,
            activation="gelu",
            norm="post",
            dropout=0.5,
            epochs=200,
            patience=6,
            validate_every=5,
            seed=seed,
            **PUBLISHED,
        )

    return run(
        "sasrec-bce-beauty",
        "beauty",
        "Amazon Beauty",
        make,
        {"HR@10": 0.0605, "NDCG@10": 0.0318},
        report,
    )


@benchmark(
    "sasrec-softmax-beauty",
    "Amazon Beauty",
    (SEQUENCE_SETS["beauty"].file,),
    minutes=12,
    gates={("sasrec-softmax-beauty", "HR@10"): ">= .085", ("sasrec-softmax-beauty", "NDCG@10"): ">= .050"},
)
def sasrec_softmax_beauty(report: Report) -> list[Row]:
    """The same network with a sampled softmax; the reference is the table of blondered/transformer_benchmark."""

    def make(seed: int) -> NetworkAgent:
        return SASRec(
            loss="softmax",
            num_blocks=1,
            num_negatives=2048,
            dropout=0.5,
            epochs=150,
            patience=4,
            validate_every=3,
            seed=seed,
            **PUBLISHED,
        )

    return run(
        "sasrec-softmax-beauty",
        "beauty",
        "Amazon Beauty",
        make,
        {"HR@10": 0.0921, "NDCG@10": 0.0531},
        report,
    )


@benchmark(
    "sasrec-ml-1m",
    "MovieLens-1M",
    (SEQUENCE_SETS["ml-1m"].file,),
    minutes=64,
    gates={("sasrec-ml-1m", "NDCG@10"): ">= .173"},
)
def sasrec_ml_1m(report: Report) -> list[Row]:
    """SASRec with the full softmax; the reference is SASRec+ of Klenitskiy & Vasilev (RecSys 2023)."""

    def make(seed: int) -> NetworkAgent:
        return SASRec(
            loss="ce",
            max_length=200,
            dropout=0.1,
            epochs=100,
            patience=4,
            validate_every=3,
            seed=seed,
            **PUBLISHED,
        )

    return run(
        "sasrec-ml-1m",
        "ml-1m",
        "MovieLens-1M",
        make,
        {"HR@10": 0.3152, "NDCG@10": 0.1821},
        report,
    )


@benchmark(
    "bert4rec-lastfm",
    "LastFM",
    (SEQUENCE_SETS["lastfm"].file,),
    minutes=18,
    gates={("bert4rec-lastfm", "HR@10"): ">= .060"},
)
def bert4rec_lastfm(report: Report) -> list[Row]:
    """The reference is S3-Rec's table."""
    return run(
        "bert4rec-lastfm",
        "lastfm",
        "LastFM",
        lambda seed: BERT4Rec(dropout=0.3, epochs=200, patience=5, validate_every=10, batch_size=64, seed=seed),
        {"HR@10": 0.0633, "NDCG@10": 0.0337},
        report,
        num_seeds=3,
    )


@benchmark(
    "bert4rec-ml-1m",
    "MovieLens-1M",
    (SEQUENCE_SETS["ml-1m"].file,),
    minutes=130,
    gates={("bert4rec-ml-1m", "NDCG@10"): ">= .13833"},
)
def bert4rec_ml_1m(report: Report) -> list[Row]:
    """The reference is the re-run of Klenitskiy & Vasilev (RecSys 2023) with Hugging Face's network."""

    def make(seed: int) -> NetworkAgent:
        return BERT4Rec(max_length=200, dropout=0.1, epochs=200, patience=4, validate_every=5, batch_size=32, seed=seed)

    return run(
        "bert4rec-ml-1m",
        "ml-1m",
        "MovieLens-1M",
        make,
        {"HR@10": 0.2843, "NDCG@10": 0.1537},
        report,
    )
