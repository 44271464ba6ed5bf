"""SASRec and BERT4Rec on the sequences of published tables: full ranking, the epoch chosen by the validation item."""

import time
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Published:
    """A number that others reported under this protocol, and what ours has to be."""

    metric: str
    value: float | None
    gate: str


def run(
    name: str, data: str, title: str, agent: NetworkAgent, published: tuple[Published, ...], report: Report
) -> list[Row]:
    """Train on all but the last two items of each user, stop by the validation item, and rank the test item."""
    parts = load_sequences(data).leave_two_out()
    train = parts.train
    log = click_log(train.user, train.items, train.num_items)

    def validation(judged: NetworkAgent) -> float:
        return ranked(judged, parts, "validation", log)["NDCG@10"]

    agent.judged_by = validation
    agent.report = lambda epoch, planned: report(
        f"epoch {epoch.epoch + 1} of at most {planned}: loss {epoch.loss:.4f}, validation NDCG@10 "
        f"{epoch.validation:.4f}, {epoch.seconds:.0f} s"
    )
    began = time.perf_counter()
    agent.learn(log)
    seconds = time.perf_counter() - began
    metrics = ranked(agent, parts, "test", log)
    best = 1 + int(np.nanargmax([epoch.validation for epoch in agent.curve]))
    protocol = (
        "leave-two-out, test item among all items, history removed, validation item in the input at test, "
        f"ties by expectation; epoch {best} by validation NDCG@10; {agent.name}"
    )
    return [
        Row(name, title, protocol, p.metric, metrics[p.metric], published=p.value, gate=p.gate, seconds=seconds)
        for p in published
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


@benchmark("sasrec-bce-beauty", "Amazon Beauty", (SEQUENCE_SETS["beauty"].file,), minutes=10)
def sasrec_bce_beauty(report: Report) -> list[Row]:
    """One negative a click, as SASRec was published; the reference is S3-Rec's table."""
    agent = SASRec(
        loss="bce", num_negatives=1, shared=False, dropout=0.5, epochs=200, patience=3, validate_every=5, batch_size=128
    )
    return run(
        "sasrec-bce-beauty",
        "beauty",
        "Amazon Beauty",
        agent,
        (Published("HR@10", 0.0605, ".055 to .066"), Published("NDCG@10", 0.0318, "")),
        report,
    )


@benchmark("sasrec-softmax-beauty", "Amazon Beauty", (SEQUENCE_SETS["beauty"].file,), minutes=10)
def sasrec_softmax_beauty(report: Report) -> list[Row]:
    """The same network with a sampled softmax; the reference is the table of blondered/transformer_benchmark."""
    agent = SASRec(num_negatives=256, dropout=0.5, epochs=150, patience=3, validate_every=5, batch_size=128)
    return run(
        "sasrec-softmax-beauty",
        "beauty",
        "Amazon Beauty",
        agent,
        (Published("HR@10", 0.0921, ">= .085"), Published("NDCG@10", 0.0531, ">= .050")),
        report,
    )


@benchmark("sasrec-ml-1m", "MovieLens-1M", (SEQUENCE_SETS["ml-1m"].file,), minutes=60)
def sasrec_ml_1m(report: Report) -> list[Row]:
    """SASRec with the full softmax; the reference is SASRec+ of Klenitskiy & Vasilev (RecSys 2023)."""
    agent = SASRec(loss="ce", max_length=200, dropout=0.1, epochs=100, patience=4, validate_every=3, batch_size=128)
    return run(
        "sasrec-ml-1m",
        "ml-1m",
        "MovieLens-1M",
        agent,
        (Published("HR@10", 0.3152, ""), Published("NDCG@10", 0.1821, ">= .173")),
        report,
    )


@benchmark("bert4rec-lastfm", "LastFM", (SEQUENCE_SETS["lastfm"].file,), minutes=10)
def bert4rec_lastfm(report: Report) -> list[Row]:
    """The reference is S3-Rec's table."""
    agent = BERT4Rec(epochs=200, patience=4, validate_every=5, batch_size=64)
    return run(
        "bert4rec-lastfm",
        "lastfm",
        "LastFM",
        agent,
        (Published("HR@10", 0.0633, ">= .060"), Published("NDCG@10", 0.0337, "")),
        report,
    )


@benchmark("bert4rec-ml-1m", "MovieLens-1M", (SEQUENCE_SETS["ml-1m"].file,), minutes=120)
def bert4rec_ml_1m(report: Report) -> list[Row]:
    """The reference is the re-run of Klenitskiy & Vasilev (RecSys 2023) with Hugging Face's network."""
    agent = BERT4Rec(max_length=200, epochs=200, patience=5, validate_every=5, batch_size=64)
    return run(
        "bert4rec-ml-1m",
        "ml-1m",
        "MovieLens-1M",
        agent,
        (Published("HR@10", 0.2843, ""), Published("NDCG@10", 0.1537, ">= .13833")),
        report,
    )
